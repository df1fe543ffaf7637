// Batch normalization by rows: what kernels_batchnorm.h does to columns, for matrices that are more than the caches
// hold. Memory is read in its order; four rows at a time are added to sums that stay in the first-level cache.

constexpr Index walked = 64 * lanes;  // columns whose sums and constants do

// f(Vectors<count>, i) for as many rows from i on, then f(Vectors<1>, i) for each of the rest.
template <Index count, class F>
FUSEDNET_INLINE void for_several(Index first, Index end, F f) {
    Index i = first;
    for (; i + count <= end; i += count) f(Vectors<count>{}, i);
    for (; i < end; ++i) f(Vectors<1>{}, i);
}

// f(first row, end, chunk's number, first column, columns)
template <class F>
FUSEDNET_INLINE void for_chunks(Index rows, Index cols, F f) {
    for (Index first = 0; first < rows; first += chunk)
        for (Index start = 0; start < cols; start += walked)
            f(first, rows - first < chunk ? rows : first + chunk, first / chunk, start,
              cols - start < walked ? cols - start : walked);
}

FUSEDNET_INLINE void clear(T* to, Index cols) {
    for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(to + j, V(0), part); });
}

inline void batchnorm_chunks(Index rows, Index cols, View<const T> x, View<T> found) noexcept {
    for_chunks(rows, cols, [&](Index first, Index end, Index number, Index start, Index count) FUSEDNET_INLINE_LAMBDA {
        T *center = found.row(3 * number) + start, *sum = found.row(3 * number + 1) + start,
          *square = found.row(3 * number + 2) + start;
        const V n(double(end - first));
        clear(center, count);
        clear(sum, count);
        clear(square, count);
        for_several<4>(first, end, [&](auto several, Index i) FUSEDNET_INLINE_LAMBDA {
            for_vectors(count, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                V c = load(center + j, part);
                for (Index r = 0; r < several.count; ++r) c = c + load(x.row(i + r) + start + j, part);
                store(center + j, c, part);
            });
        });
        for_vectors(count, [&](Index j, auto part)
                               FUSEDNET_INLINE_LAMBDA { store(center + j, load(center + j, part) / n, part); });
        for_several<4>(first, end, [&](auto several, Index i) FUSEDNET_INLINE_LAMBDA {
            for_vectors(count, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                const V c = load(center + j, part);
                V s = load(sum + j, part), q = load(square + j, part);
                for (Index r = 0; r < several.count; ++r) {
                    const V d = load(x.row(i + r) + start + j, part) - c;
                    s = s + d;
                    q = fma(d, d, q);
                }
                store(sum + j, s, part);
                store(square + j, q, part);
            });
        });
    });
}

inline void batchnorm_join(Index rows, Index cols, View<const T> found, T* mean_of, T* variance_of) noexcept {
    for_blocks(cols, [&](Index start, Index count) FUSEDNET_INLINE_LAMBDA {
        double mean[norm_block] = {}, squares[norm_block] = {};
        for (Index first = 0; first < rows; first += chunk) {
            const Index end = rows - first < chunk ? rows : first + chunk, row = first / chunk * 3;
            const T *center = found.row(row) + start, *sum = found.row(row + 1) + start,
                    *square = found.row(row + 2) + start;
            for (Index l = 0; l < count; ++l)
                join_chunk(mean[l], squares[l], center[l], sum[l], square[l], double(end - first), double(end));
        }
        const double n = rows > 0 ? double(rows) : 1.0;
        for (Index l = 0; l < count; ++l) {
            mean_of[start + l] = static_cast<T>(mean[l]);
            variance_of[start + l] = static_cast<T>(squares[l] < 0 ? 0.0 : squares[l] / n);
        }
    });
}

// The constants of columns from `start` on, computed once for many rows.
struct WalkedNorm {
    alignas(64) T mean[walked + lanes], inverse[walked + lanes], scale[walked + lanes], beta[walked + lanes];
    template <class Args>
    FUSEDNET_MEMBER WalkedNorm(const Args& a, Index start, Index cols) {
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const Normalized n = normalized(a, start + j, part);
            store(mean + j, n.mean);
            store(inverse + j, n.inverse);
            store(scale + j, n.scale);
            store(beta + j, n.beta);
        });
    }
};

// Whether dx keeps du between `sums` and `differences`.
template <class F>
constexpr bool keeps_gradient = F::reads_saved && !F::from_output;

