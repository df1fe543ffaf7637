// Batch normalization over the rows of a batch.

// Of some rows of a column: how many, their mean, the sum of squared deviations from it.
struct Moments {
    double n, mean, squares;
    FUSEDNET_DEVICE static Moments none() { return {0, 0, 0}; }
    FUSEDNET_DEVICE void join(const Moments& other) {  // Chan, Golub and LeVeque 1979, eq. 2.1
        if (other.n == 0) return;
        const double total = n + other.n, delta = other.mean - mean, share = other.n / total;
        mean += delta * share;
        squares += other.squares + delta * delta * share * n;
        n = total;
    }
};

// Deviations are taken from a thread's first row: sums of their squares then lose no more digits than the thread has
// rows, whatever the mean.
struct MomentsOfRows {
    View<const T> x;
    template <int n>
    FUSEDNET_DEVICE void operator()(Moments* moments, const Descent<n>& down) const {
        if (down.count == 0) return;
        const auto origin = down.at.load(x);
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) moments[k] = {double(down.count), 0, 0};
        down.template visit<4>([&](const Piece<n>& at) { return at.load(x); },
                               [&](const Piece<n>&, const Pack<T, n>& values) {
                                   FUSEDNET_UNROLL
                                   for (int k = 0; k < n; ++k) {
                                       const double d = double(values[k]) - double(origin[k]);
                                       moments[k].mean += d;
                                       moments[k].squares += d * d;
                                   }
                               });
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) {
            Moments& m = moments[k];
            const double mean = m.mean / m.n;
            m.squares = max(0.0, m.squares - m.mean * mean);  // this order passes NaN on
            m.mean = double(origin[k]) + mean;
        }
    }
};

struct KeepMoments {
    T *mean, *variance;
    FUSEDNET_DEVICE void operator()(Index j, const Moments& moments) const {
        mean[j] = T(moments.mean);
        variance[j] = T(moments.n > 0 ? moments.squares / moments.n : 0.0);
    }
};

[[gnu::noinline]] inline void batchnorm_statistics(const BatchNormStatistics<T>& a, const Strip& strip) noexcept {
    fold_columns<Moments>("batchnorm_statistics", strip, MomentsOfRows{a.x}, KeepMoments{a.mean, a.variance});
}

inline Strip strip_of(Index rows, Index cols, View<const T> x) noexcept {
    return all_columns(rows, cols, columns_in_pieces(rows, cols, x));
}

inline void batchnorm_statistics(const BatchNormStatistics<T>& a) noexcept {
    batchnorm_statistics(a, strip_of(a.rows, a.cols, a.x));
}

// One column: x hat = (x - mean) inverse, u = (x - mean) scale + beta.
struct Normalized {
    V mean, inverse, scale, beta;
};

template <class Args>
FUSEDNET_DEVICE Normalized normalized(const Args& a, Index j) {
    const V inverse = V(1) / sqrt(a.variance[j] + V(a.epsilon));
    return {a.mean[j], inverse, a.gamma ? inverse * a.gamma[j] : inverse, a.beta ? a.beta[j] : V(0)};
}
template <class Args, int n>
FUSEDNET_DEVICE Pack<Normalized, n> normalized(const Args& a, const Piece<n>& at) {
    Pack<Normalized, n> columns;
    FUSEDNET_UNROLL
    for (int k = 0; k < n; ++k) columns[k] = normalized(a, at.j + k);
    return columns;
}

// What both directions read of some elements; what F does not need is left at 0.
template <int n>
struct BatchNormInput {
    Pack<T, n> x, slope, dy, y;
};

template <class F>
struct NormalizeRows {
    BatchNormForward<T> a;
    F f;
    template <int n>
    FUSEDNET_DEVICE void operator()(const Descent<n>& down) const {
        const auto columns = normalized(a, down.at);
        down.template visit<4>(
            [&](const Piece<n>& at) { return BatchNormInput<n>{at.load(a.x), slopes<F>(a.slope, at), {}, {}}; },
            [&](const Piece<n>& at, const BatchNormInput<n>& in) {
                Pack<T, n> y;
                FUSEDNET_UNROLL
                for (int k = 0; k < n; ++k) {
                    const Normalized& c = columns[k];
                    y[k] = value_of(f, fma(in.x[k] - c.mean, c.scale, c.beta), in.slope[k]);
                }
                at.store(a.y, y);
            });
    }
};

