// Batch normalization over the rows of a batch. Sums run in T over a chunk of rows, then join in float64: neither the
// number of rows nor a large mean costs digits.

// Columns whose sums are kept while chunk after chunk of rows goes by: what a row has of them lies together in memory.
constexpr Index norm_block = 16 * lanes;

template <class F>
FUSEDNET_INLINE void for_blocks(Index cols, F f) {
    for (Index start = 0; start < cols; start += norm_block)
        f(start, cols - start < norm_block ? cols - start : norm_block);
}

// A chunk of n rows, up to row `end`, joined to the rows before it: Chan, Golub and LeVeque 1979, eq. 2.1. Its sums are
// those of the deviations from `center`, its rounded mean, which the first of them puts right.
FUSEDNET_INLINE void join_chunk(double& mean, double& squares, T center, T sum, T square, double n, double end) {
    const double share = n / end, offset = double(sum) / n, delta = double(center) + offset - mean;
    mean += delta * share;
    squares += double(square) - double(sum) * offset + delta * delta * share * (end - n);
}

inline void batchnorm_statistics(const BatchNormStatistics<T>& a) noexcept {
    for_blocks(a.cols, [&](Index start, Index cols) FUSEDNET_INLINE_LAMBDA {
        double mean[norm_block] = {}, squares[norm_block] = {};
        for (Index first = 0; first < a.rows; first += chunk) {
            const Index end = a.rows - first < chunk ? a.rows : first + chunk;
            for_groups(cols, [&](auto vectors, Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                constexpr Index count = decltype(vectors)::count;
                const auto x = [&](Index i, Index v)
                                   FUSEDNET_INLINE_LAMBDA { return load(a.x.row(i) + start + j + v * lanes, part); };
                V center[count], sum[count], square[count];
                for (V& c : center) c = V(0);
                for (Index i = first; i < end; ++i)
                    for (Index v = 0; v < count; ++v) center[v] = center[v] + x(i, v);
                for (Index v = 0; v < count; ++v) {
                    center[v] = center[v] / V(double(end - first));
                    sum[v] = square[v] = V(0);
                }
                for (Index i = first; i < end; ++i)
                    for (Index v = 0; v < count; ++v) {
                        const V d = x(i, v) - center[v];
                        sum[v] = sum[v] + d;
                        square[v] = fma(d, d, square[v]);
                    }
                T c[count * lanes], s[count * lanes], q[count * lanes];
                for (Index v = 0; v < count; ++v) {
                    store(c + v * lanes, center[v]);
                    store(s + v * lanes, sum[v]);
                    store(q + v * lanes, square[v]);
                }
                for (Index l = 0; l < count * lanes; ++l)
                    join_chunk(mean[j + l], squares[j + l], c[l], s[l], q[l], double(end - first), double(end));
            });
        }
        const double n = a.rows > 0 ? double(a.rows) : 1.0;
        for (Index l = 0; l < cols; ++l) {
            a.mean[start + l] = static_cast<T>(mean[l]);
            a.variance[start + l] = static_cast<T>(squares[l] < 0 ? 0.0 : squares[l] / n);
        }
    });
}

// One vector of columns: x hat = (x - mean) inverse, u = (x - mean) scale + beta.
struct Normalized {
    V mean, inverse, scale, beta;
};

template <class Args, class P>
FUSEDNET_INLINE Normalized normalized(const Args& a, Index j, P part) {
    const V inverse = V(1) / sqrt(load(a.variance + j, part) + V(a.epsilon));
    return {load(a.mean + j, part), inverse, a.gamma ? inverse * load(a.gamma + j, part) : inverse,
            a.beta ? load(a.beta + j, part) : V(0)};
}

template <class F>
void batchnorm_forward(const BatchNormForward<T>& a) noexcept {
    constexpr Index block = 64 * lanes;  // columns whose constants, computed once, stay in the first-level cache
    const F f(a.params);
    for (Index start = 0; start < a.cols; start += block) {
        const Index cols = a.cols - start < block ? a.cols - start : block;
        alignas(64) T mean[block + lanes], scale[block + lanes], beta[block + lanes];  // a part reads a vector
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const Normalized n = normalized(a, start + j, part);
            store(mean + j, n.mean);
            store(scale + j, n.scale);
            store(beta + j, n.beta);
        });
        for (Index i = 0; i < a.rows; ++i) {
            const T* x = a.x.row(i) + start;
            const T* slope = F::slope_from == Slope::none ? nullptr : a.slope.row(i) + start;
            T* y = a.y.row(i) + start;
            for_row(a.stream, y, cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                const V u = fma(load(x + j, part) - load(mean + j), load(scale + j), load(beta + j));
                store(y + j, value_of(f, u, slope, j, part), part);
            });
        }
    }
    if (a.stream) fence_streamed();
}

