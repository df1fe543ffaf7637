// C = A B by register tiles of rows x vectors: A is broadcast, B is read as rows of vectors, C stays in registers
// through a block of k. Columns go in blocks of a few tiles' width, so that a tile's rows of A, read once from afar,
// serve all of them; B and A are packed only where their rows cannot be read well as they are.

// k a block: with gemm_columns, a packed block of B stays in L2 while the tiles of C pass over it.
constexpr Index gemm_depth = 256;
constexpr Index gemm_columns = 256;
// Vectors a tile: as many as leave room for enough rows to hide the latency of the multiply-add.
constexpr int gemm_registers = lanes == 16 ? 32 : 16;
constexpr int gemm_vectors = gemm_registers == 32 || lanes == 1 ? 4 : 2;

constexpr int gemm_rows(int vectors) noexcept {
    const int rows = (gemm_registers - vectors - 1) / vectors;
    return rows < 14 ? rows : 14;
}
constexpr Index gemm_most_rows = gemm_rows(1);
static_assert(gemm_depth * (gemm_columns + gemm_most_rows) + lanes <= gemm_scratch);

// What a product will read next, on its way from memory to the second-level cache: a tile asks for a line at each k.
struct GemmAhead {
    static constexpr Index line = 64 / Index(sizeof(T)), lines = gemm_depth / line;  // of a row
    struct Rows {
        const T* at;
        Index next_line, next_row, left;
    };
    Rows list[4] = {};  // behind the last of them one with none left
    Rows* now = list;

    void clear() noexcept {
        now = list;
        now->left = 0;
        count_ = 0;
    }
    void add(const T* at, Index next_line, Index next_row, Index rows) noexcept {
        list[count_++] = {at, next_line, next_row, rows};
        list[count_].left = 0;
    }

private:
    int count_ = 0;
};

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
    GemmAhead* ahead;
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
    [[maybe_unused]] const M valid = first_lanes(t.tail);
    const auto add = [&]() FUSEDNET_INLINE_LAMBDA {
        V vb[vectors];
        FUSEDNET_UNROLL
        for (int j = 0; j < vectors; ++j) {
            if constexpr (masked_loads)
                vb[j] = j == vectors - 1 ? load_lanes(b + j * lanes, valid) : load(b + j * lanes);
            else
                vb[j] = load(b + j * lanes);
        }
        FUSEDNET_UNROLL
        for (int i = 0; i < rows; ++i) {
            const V va = broadcast(a[i * t.a_row]);
            FUSEDNET_UNROLL
            for (int j = 0; j < vectors; ++j) sum[i][j] = fma(va, vb[j], sum[i][j]);
        }
        a += t.a_col;
        b += t.b_row;
    };
    const Index k = t.k;
    Index p = 0;
    if constexpr (rows > 2)  // fewer wait for B alone
        while (p < k && t.ahead->now->left > 0) {
            GemmAhead::Rows& next = *t.ahead->now;
            const T* line = next.at;
            const Index step = next.next_line, end = k - p < GemmAhead::lines ? k : p + GemmAhead::lines;
            next.at += next.next_row;
            if (--next.left == 0) ++t.ahead->now;
            for (; p < end; ++p, line += step) {
                __builtin_prefetch(line, 0, 2);
                add();
            }
        }
    for (; p < k; ++p) add();
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

// packed (depth, width) = some columns of B, zero beyond cols.
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
    // B is a transpose: square blocks turned in registers
    for (Index j = 0; j < width; j += lanes) {
        const Index valid = cols - j < lanes ? cols - j : lanes;
        for (Index p = 0; p < depth; p += lanes) {
            const Index left = depth - p < lanes ? depth - p : lanes;
            V block[lanes];
            for (Index l = 0; l < lanes; ++l) {
                const T* from = b + (j + l) * b_col + p;
                block[l] = l >= valid ? V(0.0) : left == lanes ? load(from) : load(from, left);
            }
            transpose(block);
            for (Index l = 0; l < left; ++l) store(packed + (p + l) * width + j, block[l]);
        }
    }
}

// Some rows of A, side by side: packed (rows, depth) where A's rows are contiguous, else (depth, rows).
inline void gemm_pack_rows(GemmTile& t, Index rows, Index left, T* packed) noexcept {
    if (t.a_col == 1) {
        for (Index i = 0; i < rows; ++i)
            for_vectors(t.k, [&](Index p, auto part) FUSEDNET_INLINE_LAMBDA {
                store(packed + i * t.k + p, load(t.a + i * t.a_row + p, part), part);
            });
        t.a_row = t.k;
    } else {
        // whole vectors where A has them, of which the next p overwrites the end
        const bool whole = (rows + lanes - 1) / lanes * lanes <= left;
        for (Index p = 0; p < t.k; ++p) {
            const T* from = t.a + p * t.a_col;
            T* to = packed + p * rows;
            for (Index i = 0; whole && i < rows; i += lanes) store(to + i, load(from + i));
            for (Index i = 0; !whole && i < rows; ++i) to[i] = from[i];
        }
        t.a_col = rows;
    }
    t.a = packed;
}

