// Activations by element, softmax by row, and what else walks arrays without a structure of its own.

template <class F>
void activation_forward(const ActivationForward<T>& a) noexcept {
    const F f(a.params);
    Index rows = a.rows, cols = a.cols;
    flatten(rows, cols, a.x, a.y);
    for (Index i = 0; i < rows; ++i) {
        const T* x = a.x.row(i);
        T* y = a.y.row(i);
        for_vectors(cols,
                    [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(y + j, f.value(load(x + j, part)), part); });
    }
}

template <class F>
void activation_backward(const ActivationBackward<T>& a) noexcept {
    const F f(a.params);
    const View<const T> saved = F::reads_saved ? a.saved : a.dy;
    Index rows = a.rows, cols = a.cols;
    flatten(rows, cols, a.dy, saved, a.dx);
    for (Index i = 0; i < rows; ++i) {
        const T *dy = a.dy.row(i), *s = saved.row(i);
        T* dx = a.dx.row(i);
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(dx + j, load(dy + j, part) * f.derivative(load(s + j, part)), part);
        });
    }
}

FUSEDNET_INLINE T row_max(const T* x, Index cols) {
    V top(-__builtin_inf());
    for_vectors(cols,
                [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { top = max(top, keep(load(x + j, part), part, top)); });
    return reduce_max(top);
}

inline void softmax_forward(const ActivationForward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        T* y = a.y.row(i);
        const V top = broadcast(row_max(x, a.cols));
        Accumulator sum;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
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

inline void moving_average(Index n, T* moving, const T* value, double momentum) noexcept {
    const V keeps(momentum), takes(1 - momentum);
    for_vectors(n, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
        store(moving + j, fma(keeps, load(moving + j, part), takes * load(value + j, part)), part);
    });
}
