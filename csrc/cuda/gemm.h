// Matrix products of any strides: what no library is needed for, and float64.

// A block has 64 x 64 of C, a thread 4 x 4 of them; 16 columns of A and rows of B at a time lie in shared memory.
struct GemmKernel {
    static constexpr int threads = 256, tile = 64, depth = 16, each_way = 4;
    struct Shared {
        T a[depth][tile], b[depth][tile];
    };
    struct Local {
        T sum[each_way][each_way];
    };
    Gemm<T> g;

    // It has more than few_tiles, so no memory holds A and B where an int would not count them.
    FUSEDNET_DEVICE int steps() const { return 2 * int(greater(1, divide_up(g.k, depth))); }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        const Index across = divide_up(g.n, tile), row = t.block / across * tile, col = t.block % across * tile;
        if (step == 0)
            for (auto& sums : local.sum)
                for (T& sum : sums) sum = 0;
        if (step % 2 == 0)
            load(row, col, Index(step / 2) * depth, t.index, shared);
        else if (row + t.index / 16 * each_way < g.m)  // whole warps have nothing of a low C
            multiply(t.index, shared, local);
        if (step + 1 == steps()) write(row, col, t.index, local);
    }

private:
    // Neighbouring threads take neighbouring elements, along whichever stride is 1.
    FUSEDNET_DEVICE void load(Index row, Index col, Index first, int index, Shared& shared) const {
        FUSEDNET_UNROLL
        for (int e = index; e < tile * depth; e += threads) {
            const int a_k = g.a_col == 1 ? e % depth : e / tile, i = g.a_col == 1 ? e / depth : e % tile;
            const int b_k = g.b_col == 1 ? e / tile : e % depth, j = g.b_col == 1 ? e % tile : e / depth;
            const bool a_inside = row + i < g.m && first + a_k < g.k, b_inside = col + j < g.n && first + b_k < g.k;
            shared.a[a_k][i] = a_inside ? g.a[(row + i) * g.a_row + (first + a_k) * g.a_col] : T(0);
            shared.b[b_k][j] = b_inside ? g.b[(first + b_k) * g.b_row + (col + j) * g.b_col] : T(0);
        }
    }
    FUSEDNET_DEVICE void multiply(int index, const Shared& shared, Local& local) const {
        const int i0 = index / 16 * each_way, j0 = index % 16 * each_way;
        FUSEDNET_UNROLL
        for (int k = 0; k < depth; ++k) {
            T a[each_way], b[each_way];
            for (int v = 0; v < each_way; ++v) a[v] = shared.a[k][i0 + v];
            for (int v = 0; v < each_way; ++v) b[v] = shared.b[k][j0 + v];
            for (int i = 0; i < each_way; ++i)
                for (int j = 0; j < each_way; ++j) local.sum[i][j] = fma(a[i], b[j], local.sum[i][j]);
        }
    }
    FUSEDNET_DEVICE void write(Index row, Index col, int index, const Local& local) const {
        for (int v = 0; v < each_way; ++v) {
            const Index i = row + index / 16 * each_way + v;
            for (int w = 0; i < g.m && w < each_way; ++w) {
                const Index j = col + index % 16 * each_way + w;
                if (j >= g.n) break;
                T* c = g.c.row(i) + j;
                T sum = g.accumulate ? *c + local.sum[v][w] : local.sum[v][w];
                if (g.bias) sum += g.bias[j];
                *c = sum;
            }
        }
    }
};

// The same for few tiles, where the wait for memory is most of the time: a block has 32 x 32 of C, and each of its
// warps all of them for a slice of k, without a meeting. Sums of slices are joined in their order.
struct SlicedGemm {
    static constexpr int tile = 32, slices = 32 / int(sizeof(T)), threads = 32 * slices;
    static constexpr int high = 4, wide = 8, pitch = tile + 4, ahead = 4;  // pitch: a warp's stores meet no bank twice
    struct Shared {
        T part[slices][tile][pitch];
    };
    using Local = Nothing;
    Gemm<T> g;