template <class F>
void batchnorm_forward(const BatchNormForward<T>& a, const Strip& strip) noexcept {
    each_column("batchnorm_forward", strip, NormalizeRows<F>{a, F(a.params)});
}

inline Strip strip_of(const BatchNormForward<T>& a) noexcept {
    return all_columns(a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.x, a.y, a.slope));
}

template <class F>
void batchnorm_forward(const BatchNormForward<T>& a) noexcept {
    batchnorm_forward<F>(a, strip_of(a));
}

// Of columns of which so many arrays are read twice.
[[gnu::noinline]] inline cuda::Panels panels_of(Index rows, Index cols, Index arrays) noexcept {
    return cuda::panels_of(cols, arrays * rows * Index(sizeof(T)), panel_room());
}

// use(arguments, first column) for each panel of them.
template <class Args, class Use>
void by_panels(const Args& all, Index arrays, const Use& use) noexcept {
    const cuda::Panels panels = panels_of(all.rows, all.cols, arrays);
    for (Index i = 0, first = 0, end; i < panels.count; ++i, first = end) {
        end = panels.begin(i + 1);
        use(tile_of(all, {0, first, all.rows, end - first}), first);
    }
}

// y from the statistics of the same x, which are found first.
template <class F>
void batchnorm_by_batch(const BatchNormForward<T>& all, T* mean, T* variance) noexcept {
    if constexpr (each_shares)
        if (is_short(all.rows, all.cols))
            return fold_then_each_column<Moments>("batchnorm_forward", all.rows, all.cols, MomentsOfRows{all.x},
                                                  KeepMoments{mean, variance}, NormalizeRows<F>{all, F(all.params)});
    const Strip read = strip_of(all.rows, all.cols, all.x), both = strip_of(all);
    by_panels(all, 1, [&](const BatchNormForward<T>& a, Index first) {
        batchnorm_statistics({a.rows, a.cols, a.x, mean + first, variance + first}, read.of(a.cols));
        batchnorm_forward<F>(a, both.of(a.cols));
    });
}

// Whether y costs less to compute again than to read.
template <class F>
constexpr bool computes_again = false;
template <>
inline constexpr bool computes_again<Relu<V>> = true;
template <>
inline constexpr bool computes_again<LeakyRelu<V>> = true;
template <>
inline constexpr bool computes_again<Relu6<V>> = true;
template <>
inline constexpr bool computes_again<Elu<V>> = true;

template <class F>
constexpr bool reads_y = F::reads_saved && F::from_output && !computes_again<F>;

template <class F, int n>
FUSEDNET_DEVICE BatchNormInput<n> load_gradient(const BatchNormBackward<T>& a, const Piece<n>& at) {
    BatchNormInput<n> in{at.load(a.x), slopes<F>(a.slope, at), at.load(a.dy), {}};
    if constexpr (reads_y<F>) in.y = at.load(a.saved);
    return in;
}

// That a backward pass has under way: single columns leave room for more.
template <int n>
constexpr int rows_at_once = n == 1 ? 4 : 2;

// du = dy f' of one element.
template <class F, int n>
FUSEDNET_DEVICE V batchnorm_gradient(const F& f, const Normalized& c, const BatchNormInput<n>& in, int k) {
    const V dy = in.dy[k], u = fma(in.x[k] - c.mean, c.scale, c.beta);
    if constexpr (!F::reads_saved)
        return dy * f.derivative(dy);
    else if constexpr (reads_y<F>)
        return dy * f.derivative(in.y[k]);
    else if constexpr (F::from_output)
        return dy * f.derivative(f.value(u));
    else
        return dy * derivative_of(f, u, in.slope[k]);
}

// What a column's own statistics add to its gradient: du becomes du - mean + (x - its mean) factor.
struct ThroughStatistics {
    V mean, factor;
};

template <int n>
FUSEDNET_DEVICE Pack<ThroughStatistics, n> through_statistics(const BatchNormBackward<T>& a,
                                                              const Pack<Normalized, n>& columns, const double* means,
                                                              const Piece<n>& at) {
    Pack<ThroughStatistics, n> all = {};
    FUSEDNET_UNROLL
    for (int k = 0; means && k < n; ++k)
        all[k] = {V(means[at.j + k]), -V(means[a.cols + at.j + k]) * columns[k].inverse};
    return all;
}

