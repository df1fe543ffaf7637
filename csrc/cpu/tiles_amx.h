// The tile registers of AMX. A tile's number is part of the instruction, hence macros.

// All eight tiles of 16 rows of 64 bytes: the bytes of LDTILECFG for palette 1.
struct alignas(64) TileConfiguration {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes_a_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64 && __builtin_offsetof(TileConfiguration, bytes_a_row) == 16 &&
              __builtin_offsetof(TileConfiguration, rows) == 48);
constexpr TileConfiguration tile_configuration;

FUSEDNET_INLINE void tiles_begin() {
    _tile_loadconfig(&tile_configuration);
}
FUSEDNET_INLINE void tiles_end() {
    _tile_release();
}

// The compilers' loads do not say that they read memory: what was stored before them has to be there.
#define FUSEDNET_TILES_READ_MEMORY __asm__ volatile("" ::: "memory")
#define FUSEDNET_TILE_ZERO(tile) _tile_zero(tile)
#define FUSEDNET_TILE_LOAD(tile, from, row_bytes) _tile_loadd(tile, from, row_bytes)
#define FUSEDNET_TILE_STORE(tile, to, row_bytes) _tile_stored(tile, to, row_bytes)
// sums += rows of pairs of bf16 times columns of such pairs
#define FUSEDNET_TILE_DOT(sums, a, b) _tile_dpbf16ps(sums, a, b)