    FUSEDNET_DEVICE constexpr int steps() const { return 2; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        const Index across = divide_up(g.n, tile), row = t.block / across * tile, col = t.block % across * tile;
        if (step == 0)
            multiply(row, col, t.index / 32, t.index % 32, shared);
        else
            write(t, shared, [](Index, Index, T) {});
    }
    // The second step, with after(i, j, C's element) for each.
    template <class After>
    FUSEDNET_DEVICE void write(const Thread& t, const Shared& shared, const After& after) const {
        const Index across = divide_up(g.n, tile), row = t.block / across * tile, col = t.block % across * tile;
        for (int e = t.index; e < tile * tile; e += threads) {
            const Index i = row + e / tile, j = col + e % tile;
            if (i < g.m && j < g.n) after(i, j, joined(i, j, e / tile, e % tile, shared));
        }
    }

private:
    // Lane (l, c) has rows l + 8 v and columns c + 4 w. Beyond the edge it computes the last ones, which nobody writes.
    FUSEDNET_DEVICE void multiply(Index row, Index col, int slice, int lane, Shared& shared) const {
        const int l = lane / 4, c = lane % 4;
        const T *a[high], *b[wide];
        T sum[high][wide];
        FUSEDNET_UNROLL
        for (int v = 0; v < high; ++v) a[v] = g.a + lesser(row + l + 8 * v, g.m - 1) * g.a_row;
        FUSEDNET_UNROLL
        for (int w = 0; w < wide; ++w) b[w] = g.b + lesser(col + c + 4 * w, g.n - 1) * g.b_col;
        FUSEDNET_UNROLL
        for (auto& sums : sum) {
            FUSEDNET_UNROLL
            for (T& s : sums) s = 0;
        }
        const Index share = divide_up(g.k, slices), first = slice * share, end = lesser(g.k, first + share);
        Index k = first;
        for (; k + ahead <= end; k += ahead) add<ahead>(a, b, k, sum);
        for (; k < end; ++k) add<1>(a, b, k, sum);
        FUSEDNET_UNROLL
        for (int v = 0; v < high; ++v) {
            FUSEDNET_UNROLL
            for (int w = 0; w < wide; ++w) shared.part[slice][l + 8 * v][c + 4 * w] = sum[v][w];
        }
    }
    template <int n>
    FUSEDNET_DEVICE void add(const T* const (&a)[high], const T* const (&b)[wide], Index k,
                             T (&sum)[high][wide]) const {
        T x[n][high], y[n][wide];
        FUSEDNET_UNROLL
        for (int i = 0; i < n; ++i) {
            FUSEDNET_UNROLL
            for (int v = 0; v < high; ++v) x[i][v] = a[v][(k + i) * g.a_col];
            FUSEDNET_UNROLL
            for (int w = 0; w < wide; ++w) y[i][w] = b[w][(k + i) * g.b_row];
        }
        FUSEDNET_UNROLL
        for (int i = 0; i < n; ++i) {
            FUSEDNET_UNROLL
            for (int v = 0; v < high; ++v) {
                FUSEDNET_UNROLL
                for (int w = 0; w < wide; ++w) sum[v][w] = fma(x[i][v], y[i][w], sum[v][w]);
            }
        }
    }
    FUSEDNET_DEVICE T joined(Index i, Index j, int row, int col, const Shared& shared) const {
        T sum = shared.part[0][row][col];
        FUSEDNET_UNROLL
        for (int slice = 1; slice < slices; ++slice) sum += shared.part[slice][row][col];
        T* const to = g.c.row(i) + j;
        if (g.accumulate) sum += *to;
        if (g.bias) sum += g.bias[j];
        *to = sum;
        return sum;
    }
};

// So few of the larger tiles that they would leave most of a device idle.
constexpr Index few_tiles = 64;

inline bool goes_by_slices(const Gemm<T>& g) {
    return divide_up(g.m, GemmKernel::tile) * divide_up(g.n, GemmKernel::tile) <= few_tiles;
}

inline Index blocks_of_slices(const Gemm<T>& g) {
    return divide_up(g.m, SlicedGemm::tile) * divide_up(g.n, SlicedGemm::tile);
}

// What a product ends with where its own launch has not.
inline void finish_gemm(const Gemm<T>& g, bool activates, bool sums) noexcept {
    if (activates && g.epilogue && g.m > 0 && g.n > 0)
        g.epilogue({.rows = g.m, .cols = g.n, .x = {g.c.data, g.c.ld}, .y = g.y, .params = g.params, .slope = g.slope});
    if (sums && g.b_sums) column_sums(g.k, g.n, {g.b, g.b_row}, g.b_sums);
}

inline void gemm(const Gemm<T>& g) noexcept {
    if (goes_by_slices(g))
        launch("gemm", blocks_of_slices(g), SlicedGemm{g});
    else
        launch("gemm", divide_up(g.m, GemmKernel::tile) * divide_up(g.n, GemmKernel::tile), GemmKernel{g});
    finish_gemm(g, true, true);
}