template <class F>
void batchnorm_sums(const BatchNormBackward<T>& a, View<T> found) noexcept {
    constexpr bool learned = F::slope_from == Slope::learned;
    constexpr Index parts = learned ? 3 : 2;
    const F f(a.params);
    for (Index start = 0; start < a.cols; start += walked) {
        const Index cols = a.cols - start < walked ? a.cols - start : walked;
        const WalkedNorm norm(a, start, cols);
        for (Index first = 0; first < a.rows; first += chunk) {
            const Index end = a.rows - first < chunk ? a.rows : first + chunk, row = first / chunk * parts;
            T *sum = found.row(row) + start, *dot = found.row(row + 1) + start;
            [[maybe_unused]] T* slopes = learned ? found.row(row + 2) + start : nullptr;
            clear(sum, cols);
            clear(dot, cols);
            if constexpr (learned) clear(slopes, cols);
            for_several<2>(first, end, [&](auto several, Index i) FUSEDNET_INLINE_LAMBDA {
                for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                    const V mean = load(norm.mean + j), scale = load(norm.scale + j), beta = load(norm.beta + j);
                    V s = load(sum + j, part), p = load(dot + j, part);
                    [[maybe_unused]] V of_slope(0);
                    if constexpr (learned) of_slope = load(slopes + j, part);
                    for (Index r = 0; r < several.count; ++r) {
                        const Index col = start + j;
                        const V d = load(a.x.row(i + r) + col, part) - mean;
                        const V du = gradient_before(f, a, i + r, col, d, scale, beta, part);
                        s = s + du;
                        p = fma(du, d, p);
                        if constexpr (learned)
                            of_slope =
                                of_slope + load(a.dy.row(i + r) + col, part) * f.slope_gradient(fma(d, scale, beta));
                        if constexpr (keeps_gradient<F>) store(a.dx.row(i + r) + col, du, part);  // dx may be dy
                    }
                    store(sum + j, s, part);
                    store(dot + j, p, part);
                    if constexpr (learned) store(slopes + j, of_slope, part);
                });
            });
            for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                store(dot + j, load(dot + j, part) * load(norm.inverse + j), part);
            });
        }
    }
}

inline void batchnorm_totals(Index rows, Index cols, Index parts, View<const T> found, View<T> means, T* dgamma,
                             T* dbeta, T* dslope) noexcept {
    const double n = rows > 0 ? double(rows) : 1.0;
    for_blocks(cols, [&](Index start, Index count) FUSEDNET_INLINE_LAMBDA {
        for (Index part = 0; part < parts; ++part) {
            double total[norm_block] = {};
            for (Index first = 0; first < rows; first += chunk) {
                const T* one = found.row(first / chunk * parts + part) + start;
                for (Index l = 0; l < count; ++l) total[l] += double(one[l]);
            }
            T* const gradient = part == 0 ? dbeta : part == 1 ? dgamma : dslope;
            for (Index l = 0; l < count; ++l) {
                if (gradient) gradient[start + l] = static_cast<T>(total[l]);
                if (part < 2) means.row(part)[start + l] = static_cast<T>((part == 0 ? total[l] : -total[l]) / n);
            }
        }
    });
}

template <class F>
void batchnorm_differences(const BatchNormBackward<T>& a, View<const T> means) noexcept {
    const F f(a.params);
    for (Index start = 0; start < a.cols; start += walked) {
        const Index cols = a.cols - start < walked ? a.cols - start : walked;
        const WalkedNorm norm(a, start, cols);
        alignas(64) T of_du[walked + lanes], of_dot[walked + lanes];  // the latter times -inverse, to go with x - mean
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(of_du + j, load(means.row(0) + start + j, part));
            store(of_dot + j, load(means.row(1) + start + j, part) * load(norm.inverse + j));
        });
        for (Index i = 0; i < a.rows; ++i)
            for_row(a.stream, a.dx.row(i) + start, cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                const Index col = start + j;
                const V scale = load(norm.scale + j);
                const V d = load(a.x.row(i) + col, part) - load(norm.mean + j);
                V du = V(0);
                if constexpr (keeps_gradient<F>)
                    du = load(a.dx.row(i) + col, part);
                else
                    du = gradient_before(f, a, i, col, d, scale, load(norm.beta + j), part);
                if (a.training) du = fma(d, load(of_dot + j), du - load(of_du + j));
                store(a.dx.row(i) + col, scale * du, part);
            });
    }
    if (a.stream) fence_streamed();
}
