// Metrics: what a batch adds to their sums.

// The first of the largest.
FUSEDNET_INLINE Index largest(const T* x, Index cols) {
    Index best = 0;
    for (Index j = 1; j < cols; ++j)
        if (x[j] > x[best]) best = j;
    return best;
}

// sums: right answers, samples. With one output a yes is x > threshold.
inline void accuracy(const MetricArgs<T>& a) noexcept {
    Index correct = 0;
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        if (a.cols == 1) {
            const bool target = t ? double(t[0]) > 0.5 : a.labels[i] > 0;
            correct += (double(x[0]) > a.params.p[0]) == target;
        } else {
            correct += largest(x, a.cols) == (t ? largest(t, a.cols) : Index(a.labels[i]));
        }
    }
    a.sums[0] += double(correct);
    a.sums[1] += double(a.rows);
}
