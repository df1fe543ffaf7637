// C = A B of operands rounded to bf16, sums in float32: vdpbf16ps adds two products to each of 16 sums. Both operands
// are packed as pairs; tiles of rows x vectors stay in registers through a block of k, as in gemm.h.

constexpr Index lanes = 16;
constexpr Index bf16_depth = 256;    // k a block
constexpr Index bf16_columns = 256;  // of B that are packed at once
constexpr Index bf16_rows = 192;     // of A, likewise
constexpr int bf16_vectors = 4;
constexpr int bf16_tile_rows = 6;
// by row, A's packed rows lie a little more than the depth apart: they would share the cache's sets
constexpr Index bf16_a_row = bf16_depth / 2 + 16;
static_assert(bf16_depth / 2 * bf16_columns + bf16_rows * bf16_a_row <= gemm_scratch);

struct Bf16Tile {
    Index pairs;
    const uint32_t* a;
    Index a_row, a_pair;
    const uint32_t* b;  // (pairs, vectors * lanes)
    float* c;
    Index ldc;
    Index tail;         // valid lanes of the last vector
    const float* bias;  // null but in the first block of k
    bool accumulate;
};

template <int rows, int vectors>
void bf16_tile(const Bf16Tile& t) noexcept {
    __m512 sum[rows][vectors];
    float* const c = t.c;
    const Index ldc = t.ldc;
    const __mmask16 mask = static_cast<__mmask16>((1u << t.tail) - 1u);
    const auto row = [&](const float* p, int j) FUSEDNET_INLINE_LAMBDA {
        return j == vectors - 1 ? _mm512_maskz_loadu_ps(mask, p + j * lanes) : _mm512_loadu_ps(p + j * lanes);
    };
    FUSEDNET_UNROLL
    for (int j = 0; j < vectors; ++j) {
        const __m512 start = t.bias ? row(t.bias, j) : _mm512_setzero_ps();
        FUSEDNET_UNROLL
        for (int i = 0; i < rows; ++i) sum[i][j] = t.accumulate ? _mm512_add_ps(row(c + i * ldc, j), start) : start;
    }
    const uint32_t *a = t.a, *b = t.b;
    for (Index p = 0; p < t.pairs; ++p, a += t.a_pair, b += vectors * lanes) {
        __m512bh vb[vectors];
        FUSEDNET_UNROLL
        for (int j = 0; j < vectors; ++j) vb[j] = (__m512bh)_mm512_load_si512(b + j * lanes);
        FUSEDNET_UNROLL
        for (int i = 0; i < rows; ++i) {
            const __m512bh va = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i * t.a_row]));
            FUSEDNET_UNROLL
            for (int j = 0; j < vectors; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], va, vb[j]);
        }
    }
    FUSEDNET_UNROLL
    for (int i = 0; i < rows; ++i) FUSEDNET_UNROLL
    for (int j = 0; j < vectors; ++j) {
        if (j == vectors - 1)
            _mm512_mask_storeu_ps(c + i * ldc + j * lanes, mask, sum[i][j]);
        else
            _mm512_storeu_ps(c + i * ldc + j * lanes, sum[i][j]);
    }
}

using Bf16TileFunction = void (*)(const Bf16Tile&) noexcept;

#define FUSEDNET_TILES(rows) {bf16_tile<rows, 1>, bf16_tile<rows, 2>, bf16_tile<rows, 3>, bf16_tile<rows, 4>}
constexpr Bf16TileFunction bf16_tiles[bf16_tile_rows][bf16_vectors] = {
    FUSEDNET_TILES(1), FUSEDNET_TILES(2), FUSEDNET_TILES(3), FUSEDNET_TILES(4), FUSEDNET_TILES(5), FUSEDNET_TILES(6)};
#undef FUSEDNET_TILES

constexpr Index least(Index a, Index b) noexcept {
    return a < b ? a : b;
}

inline void gemm_bf16(const Gemm<float>& g) noexcept {
    constexpr Index panel = bf16_vectors * lanes;
    const bool by_row = g.a_row != 1 || g.a_col == 1;  // A's packed pairs
    uint32_t* const packed_b = reinterpret_cast<uint32_t*>(g.scratch);
    uint32_t* const packed_a = packed_b + bf16_depth / 2 * bf16_columns;
    for (Index first_col = 0; first_col < g.n; first_col += bf16_columns) {
        const Index end_col = least(g.n, first_col + bf16_columns);
        Index start = 0;
        do {
            const Index depth = least(g.k - start, bf16_depth), pairs = (depth + 1) / 2;
            const bool first = start == 0, finished = start + depth == g.k;
            for (Index col = first_col; col < end_col; col += panel) {
                const Index cols = least(end_col - col, panel);
                pack_pairs<false>({g.b + start * g.b_row + col * g.b_col, g.b_col, g.b_row, cols, depth},
                                  packed_b + (col - first_col) * (bf16_depth / 2), (cols + lanes - 1) / lanes * lanes);
            }
            for (Index first_row = 0; first_row < g.m; first_row += bf16_rows) {
                const Index rows_here = least(g.m - first_row, bf16_rows);
                const PairSource a = {g.a + first_row * g.a_row + start * g.a_col, g.a_row, g.a_col, rows_here, depth};
                by_row ? pack_pairs<true>(a, packed_a, bf16_a_row) : pack_pairs<false>(a, packed_a, bf16_rows);
                const Index tiles = (rows_here + bf16_tile_rows - 1) / bf16_tile_rows;
                for (Index col = first_col; col < end_col; col += panel) {
                    const Index cols = least(end_col - col, panel), vectors = (cols + lanes - 1) / lanes;
                    Index row = first_row;
                    for (Index tile = 0; tile < tiles; ++tile) {
                        const Index rows = (first_row + rows_here - row + tiles - tile - 1) / (tiles - tile);
                        const Index at = row - first_row;
                        bf16_tiles[rows - 1][vectors - 1]({.pairs = pairs,
                                                           .a = packed_a + (by_row ? at * bf16_a_row : at),
                                                           .a_row = by_row ? bf16_a_row : 1,
                                                           .a_pair = by_row ? 1 : bf16_rows,
                                                           .b = packed_b + (col - first_col) * (bf16_depth / 2),
                                                           .c = g.c.row(row) + col,
                                                           .ldc = g.c.ld,
                                                           .tail = cols - (vectors - 1) * lanes,
                                                           .bias = first && g.bias ? g.bias + col : nullptr,
                                                           .accumulate = g.accumulate || !first});
                        if (finished) finish_part(g, row, col, rows, cols);
                        row += rows;
                    }
                }
            }
            start += depth;
        } while (start < g.k);
    }
}
