// C = A B by register tiles of rows x vectors: A is broadcast, B is read as rows of vectors, C stays in registers
// through a block of k. B is packed only where its rows cannot be read as they are.

// k a block: a packed block of B (depth x 4 vectors) stays in L2 while the tiles of C pass over it.
constexpr Index gemm_depth = 256;
// Vectors a tile: as many as leave room for enough rows to hide the latency of the multiply-add.
constexpr int gemm_registers = lanes == 16 ? 32 : 16;
constexpr int gemm_vectors = gemm_registers == 32 || lanes == 1 ? 4 : 2;

constexpr int gemm_rows(int vectors) noexcept {
    const int rows = (gemm_registers - vectors - 1) / vectors;
    return rows < 14 ? rows : 14;
}

struct GemmTile {
    Index k;
    const T* a;
    Index a_row, a_col;
    const T* b;
    Index b_row;
    T* c;
    Index ldc;
    Index tail;     // valid lanes of the last vector
    const T* bias;  // null but in the first block of k
    bool accumulate;
};

template <int rows, int vectors>
void gemm_tile(const GemmTile& t) noexcept {
    V sum[rows][vectors];
    const auto last = [&](int j) { return j == vectors - 1 && t.tail < lanes; };
    const auto row = [&](const T* p, int j) { return last(j) ? load(p + j * lanes, t.tail) : load(p + j * lanes); };
    FUSEDNET_UNROLL
    for (int j = 0; j < vectors; ++j) {
        const V start = t.bias ? row(t.bias, j) : V(0.0);
        FUSEDNET_UNROLL
        for (int i = 0; i < rows; ++i) sum[i][j] = t.accumulate ? row(t.c + i * t.ldc, j) + start : start;
    }
    const T* a = t.a;
    const T* b = t.b;
    for (Index p = 0; p < t.k; ++p, a += t.a_col, b += t.b_row) {
        V vb[vectors];
        FUSEDNET_UNROLL
        for (int j = 0; j < vectors; ++j) vb[j] = load(b + j * lanes);
        FUSEDNET_UNROLL
        for (int i = 0; i < rows; ++i) {
            const V va = broadcast(a[i * t.a_row]);
            FUSEDNET_UNROLL
            for (int j = 0; j < vectors; ++j) sum[i][j] = fma(va, vb[j], sum[i][j]);
        }
    }
    FUSEDNET_UNROLL
    for (int i = 0; i < rows; ++i) FUSEDNET_UNROLL
    for (int j = 0; j < vectors; ++j) {
        if (last(j))
            store(t.c + i * t.ldc + j * lanes, sum[i][j], t.tail);
        else
            store(t.c + i * t.ldc + j * lanes, sum[i][j]);
    }
}

using GemmTileFunction = void (*)(const GemmTile&) noexcept;

template <int vectors, int rows>
GemmTileFunction gemm_pick_rows(Index wanted) noexcept {
    if constexpr (rows == 1)
        return gemm_tile<1, vectors>;
    else
        return wanted == rows ? gemm_tile<rows, vectors> : gemm_pick_rows<vectors, rows - 1>(wanted);
}

template <int vectors = gemm_vectors>
GemmTileFunction gemm_pick(Index wanted_vectors, Index rows) noexcept {
    if constexpr (vectors == 1)
        return gemm_pick_rows<1, gemm_rows(1)>(rows);
    else
        return wanted_vectors == vectors ? gemm_pick_rows<vectors, gemm_rows(vectors)>(rows)
                                         : gemm_pick<vectors - 1>(wanted_vectors, rows);
}

// packed (depth, width) = B rows, zero beyond cols.
inline void gemm_pack(const T* b, Index b_row, Index b_col, Index depth, Index cols, Index width, T* packed) noexcept {
    if (b_col == 1) {
        for (Index p = 0; p < depth; ++p) {
            const T* from = b + p * b_row;
            T* to = packed + p * width;
            for (Index j = 0; j < width; j += lanes) {
                const Index left = cols - j;
                store(to + j, left >= lanes ? load(from + j) : left > 0 ? load(from + j, left) : V(0.0));
            }
        }
        return;
    }
    // B is a transpose: short runs of k, so that the lines written stay in the first-level cache
    constexpr Index run = 16;
    for (Index start = 0; start < depth; start += run) {
        const Index end = start + run < depth ? start + run : depth;
        for (Index j = 0; j < width; ++j) {
            const T* from = b + j * b_col;
            for (Index p = start; p < end; ++p) packed[p * width + j] = j < cols ? from[p * b_row] : T(0);
        }
    }
}

inline void gemm(const Gemm<T>& g) noexcept {
    constexpr Index panel = Index(gemm_vectors) * lanes;
    for (Index col = 0; col < g.n; col += panel) {
        const Index cols = g.n - col < panel ? g.n - col : panel;
        const Index vectors = (cols + lanes - 1) / lanes, width = vectors * lanes;
        const Index most = gemm_rows(int(vectors));
        const Index tiles = (g.m + most - 1) / most;
        // rows that lie a large power of two apart share the cache's sets, many rows of C repay the copy
        const bool collide = (g.b_row * Index(sizeof(T))) % 1024 == 0;
        const bool pack = g.b_col != 1 || width != cols || (g.k > 16 && (collide || g.m > 4 * most));
        Index start = 0;
        do {
            const Index depth = g.k - start < gemm_depth ? g.k - start : gemm_depth;
            const bool first = start == 0, finished = start + depth == g.k;
            const T* b = g.b + start * g.b_row + col * g.b_col;
            if (pack) gemm_pack(b, g.b_row, g.b_col, depth, cols, width, g.scratch);
            Index row = 0;
            for (Index tile = 0; tile < tiles; ++tile) {
                const Index rows = (g.m - row + tiles - tile - 1) / (tiles - tile);
                gemm_pick(vectors, rows)({.k = depth,
                                          .a = g.a + row * g.a_row + start * g.a_col,
                                          .a_row = g.a_row,
                                          .a_col = g.a_col,
                                          .b = pack ? g.scratch : b,
                                          .b_row = pack ? width : g.b_row,
                                          .c = g.c.row(row) + col,
                                          .ldc = g.c.ld,
                                          .tail = cols - (vectors - 1) * lanes,
                                          .bias = first && g.bias ? g.bias + col : nullptr,
                                          .accumulate = g.accumulate || !first});
                if (finished && g.epilogue)
                    g.epilogue({.rows = rows,
                                .cols = cols,
                                .x = {g.c.row(row) + col, g.c.ld},
                                .y = {g.y.row(row) + col, g.y.ld},
                                .params = g.params,
                                .slope = {g.slope.data ? g.slope.row(row) + col : nullptr, g.slope.ld}});
                row += rows;
            }
            start += depth;
        } while (start < g.k);
    }
}
