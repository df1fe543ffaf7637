// C = A B by tiles of AMX: A's lie by rows of pairs, B's by columns, 2 x 2 tiles of sums at a time. `high` adds what
// rounding takes from an operand, in products of their own: low * high, high * low, then high * high.
// tiles_<kind>.h says what a tile is.

constexpr Index amx_side = 32;      // rows and columns of the sums that tiles hold at a time
constexpr Index amx_columns = 256;  // of B that are packed at once
constexpr Index amx_rows = 192;     // of A, likewise

template <bool high>
struct AmxBlock {
    static constexpr int parts = high ? 2 : 1;
    static constexpr Index pairs = 128 / parts;  // of k a block
    static constexpr Index a_row = pairs + 16;   // words from a row to the next, not all in the same set
    static constexpr Index a_part = amx_rows * a_row, b_part = amx_columns * pairs;
    static_assert(parts * (a_part + b_part) + amx_side * amx_side <= gemm_scratch);
};

// sums (32, 32) = A's rows times B's columns: `tiles` of 16 pairs.
template <bool high>
void amx_tiles(const uint32_t* a, const uint32_t* b, Index tiles, float* sums) noexcept {
    using Block = AmxBlock<high>;
    constexpr Index a_bytes = Block::a_row * 4, b_bytes = amx_side * 4;
    FUSEDNET_TILES_READ_MEMORY;
    FUSEDNET_TILE_ZERO(0);
    FUSEDNET_TILE_ZERO(1);
    FUSEDNET_TILE_ZERO(2);
    FUSEDNET_TILE_ZERO(3);
    for (int term = high ? 0 : 2; term < 3; ++term) {
        const uint32_t* left = term == 0 ? a + Block::a_part : a;
        const uint32_t* right = term == 1 ? b + Block::b_part : b;
        for (Index tile = 0; tile < tiles; ++tile, left += 16, right += 16 * amx_side) {
            FUSEDNET_TILE_LOAD(4, left, a_bytes);
            FUSEDNET_TILE_LOAD(5, left + 16 * Block::a_row, a_bytes);
            FUSEDNET_TILE_LOAD(6, right, b_bytes);
            FUSEDNET_TILE_LOAD(7, right + 16, b_bytes);
            FUSEDNET_TILE_DOT(0, 4, 6);
            FUSEDNET_TILE_DOT(1, 4, 7);
            FUSEDNET_TILE_DOT(2, 5, 6);
            FUSEDNET_TILE_DOT(3, 5, 7);
        }
    }
    constexpr Index sums_bytes = amx_side * 4;
    FUSEDNET_TILE_STORE(0, sums, sums_bytes);
    FUSEDNET_TILE_STORE(1, sums + 16, sums_bytes);
    FUSEDNET_TILE_STORE(2, sums + 16 * amx_side, sums_bytes);
    FUSEDNET_TILE_STORE(3, sums + 16 * amx_side + 16, sums_bytes);
}

// A row of C = sums + bias, or C += sums + bias.
inline void add_sums(const float* sums, const float* bias, bool accumulate, Index cols, float* c) noexcept {
    for (Index j = 0; j < cols; ++j) {
        float sum = sums[j];
        if (accumulate) sum += c[j];
        if (bias) sum += bias[j];
        c[j] = sum;
    }
}

template <bool high>
void gemm_amx(const Gemm<float>& g) noexcept {
    using Block = AmxBlock<high>;
    float* const sums = g.scratch;
    uint32_t* const packed_b = reinterpret_cast<uint32_t*>(sums + amx_side * amx_side);
    uint32_t* const packed_a = packed_b + Block::parts * Block::b_part;
    const auto least = [](Index x, Index y) FUSEDNET_INLINE_LAMBDA { return x < y ? x : y; };
    tiles_begin();
    for (Index first_col = 0; first_col < g.n; first_col += amx_columns) {
        const Index end_col = least(g.n, first_col + amx_columns);
        Index start = 0;
        do {
            const Index depth = least(g.k - start, 2 * Block::pairs), tiles = (depth + 31) / 32;
            const bool first = start == 0, finished = start + depth == g.k;
            for (Index col = first_col; col < end_col; col += amx_side) {
                const Index cols = least(end_col - col, amx_side);
                const PairSource b = {g.b + start * g.b_row + col * g.b_col, g.b_col, g.b_row, cols, depth};
                uint32_t* to = packed_b + (col - first_col) * Block::pairs;
                pack_pairs<false>(b, to, amx_side);
                if constexpr (high) pack_pairs<false, true>(b, to + Block::b_part, amx_side);
            }
            for (Index first_row = 0; first_row < g.m; first_row += amx_rows) {
                const Index end_row = least(g.m, first_row + amx_rows);
                const PairSource a = {g.a + first_row * g.a_row + start * g.a_col, g.a_row, g.a_col,
                                      end_row - first_row, depth};
                pack_pairs<true>(a, packed_a, Block::a_row);
                if constexpr (high) pack_pairs<true, true>(a, packed_a + Block::a_part, Block::a_row);
                for (Index col = first_col; col < end_col; col += amx_side)
                    for (Index row = first_row; row < end_row; row += amx_side) {
                        amx_tiles<high>(packed_a + (row - first_row) * Block::a_row,
                                        packed_b + (col - first_col) * Block::pairs, tiles, sums);
                        const Index rows = least(end_row - row, amx_side), cols = least(end_col - col, amx_side);
                        for (Index i = 0; i < rows; ++i)
                            add_sums(sums + i * amx_side, first && g.bias ? g.bias + col : nullptr,
                                     g.accumulate || !first, cols, g.c.row(row + i) + col);
                        if (finished) finish_part(g, row, col, rows, cols);
                    }
            }
            start += depth;
        } while (start < g.k);
    }
    tiles_end();
}