// du of row i at column col, whose constants are scale and beta.
template <class F, class P>
FUSEDNET_INLINE V gradient_before(const F& f, const BatchNormBackward<T>& a, Index i, Index col, V centered, V scale,
                                  V beta, P part) {
    const V dy = load(a.dy.row(i) + col, part);
    if constexpr (!F::reads_saved) return dy * f.derivative(dy);
    if constexpr (F::from_output) return dy * f.derivative(load(a.saved.row(i) + col, part));
    const V u = fma(centered, scale, beta);
    return dy * derivative_of(f, u, F::slope_from == Slope::none ? nullptr : a.slope.row(i), col, part);
}

// With du = dy f': dbeta = sum(du), dgamma = sum(du x hat), dx = scale (du - mean(du) - x hat mean(du x hat)). A
// learned slope's gradient is a third sum in the same order. The second pass starts with the rows that the first has
// left in the caches; du is in dx then, unless y alone gives it again.
template <class F>
void batchnorm_backward(const BatchNormBackward<T>& a) noexcept {
    const F f(a.params);
    const double n = a.rows > 0 ? double(a.rows) : 1.0;
    const bool sums = a.training || a.dgamma || a.dbeta || a.dslope;
    const bool keeps = F::reads_saved && !F::from_output && sums;
    for_blocks(a.cols, [&](Index start, Index cols) FUSEDNET_INLINE_LAMBDA {
        const auto gradient =
            [&](Index i, Index col, V centered, const Normalized& norm, auto part)
                FUSEDNET_INLINE_LAMBDA { return gradient_before(f, a, i, col, centered, norm.scale, norm.beta, part); };
        double total[norm_block] = {}, product[norm_block] = {};
        [[maybe_unused]] double slopes[F::slope_from == Slope::learned ? norm_block : 1] = {};
        for (Index first = 0; sums && first < a.rows; first += chunk) {
            const Index end = a.rows - first < chunk ? a.rows : first + chunk;
            for_groups(cols, [&](auto vectors, Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                constexpr Index count = decltype(vectors)::count;
                Normalized norm[count];
                V sum[count], dot[count];
                [[maybe_unused]] V of_slope[count];
                for (Index v = 0; v < count; ++v) {
                    norm[v] = normalized(a, start + j + v * lanes, part);
                    sum[v] = dot[v] = of_slope[v] = V(0);
                }
                for (Index i = first; i < end; ++i)
                    for (Index v = 0; v < count; ++v) {
                        const Index col = start + j + v * lanes;
                        const V d = load(a.x.row(i) + col, part) - norm[v].mean;
                        const V du = gradient(i, col, d, norm[v], part);
                        sum[v] = sum[v] + du;
                        dot[v] = fma(du, d, dot[v]);
                        if constexpr (F::slope_from == Slope::learned) {
                            const V u = fma(d, norm[v].scale, norm[v].beta);
                            of_slope[v] = of_slope[v] + load(a.dy.row(i) + col, part) * f.slope_gradient(u);
                        }
                        if (keeps) store(a.dx.row(i) + col, du, part);  // after dy's last use, which it may be
                    }
                for (Index v = 0; v < count; ++v) dot[v] = dot[v] * norm[v].inverse;
                join(total + j, sum);
                join(product + j, dot);
                if constexpr (F::slope_from == Slope::learned) join(slopes + j, of_slope);
            });
        }
        alignas(64) T mean_du[norm_block + lanes], mean_dot[norm_block + lanes];
        for (Index l = 0; l < cols; ++l) {
            if (a.dbeta) a.dbeta[start + l] = static_cast<T>(total[l]);
            if (a.dgamma) a.dgamma[start + l] = static_cast<T>(product[l]);
            if constexpr (F::slope_from == Slope::learned)
                if (a.dslope) a.dslope[start + l] = static_cast<T>(slopes[l]);
            mean_du[l] = static_cast<T>(total[l] / n);
            mean_dot[l] = static_cast<T>(-product[l] / n);
        }
        for (Index end = a.rows; end > 0;) {
            const Index first = (end - 1) / chunk * chunk;
            const auto differentiate = [&](auto vectors, Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                constexpr Index count = decltype(vectors)::count;
                Normalized norm[count];
                V of_du[count], of_dot[count];  // the latter times -inverse, to go with x - mean
                for (Index v = 0; v < count; ++v) {
                    norm[v] = normalized(a, start + j + v * lanes, part);
                    of_du[v] = load(mean_du + j + v * lanes);
                    of_dot[v] = load(mean_dot + j + v * lanes) * norm[v].inverse;
                }
                for (Index i = first; i < end; ++i)
                    for (Index v = 0; v < count; ++v) {
                        const Index col = start + j + v * lanes;
                        const V d = load(a.x.row(i) + col, part) - norm[v].mean;
                        V du = keeps ? load(a.dx.row(i) + col, part) : gradient(i, col, d, norm[v], part);
                        if (a.training) du = fma(d, of_dot[v], du - of_du[v]);
                        store(a.dx.row(i) + col, norm[v].scale * du, part);
                    }
            };
            if (a.stream)
                for_groups_streamed(a.dx.data + start, cols, differentiate);
            else
                for_groups(cols, differentiate);
            end = first;
        }
    });
    if (a.stream) fence_streamed();
}
