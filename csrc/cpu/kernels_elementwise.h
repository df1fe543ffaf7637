// Activations by element and by row, and what else walks arrays without a structure of its own.

// f.value and f.derivative, with the slope where the row has one.
template <class F, class P>
FUSEDNET_INLINE V value_of(const F& f, V x, const T* slope, Index j, P part) {
    if constexpr (F::slope_from == Slope::none)
        return f.value(x);
    else
        return f.value(x, load(slope + j, part));
}
template <class F, class P>
FUSEDNET_INLINE V derivative_of(const F& f, V saved, const T* slope, Index j, P part) {
    if constexpr (F::slope_from == Slope::none)
        return f.derivative(saved);
    else
        return f.derivative(saved, load(slope + j, part));
}

// As flatten; slopes that are one row for all keep the rows apart.
template <class F, class... Views>
FUSEDNET_INLINE void flatten_with(Index& rows, Index& cols, const View<const T>& slope, const Views&... views) {
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
    for (Index i = 0; i < rows; ++i) {
        const T *x = a.x.row(i), *slope = a.slope.row(i);
        T* y = a.y.row(i);
        for_row(a.stream, y, cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(y + j, value_of(f, load(x + j, part), slope, j, part), part);
        });
    }
    if (a.stream) fence_streamed();
}

template <class F>
void activation_backward(const ActivationBackward<T>& a) noexcept {
    const F f(a.params);
    if constexpr (F::slope_from == Slope::learned)
        if (a.dslope)  // before dx, which may be dy
            sum_columns(a.rows, a.cols, a.dslope, [&](Index i, Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                return load(a.dy.row(i) + j, part) * f.slope_gradient(load(a.saved.row(i) + j, part));
            });
    const View<const T> saved = F::reads_saved ? a.saved : a.dy;
    Index rows = a.rows, cols = a.cols;
    flatten_with<F>(rows, cols, a.slope, a.dy, saved, a.dx);
    for (Index i = 0; i < rows; ++i) {
        const T *dy = a.dy.row(i), *s = saved.row(i), *slope = a.slope.row(i);
        T* dx = a.dx.row(i);
        for_row(a.stream, dx, cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(dx + j, load(dy + j, part) * derivative_of(f, load(s + j, part), slope, j, part), part);
        });
    }
    if (a.stream) fence_streamed();
}

FUSEDNET_INLINE T row_max(const T* x, Index cols) {
    V top(-__builtin_inf());
    for_vectors(cols,
                [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { top = max(top, keep(load(x + j, part), part, top)); });
    return reduce_max(top);
}

// Calls f for the vectors of row i, while memory is asked for the next row: what f computes hides the wait.
template <class F>
FUSEDNET_INLINE void for_row_before_next(const ActivationForward<T>& a, Index i, const F& f) {
    const T* next = a.x.row(i + 1 < a.rows ? i + 1 : i);
    for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
        __builtin_prefetch(next + j, 0, 2);
        f(j, part);
    });
}

inline void softmax_forward(const ActivationForward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        T* y = a.y.row(i);
        const V top = broadcast(row_max(x, a.cols));
        Accumulator sum;
        for_row_before_next(a, i, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V e = keep(vexp(load(x + j, part) - top), part, V(0));
            sum.add(e);
            store(y + j, e, part);
        });
        const V inverse(1 / sum.total());
        for_vectors(a.cols, [&](Index j, auto part)
                                FUSEDNET_INLINE_LAMBDA { store(y + j, load(y + j, part) * inverse, part); });
    }
}

// dx = y (dy - sum(dy y))
inline void softmax_backward(const ActivationBackward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T *dy = a.dy.row(i), *y = a.saved.row(i);
        T* dx = a.dx.row(i);
        Accumulator sum;
        for_vectors(a.cols, [&](Index j, auto part)
                                FUSEDNET_INLINE_LAMBDA { sum.add(load(dy + j, part) * load(y + j, part)); });
        const V dot(sum.total());
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(dx + j, load(y + j, part) * (load(dy + j, part) - dot), part);
        });
    }
}

// The terms of x - max(x) - log(sum) have one sign: nothing cancels.
inline void log_softmax_forward(const ActivationForward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        T* y = a.y.row(i);
        const V top = broadcast(row_max(x, a.cols));
        Accumulator sum;
        for_row_before_next(a, i, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            sum.add(keep(vexp(load(x + j, part) - top), part, V(0)));
        });
        const V log_sum(__builtin_log(sum.total()));
        for_row(a.stream, y, a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(y + j, (load(x + j, part) - top) - log_sum, part);
        });
    }
    if (a.stream) fence_streamed();
}

// dx = dy - exp(y) sum(dy)
inline void log_softmax_backward(const ActivationBackward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T *dy = a.dy.row(i), *y = a.saved.row(i);
        T* dx = a.dx.row(i);
        Accumulator sum;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { sum.add(load(dy + j, part)); });
        const V total(-sum.total());
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(dx + j, fma(vexp(load(y + j, part)), total, load(dy + j, part)), part);
        });
    }
}

inline void column_sums(Index rows, Index cols, View<const T> x, T* sums) noexcept {
    sum_columns(rows, cols, sums,
                [&](Index i, Index j, auto part) FUSEDNET_INLINE_LAMBDA { return load(x.row(i) + j, part); });
}

inline void moving_average(Index n, T* moving, const T* value, double momentum) noexcept {
    const V keeps(momentum), takes(1 - momentum);
    for_vectors(n, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
        store(moving + j, fma(keeps, load(moving + j, part), takes * load(value + j, part)), part);
    });
}
