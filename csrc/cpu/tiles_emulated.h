// The tile registers of AMX in plain C++, for tests: eight tiles of 16 rows of 64 bytes, as tiles_amx.h configures
// them.

struct EmulatedTiles {
    uint32_t word[8][16][16];
    bool configured;
};
inline thread_local EmulatedTiles emulated_tiles;

// What a tile holds before it is loaded or zeroed is nothing to rely on: NaN.
FUSEDNET_INLINE void tiles_begin() {
    __builtin_memset(&emulated_tiles, 0xff, sizeof emulated_tiles);
    emulated_tiles.configured = true;
}
FUSEDNET_INLINE void tiles_end() {
    emulated_tiles.configured = false;
}

// An instruction without a configuration is an undefined one.
inline uint32_t (&emulated_tile(int tile) noexcept)[16][16] {
    if (!emulated_tiles.configured) __builtin_trap();
    return emulated_tiles.word[tile];
}

inline void emulated_zero(int tile) noexcept {
    __builtin_memset(emulated_tile(tile), 0, 16 * 64);
}
inline void emulated_load(int tile, const void* from, Index row_bytes) noexcept {
    for (int i = 0; i < 16; ++i)
        __builtin_memcpy(emulated_tile(tile)[i], static_cast<const char*>(from) + i * row_bytes, 64);
}
inline void emulated_store(int tile, void* to, Index row_bytes) noexcept {
    for (int i = 0; i < 16; ++i) __builtin_memcpy(static_cast<char*>(to) + i * row_bytes, emulated_tile(tile)[i], 64);
}

// Denormals count as zero, as operands and as results.
inline float emulated_flush(float x) noexcept {
    return __builtin_fabsf(x) < __FLT_MIN__ ? __builtin_copysignf(0.0f, x) : x;
}
// The even (0) or odd (1) numbers of a tile.
struct EmulatedNumbers {
    float at[16][16];
    EmulatedNumbers(int tile, int odd) noexcept {
        for (int i = 0; i < 16; ++i)
            for (int j = 0; j < 16; ++j) {
                const uint32_t word = emulated_tile(tile)[i][j], bits = odd ? word & 0xffff0000 : word << 16;
                __builtin_memcpy(&at[i][j], &bits, sizeof bits);
                at[i][j] = emulated_flush(at[i][j]);
            }
    }
};

// TDPBF16PS: the even and the odd products of a row are summed by themselves, then joined, then added.
inline void emulated_dot(int sums, int a, int b) noexcept {
    const EmulatedNumbers left[2] = {{a, 0}, {a, 1}}, right[2] = {{b, 0}, {b, 1}};
    for (int i = 0; i < 16; ++i) {
        float part[2][16] = {}, sum[16];
        for (int odd = 0; odd < 2; ++odd)
            for (int p = 0; p < 16; ++p)
                for (int j = 0; j < 16; ++j)
                    part[odd][j] =
                        emulated_flush(part[odd][j] + emulated_flush(left[odd].at[i][p] * right[odd].at[p][j]));
        __builtin_memcpy(sum, emulated_tile(sums)[i], sizeof sum);
        for (int j = 0; j < 16; ++j) sum[j] = emulated_flush(sum[j] + emulated_flush(part[0][j] + part[1][j]));
        __builtin_memcpy(emulated_tile(sums)[i], sum, sizeof sum);
    }
}

#define FUSEDNET_TILES_READ_MEMORY
#define FUSEDNET_TILE_ZERO(tile) emulated_zero(tile)
#define FUSEDNET_TILE_LOAD(tile, from, row_bytes) emulated_load(tile, from, row_bytes)
#define FUSEDNET_TILE_STORE(tile, to, row_bytes) emulated_store(tile, to, row_bytes)
#define FUSEDNET_TILE_DOT(sums, a, b) emulated_dot(sums, a, b)