// dbeta = sum(du), dgamma = sum(du x hat), and with the batch's own statistics
// dx = scale (du - mean(du) - x hat mean(du x hat)). The second pass computes du again, from what it reads anyway.
template <class F>
struct BatchNormSums {
    static constexpr bool learned = F::slope_from == Slope::learned;
    using Totals = Sums<learned ? 3 : 2>;
    BatchNormBackward<T> a;
    F f;
    double* means;  // of du, then of du x hat, a number a column each; null: constants are not differentiated

    template <int n>
    FUSEDNET_DEVICE void operator()(Totals* sums, const Descent<n>& down) const {
        const auto columns = normalized(a, down.at);
        down.template visit<rows_at_once<n>>(
            [&](const Piece<n>& at) { return load_gradient<F>(a, at); },
            [&](const Piece<n>&, const BatchNormInput<n>& in) {
                FUSEDNET_UNROLL
                for (int k = 0; k < n; ++k) {
                    const Normalized& c = columns[k];
                    const V centered = in.x[k] - c.mean;
                    const double du = double(batchnorm_gradient(f, c, in, k));
                    sums[k].v[0] += du;
                    sums[k].v[1] += du * double(centered);
                    if constexpr (learned)
                        sums[k].v[2] += double(in.dy[k]) * double(f.slope_gradient(fma(centered, c.scale, c.beta)));
                }
            });
    }
    FUSEDNET_DEVICE void operator()(Index j, const Totals& sums) const {
        const double product = sums.v[1] * double(normalized(a, j).inverse);
        const double n = a.rows > 0 ? double(a.rows) : 1.0;
        if (means) {
            means[j] = sums.v[0] / n;
            means[a.cols + j] = product / n;
        }
        if (a.dbeta) a.dbeta[j] = T(sums.v[0]);
        if (a.dgamma) a.dgamma[j] = T(product);
        if constexpr (learned)
            if (a.dslope) a.dslope[j] = T(sums.v[2]);
    }
};

template <class F>
struct BatchNormGradient {
    BatchNormBackward<T> a;
    F f;
    const double* means;

    template <int n>
    FUSEDNET_DEVICE void operator()(const Descent<n>& down) const {
        const auto columns = normalized(a, down.at);
        const auto of_batch = through_statistics(a, columns, means, down.at);
        down.template visit<rows_at_once<n>>([&](const Piece<n>& at) { return load_gradient<F>(a, at); },
                                             [&](const Piece<n>& at, const BatchNormInput<n>& in) {
                                                 Pack<T, n> dx;
                                                 FUSEDNET_UNROLL
                                                 for (int k = 0; k < n; ++k) {
                                                     const Normalized& c = columns[k];
                                                     V du = batchnorm_gradient(f, c, in, k);
                                                     if (means)
                                                         du = fma(in.x[k] - c.mean, of_batch[k].factor,
                                                                  du - of_batch[k].mean);
                                                     dx[k] = c.scale * du;
                                                 }
                                                 at.store(a.dx, dx);
                                             });
    }
};

template <class F>
void batchnorm_backward(const BatchNormBackward<T>& all) noexcept {
    constexpr const char* name = "batchnorm_backward";
    using Totals = typename BatchNormSums<F>::Totals;
    const F f(all.params);
    const Strip strip = all_columns(
        all.rows, all.cols,
        columns_in_pieces(all.rows, all.cols, all.x, all.dy, all.dx, all.slope, reads_y<F> ? all.saved : all.x));
    const bool needs_sums = all.training || all.dgamma || all.dbeta || all.dslope;
    const bool at_once = each_shares && needs_sums && is_short(all.rows, all.cols);
    const Index read = 2 + reads_y<F> + (F::slope_from != Slope::none && all.slope.ld != 0);
    by_panels(all, needs_sums && !at_once ? read : 0, [&](const BatchNormBackward<T>& a, Index) {
        double* const means = a.training ? workspace<double>(Space::own, 2 * a.cols) : nullptr;
        const BatchNormSums<F> sums{a, f, means};
        const BatchNormGradient<F> gradient{a, f, means};
        if constexpr (each_shares)
            if (at_once) return fold_then_each_column<Totals>(name, a.rows, a.cols, sums, sums, gradient);
        if (needs_sums) fold_columns<Totals>(name, strip.of(a.cols), sums, sums);
        each_column(name, strip.of(a.cols), gradient);
    });
}
