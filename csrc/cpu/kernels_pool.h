// Maxima: over the pieces of a Maxout layer, over the regions of an image. NaN is larger than any number.

inline void maxout_forward(const MaxoutForward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        T* y = a.y.row(i);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            V top = load(x + j, part);
            for (Index k = 1; k < a.pieces; ++k) {
                const V piece = load(x + k * a.cols + j, part);
                top = select(piece == piece, select(piece > top, piece, top), piece);
            }
            store(y + j, top, part);
        });
    }
}

// The first piece that is not below y takes dy. dx may be x.
inline void maxout_backward(const MaxoutBackward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T *dy = a.dy.row(i), *x = a.x.row(i), *y = a.y.row(i);
        T* dx = a.dx.row(i);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V top = load(y + j, part);
            V left = load(dy + j, part);
            for (Index k = 0; k < a.pieces; ++k) {
                const Index col = k * a.cols + j;
                const M below = load(x + col, part) < top;
                store(dx + col, select(below, V(0), left), part);
                left = select(below, left, V(0));
            }
        });
    }
}

// A NaN replaces any number and is replaced by nothing.
FUSEDNET_INLINE bool replaces(T x, T top) {
    return top == top && !(x <= top);
}

// One region of one sample: rows h0 to h1, columns w0 to w1 of x. The channels lie side by side.
template <bool wants_argmax>
inline void pool_region(const PoolForward<T>& a, const T* __restrict x, Index out_row, Index out_col, T* __restrict y,
                        int32_t* __restrict argmax) {
    const Index h0 = a.row_begin[out_row], h1 = a.row_end[out_row];
    const Index w0 = a.col_begin[out_col], w1 = a.col_end[out_col], c = a.channels;
    if (c == 1) {
        Index best = h0 * a.width + w0;
        T top = x[best];
        for (Index h = h0; h < h1; ++h)
            for (Index at = h * a.width + w0; at < h * a.width + w1; ++at)
                if (replaces(x[at], top)) {
                    top = x[at];
                    best = at;
                }
        *y = top;
        if constexpr (wants_argmax) *argmax = int32_t(best);
        return;
    }
    const int32_t start = int32_t((h0 * a.width + w0) * c);
    for (Index k = 0; k < c; ++k) {
        y[k] = x[start + k];
        if constexpr (wants_argmax) argmax[k] = start + int32_t(k);
    }
    for (Index h = h0; h < h1; ++h)
        for (Index w = w0; w < w1; ++w) {
            const int32_t at = int32_t((h * a.width + w) * c);
            for (Index k = 0; k < c; ++k) {
                const T value = x[at + k], top = y[k];
                const bool takes = replaces(value, top);
                y[k] = takes ? value : top;
                if constexpr (wants_argmax) argmax[k] = takes ? at + int32_t(k) : argmax[k];
            }
        }
}

// No region is empty.
inline void pool_forward(const PoolForward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        Index at = 0;
        for (Index r = 0; r < a.out_height; ++r)
            for (Index s = 0; s < a.out_width; ++s, at += a.channels) {
                if (a.argmax.data)
                    pool_region<true>(a, a.x.row(i), r, s, a.y.row(i) + at, a.argmax.row(i) + at);
                else
                    pool_region<false>(a, a.x.row(i), r, s, a.y.row(i) + at, nullptr);
            }
    }
}

inline void pool_backward(const PoolBackward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T* dy = a.dy.row(i);
        const int32_t* argmax = a.argmax.row(i);
        T* dx = a.dx.row(i);
        for_vectors(a.in_cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(dx + j, V(0), part); });
        for (Index j = 0; j < a.out_cols; ++j) dx[argmax[j]] += dy[j];
    }
}
