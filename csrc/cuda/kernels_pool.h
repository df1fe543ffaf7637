// Maxima: over the pieces of a Maxout layer, over the regions of an image. NaN is larger than any number.

inline void maxout_forward(const MaxoutForward<T>& a) noexcept {
    each("maxout_forward", a.rows, a.cols, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const T* x = a.x.row(i) + j;
        V top = x[0];
        for (Index p = 1; p < a.pieces; ++p) {
            const V piece = x[p * a.cols];
            if (!(piece == piece) || piece > top) top = piece;
        }
        a.y.row(i)[j] = top;
    });
}

// The first piece that is not below y takes dy. dx may be x.
inline void maxout_backward(const MaxoutBackward<T>& a) noexcept {
    each("maxout_backward", a.rows, a.cols, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const V top = a.y.row(i)[j];
        V left = a.dy.row(i)[j];
        for (Index p = 0; p < a.pieces; ++p) {
            const Index col = p * a.cols + j;
            const bool below = a.x.row(i)[col] < top;
            a.dx.row(i)[col] = below ? V(0) : left;
            if (!below) left = V(0);
        }
    });
}

// No region is empty. A NaN replaces any number and is replaced by nothing.
inline void pool_forward(const PoolForward<T>& a) noexcept {
    each("pool_forward", a.rows, a.out_height * a.out_width * a.channels, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const Index channel = j % a.channels, place = j / a.channels;
        const Index r = place / a.out_width, s = place % a.out_width;
        const T* x = a.x.row(i) + channel;
        Index best = (a.row_begin[r] * a.width + a.col_begin[s]) * a.channels;
        V top = x[best];
        for (Index h = a.row_begin[r]; h < a.row_end[r]; ++h)
            for (Index w = a.col_begin[s]; w < a.col_end[s]; ++w) {
                const Index at = (h * a.width + w) * a.channels;
                if (!(top == top) || x[at] <= top) continue;
                top = x[at];
                best = at;
            }
        a.y.row(i)[j] = top;
        if (a.argmax.data) a.argmax.row(i)[j] = int32_t(best + channel);
    });
}

// A row goes to one thread: regions overlap, and sums keep their order.
inline void pool_backward(const PoolBackward<T>& a) noexcept {
    each("pool_backward", a.rows, a.in_cols, [a] FUSEDNET_DEVICE(Index i, Index j) { a.dx.row(i)[j] = V(0); });
    each("pool_backward", 1, a.rows, [a] FUSEDNET_DEVICE(Index, Index i) {
        for (Index j = 0; j < a.out_cols; ++j) a.dx.row(i)[a.argmax.row(i)[j]] += a.dy.row(i)[j];
    });
}
