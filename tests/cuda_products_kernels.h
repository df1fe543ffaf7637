// What products are followed by, of T, counted: a ReLU that keeps NaN, and the sums of columns.

inline void rectify(const ActivationForward<T>& a) noexcept {
    ++own_activations;
    for (Index i = 0; i < a.rows; ++i)
        for (Index j = 0; j < a.cols; ++j) a.y.row(i)[j] = a.x.row(i)[j] < 0 ? T(0) : a.x.row(i)[j];
}

inline void column_sums(Index rows, Index cols, View<const T> x, T* sums) noexcept {
    ++own_sums;
    for (Index j = 0; j < cols; ++j) {
        double sum = 0;
        for (Index i = 0; i < rows; ++i) sum += double(x.row(i)[j]);
        sums[j] = T(sum);
    }
}