// Columns too few to fill a vector worth its time are computed in vectors along k or m instead.
constexpr Index gemm_thin = lanes / 4;
constexpr Index gemm_thin_depth = 8 * 1024;  // k at a time
static_assert(gemm_thin * gemm_thin_depth <= gemm_scratch);

struct GemmThin {
    const Gemm<T>& g;
    Index col;
    T start(Index i, Index j) const noexcept {
        return (g.accumulate ? g.c.row(i)[col + j] : T(0)) + (g.bias ? g.bias[col + j] : T(0));
    }
};

// A's rows are contiguous: the sums run along k, B's columns packed beside each other where they are not.
template <int cols>
void gemm_thin_rows(const GemmThin& t) noexcept {
    const Gemm<T>& g = t.g;
    for (Index first = 0; first == 0 || first < g.k; first += gemm_thin_depth) {
        const Index depth = g.k - first < gemm_thin_depth ? g.k - first : gemm_thin_depth;
        const T* column[cols];
        for (int j = 0; j < cols; ++j) {
            const T* from = g.b + first * g.b_row + (t.col + j) * g.b_col;
            column[j] = from;
            if (g.b_row == 1) continue;
            T* packed = g.scratch + j * gemm_thin_depth;
            for (Index p = 0; p < depth; ++p) packed[p] = from[p * g.b_row];
            column[j] = packed;
        }
        for (Index i = 0; i < g.m; ++i) {
            const T* a = g.a + i * g.a_row + first;
            V sum[cols];
            for (V& s : sum) s = V(0.0);
            for_vectors(depth, [&](Index p, auto part) FUSEDNET_INLINE_LAMBDA {
                const V va = load(a + p, part);
                FUSEDNET_UNROLL
                for (int j = 0; j < cols; ++j) sum[j] = fma(va, load(column[j] + p, part), sum[j]);
            });
            for (int j = 0; j < cols; ++j) {
                T& c = g.c.row(i)[t.col + j];
                c = (first == 0 ? t.start(i, j) : c) + reduce_add(sum[j]);
            }
        }
    }
}

// A's columns are contiguous: as many rows of C at a time as there are lanes.
template <int cols>
void gemm_thin_columns(const GemmThin& t) noexcept {
    const Gemm<T>& g = t.g;
    for_vectors(g.m, [&](Index i, auto part) FUSEDNET_INLINE_LAMBDA {
        V sum[cols];
        for (V& s : sum) s = V(0.0);
        for (Index p = 0; p < g.k; ++p) {
            const V va = load(g.a + p * g.a_col + i, part);
            const T* b = g.b + p * g.b_row + t.col * g.b_col;
            FUSEDNET_UNROLL
            for (int j = 0; j < cols; ++j) sum[j] = fma(va, broadcast(b[j * g.b_col]), sum[j]);
        }
        for (int j = 0; j < cols; ++j) {
            T down[lanes];
            store(down, sum[j]);
            for (Index l = 0; l < width(part); ++l) g.c.row(i + l)[t.col + j] = t.start(i + l, j) + down[l];
        }
    });
}

template <int cols = gemm_thin>
void gemm_thin_pick(const GemmThin& t, Index wanted) noexcept {
    if constexpr (cols > 0) {
        if (wanted < cols)
            gemm_thin_pick<cols - 1>(t, wanted);
        else if (t.g.a_col == 1)
            gemm_thin_rows<cols>(t);
        else
            gemm_thin_columns<cols>(t);
    }
}

// Columns of C side by side, up to gemm_columns, as `tiles` tiles of nearly equal width; the last `thin` are in none.
struct GemmBlock {
    Index cols, thin, vectors, tiles, rows;  // rows: of a tile
    GemmBlock(const Gemm<T>& g, Index left) noexcept : cols(left < gemm_columns ? left : gemm_columns), thin(0) {
        if (cols % lanes <= gemm_thin && (g.a_col == 1 || g.a_row == 1)) thin = cols % lanes;
        vectors = (cols - thin + lanes - 1) / lanes;
        tiles = (vectors + gemm_vectors - 1) / gemm_vectors;
        rows = vectors ? gemm_rows(int((vectors + tiles - 1) / tiles)) : 64;
    }
    Index first(Index tile) const noexcept { return vectors * tile / tiles; }  // vector
};

// Rows that lie a large power of two apart share the cache's sets.
inline bool gemm_collides(Index stride) noexcept {
    return (stride * Index(sizeof(T))) % 1024 == 0;
}

// Elements of a block's A, B and C that are too many for the second-level cache.
constexpr Index gemm_far = 1 << 17;

// Where a product is: in a block of `cols` columns and `depth` of k, at tile number `tile` of those below each other.
struct GemmPlace {
    Index col, cols, start, depth, tile, row_tiles, row, rows;
};

