// Activations by element, and what else walks arrays element by element.

template <class F>
FUSEDNET_DEVICE V value_of(const F& f, V x, const View<const T>& slope, Index i, Index j) {
    if constexpr (F::slope_from == Slope::none)
        return f.value(x);
    else
        return f.value(x, slope.row(i)[j]);
}
template <class F>
FUSEDNET_DEVICE V derivative_of(const F& f, V saved, const View<const T>& slope, Index i, Index j) {
    if constexpr (F::slope_from == Slope::none)
        return f.derivative(saved);
    else
        return f.derivative(saved, slope.row(i)[j]);
}

// As flatten; slopes that are one row for all keep the rows apart.
template <class F, class... Views>
void flatten_with(Index& rows, Index& cols, const View<const T>& slope, const Views&... views) {
    if constexpr (F::slope_from == Slope::none)
        flatten(rows, cols, views...);
    else
        flatten(rows, cols, slope, views...);
}

template <class F>
void activation_forward(const ActivationForward<T>& a) noexcept {
    const F f(a.params);
    Index rows = a.rows, cols = a.cols;
    flatten_with<F>(rows, cols, a.slope, a.x, a.y);
    each("activation_forward", rows, cols,
         [a, f] FUSEDNET_DEVICE(Index i, Index j) { a.y.row(i)[j] = value_of(f, a.x.row(i)[j], a.slope, i, j); });
}

template <class F>
void activation_backward(const ActivationBackward<T>& a) noexcept {
    const F f(a.params);
    if constexpr (F::slope_from == Slope::learned)
        if (a.dslope)  // before dx, which may be dy
            sum_columns<1>(
                "activation_backward", a.rows, a.cols,
                [a, f] FUSEDNET_DEVICE(Sums<1>& sum, Index i, Index j) {
                    sum.v[0] += double(a.dy.row(i)[j]) * double(f.slope_gradient(a.saved.row(i)[j]));
                },
                [a] FUSEDNET_DEVICE(Index j, const Sums<1>& sum) { a.dslope[j] = T(sum.v[0]); });
    const View<const T> saved = F::reads_saved ? a.saved : a.dy;
    Index rows = a.rows, cols = a.cols;
    flatten_with<F>(rows, cols, a.slope, a.dy, saved, a.dx);
    each("activation_backward", rows, cols, [a, f, saved] FUSEDNET_DEVICE(Index i, Index j) {
        a.dx.row(i)[j] = a.dy.row(i)[j] * derivative_of(f, saved.row(i)[j], a.slope, i, j);
    });
}

inline void scaled_add(const ScaledAdd<T>& a) noexcept {
    each("scaled_add", a.rows, a.cols, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const V scale = a.scale ? a.scale[i] : V(1), b = a.b.row(i)[j];
        a.y.row(i)[j] = a.a.data ? fma(scale, b, a.a.row(i)[j]) : scale * b;
    });
}

inline void column_sums(Index rows, Index cols, View<const T> x, T* sums) noexcept {
    sum_columns<1>(
        "column_sums", rows, cols,
        [x] FUSEDNET_DEVICE(Sums<1>& sum, Index i, Index j) { sum.v[0] += double(x.row(i)[j]); },
        [sums] FUSEDNET_DEVICE(Index j, const Sums<1>& sum) { sums[j] = T(sum.v[0]); });
}

// A source element may be unaligned.
template <class S>
void gather(const GatherArgs<T>& a) noexcept {
    each("gather", a.rows, a.cols, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const Index from = a.order ? Index(a.order[i]) : i;
        S value;
        __builtin_memcpy(&value, static_cast<const char*>(a.src) + from * a.src_row_bytes + j * Index(sizeof(S)),
                         sizeof(S));
        a.dst.row(i)[j] = static_cast<T>(value);
    });
}

inline void gather_labels(Index n, const int32_t* from, const int64_t* order, int32_t* to) noexcept {
    each("gather_labels", 1, n, [=] FUSEDNET_DEVICE(Index, Index i) { to[i] = from[order ? Index(order[i]) : i]; });
}

inline void fill(const FillArgs<T>& a) noexcept {
    each("fill", 1, a.n, [a] FUSEDNET_DEVICE(Index, Index i) { a.y[i] = a.from ? *a.from : T(a.constant); });
}

inline void is_below(Index n, T* x, double limit) noexcept {
    each("is_below", 1, n, [=] FUSEDNET_DEVICE(Index, Index i) { x[i] = double(x[i]) < limit ? T(1) : T(0); });
}
