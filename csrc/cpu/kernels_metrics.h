// Metrics: what a batch adds to their sums. A comparison with NaN is false: NaN counts as no answer.

// The first of the largest.
FUSEDNET_INLINE Index largest(const T* x, Index cols) {
    Index best = 0;
    for (Index j = 1; j < cols; ++j)
        if (x[j] > x[best]) best = j;
    return best;
}

FUSEDNET_INLINE Index label_of(const MetricArgs<T>& a, Index i) {
    return a.labels ? Index(a.labels[i]) : largest(a.targets.row(i), a.cols);
}

// f(x, t, column) for each element, in order; labels count as one-hot rows, with one column as 0 or 1.
template <class F>
FUSEDNET_INLINE void for_elements(const MetricArgs<T>& a, F f) {
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        const Index hot = t ? 0 : a.cols == 1 ? Index(a.labels[i]) - 1 : Index(a.labels[i]);
        for (Index j = 0; j < a.cols; ++j) f(x[j], t ? t[j] : j == hot ? T(1) : T(0), j);
    }
}

// sums: right answers, samples. With one output a yes is x > threshold.
inline void accuracy(const MetricArgs<T>& a) noexcept {
    Index correct = 0;
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        if (a.cols == 1) {
            const bool target = a.labels ? a.labels[i] > 0 : double(a.targets.row(i)[0]) > 0.5;
            correct += (double(x[0]) > a.params.p[0]) == target;
        } else if (a.cols > 1) {
            const Index answer = largest(x, a.cols);
            correct += answer == label_of(a, i) && x[answer] == x[answer];
        }
    }
    a.sums[0] += double(correct);
    a.sums[1] += double(a.rows);
}

// sums: samples whose label's output has fewer than k above it, samples.
inline void top_k_accuracy(const MetricArgs<T>& a) noexcept {
    Index correct = 0;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T at_label = x[a.cols > 1 ? label_of(a, i) : 0];
        Index above = 0;
        for (Index j = 0; j < a.cols; ++j) above += x[j] > at_label;
        correct += at_label == at_label && double(above) < a.params.p[0];
    }
    a.sums[0] += double(correct);
    a.sums[1] += double(a.rows);
}

// sums: elements where (x > threshold) is t, elements.
inline void binary_accuracy(const MetricArgs<T>& a) noexcept {
    Index correct = 0;
    for_elements(
        a, [&](T x, T t, Index) FUSEDNET_INLINE_LAMBDA { correct += t == (double(x) > a.params.p[0] ? T(1) : T(0)); });
    a.sums[0] += double(correct);
    a.sums[1] += double(a.rows) * double(a.cols);
}

// sums: elements found that are positive, elements found.
inline void precision(const MetricArgs<T>& a) noexcept {
    Index right = 0, found = 0;
    for_elements(a, [&](T x, T t, Index) FUSEDNET_INLINE_LAMBDA {
        const bool yes = double(x) > a.params.p[0];
        found += yes;
        right += yes && !(t == 0);
    });
    a.sums[0] += double(right);
    a.sums[1] += double(found);
}

// sums: elements found that are positive, positive elements.
inline void recall(const MetricArgs<T>& a) noexcept {
    Index right = 0, positive = 0;
    for_elements(a, [&](T x, T t, Index) FUSEDNET_INLINE_LAMBDA {
        positive += !(t == 0);
        right += double(x) > a.params.p[0] && !(t == 0);
    });
    a.sums[0] += double(right);
    a.sums[1] += double(positive);
}

// sums: a histogram of the positive elements' outputs, one of the others'. Bin i holds (i / 199, (i + 1) / 199], the
// first one 0 as well; outputs are clipped to [0, 1], NaN to 0.
inline void auc(const MetricArgs<T>& a) noexcept {
    constexpr Index thresholds = 200;
    for_elements(a, [&](T x, T t, Index) FUSEDNET_INLINE_LAMBDA {
        const T place = (x > 0 ? x < 1 ? x : T(1) : T(0)) * T(thresholds - 1);
        const Index below = Index(place), bin = T(below) < place ? below : below - 1;
        a.sums[(bin > 0 ? bin : 0) + (t == 0 ? thresholds : 0)] += 1;
    });
}

// sums: squared differences, elements.
inline void mean_squared_error(const MetricArgs<T>& a) noexcept {
    double sum = 0;
    for_elements(a, [&](T x, T t, Index) FUSEDNET_INLINE_LAMBDA {
        const double e = double(x) - double(t);
        sum += e * e;
    });
    a.sums[0] += sum;
    a.sums[1] += double(a.rows) * double(a.cols);
}

// sums: absolute differences, elements.
inline void mean_absolute_error(const MetricArgs<T>& a) noexcept {
    double sum = 0;
    for_elements(a, [&](T x, T t, Index) FUSEDNET_INLINE_LAMBDA { sum += __builtin_fabs(double(x) - double(t)); });
    a.sums[0] += sum;
    a.sums[1] += double(a.rows) * double(a.cols);
}

// sums: samples; then for each output t, for each t^2, for each (x - t)^2.
inline void r2_score(const MetricArgs<T>& a) noexcept {
    double* sums = a.sums + 1;
    for_elements(a, [&](T x, T t, Index j) FUSEDNET_INLINE_LAMBDA {
        const double e = double(x) - double(t), target = double(t);
        sums[j] += target;
        sums[a.cols + j] += target * target;
        sums[2 * a.cols + j] += e * e;
    });
    a.sums[0] += double(a.rows);
}