// While a tile's rows are multiplied: the next rows of A and C, and the tile's share of the next block of B.
inline void gemm_look_ahead(const Gemm<T>& g, const GemmPlace& at, GemmAhead& ahead) noexcept {
    constexpr Index line = GemmAhead::line, lines = GemmAhead::lines;
    const Index across = (at.cols + line - 1) / line, next = at.start + at.depth;
    const bool down = at.row + at.rows < g.m, deeper = next < g.k;
    ahead.clear();
    if (!down && !deeper) return;
    const Index row = down ? at.row + at.rows : 0, k = down ? at.start : next;
    if (g.a_col == 1)
        ahead.add(g.a + row * g.a_row + k, line, g.a_row, at.rows);
    else if (g.a_row == 1)  // a line in each row of what A is the transpose of
        ahead.add(g.a + row + at.rows - 1 + k * g.a_col, g.a_col, lines * g.a_col, (at.depth + lines - 1) / lines);
    ahead.add(g.c.row(row) + at.col, g.c.ld, line, across);
    if (!deeper) return;
    if (g.b_col == 1) {
        const Index groups = (at.depth + lines - 1) / lines, group = at.tile * groups / at.row_tiles;
        if (group < (at.tile + 1) * groups / at.row_tiles)
            ahead.add(g.b + (next + group * lines) * g.b_row + at.col, g.b_row, line, across);
    } else {
        const Index share = (at.cols + at.row_tiles - 1) / at.row_tiles;
        ahead.add(g.b + next * g.b_row + (at.col + at.tile * share) * g.b_col, line, g.b_col, share);
    }
}

inline void gemm_block(const Gemm<T>& g, Index col, const GemmBlock& block) noexcept {
    const Index width = block.vectors * lanes, wide = block.cols - block.thin;
    const Index row_tiles = (g.m + block.rows - 1) / block.rows;
    if (block.thin) gemm_thin_pick({g, col + wide}, block.thin);
    // many rows of C repay the copy of B
    const bool pack = g.b_col != 1 || (!masked_loads && width != wide) ||
                      (g.k > 16 && ((gemm_collides(g.b_row) && g.m > 8) || g.m > 128));
    const bool pack_rows = block.tiles > 2 && (g.a_col == 1 ? gemm_collides(g.a_row) : g.a_row == 1);
    T* const packed_rows = g.scratch + gemm_depth * gemm_columns;
    const bool far = block.tiles > 0 && g.m * g.k + (g.m + g.k) * block.cols > gemm_far;
    GemmAhead ahead;
    Index start = 0;
    do {
        const Index depth = g.k - start < gemm_depth ? g.k - start : gemm_depth;
        const bool first = start == 0, finished = start + depth == g.k;
        const T* b = g.b + start * g.b_row + col * g.b_col;
        if (pack) {
            // each tile's columns by themselves: its rows of B are then one after the other
            for (Index t = 0; t < block.tiles; ++t) {
                const Index from = block.first(t) * lanes, end = block.first(t + 1) * lanes;
                gemm_pack(b + from * g.b_col, g.b_row, g.b_col, depth, wide - from, end - from,
                          g.scratch + from * depth);
            }
        }
        Index row = 0;
        for (Index tile = 0; tile < row_tiles; ++tile) {
            const Index rows = (g.m - row + row_tiles - tile - 1) / (row_tiles - tile);
            GemmTile t{.k = depth,
                       .a = g.a + row * g.a_row + start * g.a_col,
                       .a_row = g.a_row,
                       .a_col = g.a_col,
                       .b = nullptr,
                       .b_row = g.b_row,
                       .c = nullptr,
                       .ldc = g.c.ld,
                       .tail = lanes,
                       .bias = nullptr,
                       .accumulate = g.accumulate || !first,
                       .ahead = &ahead};
            if (far) gemm_look_ahead(g, {col, wide, start, depth, tile, row_tiles, row, rows}, ahead);
            if (pack_rows) gemm_pack_rows(t, rows, g.m - row, packed_rows);
            for (Index i = 0; i < block.tiles; ++i) {
                const Index from = block.first(i) * lanes, end = block.first(i + 1) * lanes;
                t.b = pack ? g.scratch + from * depth : b + from;
                if (pack) t.b_row = end - from;
                t.c = g.c.row(row) + col + from;
                t.tail = i == block.tiles - 1 ? wide - (block.vectors - 1) * lanes : lanes;
                t.bias = first && g.bias ? g.bias + col + from : nullptr;
                gemm_pick(block.first(i + 1) - block.first(i), rows)(t);
            }
            if (finished && g.epilogue)
                g.epilogue({.rows = rows,
                            .cols = block.cols,
                            .x = {g.c.row(row) + col, g.c.ld},
                            .y = {g.y.row(row) + col, g.y.ld},
                            .params = g.params,
                            .slope = {g.slope.data ? g.slope.row(row) + col : nullptr, g.slope.ld}});
            row += rows;
        }
        start += depth;
    } while (start < g.k);
}

inline void gemm(const Gemm<T>& g) noexcept {
    for (Index col = 0; col < g.n;) {
        const GemmBlock block(g, g.n - col);
        gemm_block(g, col, block);
        col += block.cols;
    }
}
