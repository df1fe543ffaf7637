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

inline void gemm(const Gemm<T>& g) noexcept {
    launch("gemm", divide_up(g.m, GemmKernel::tile) * divide_up(g.n, GemmKernel::tile), GemmKernel{g});
    if (g.epilogue && g.m > 0 && g.n > 0)
        g.epilogue({.rows = g.m, .cols = g.n, .x = {g.c.data, g.c.ld}, .y = g.y, .params = g.params, .slope = g.slope});
}
