// Metrics: what a batch adds to their sums. A comparison with NaN is false: NaN counts as no answer.

// The first of the largest.
FUSEDNET_DEVICE inline Index largest(const T* x, Index cols) {
    Index best = 0;
    for (Index j = 1; j < cols; ++j)
        if (x[j] > x[best]) best = j;
    return best;
}

FUSEDNET_DEVICE inline Index label_of(const MetricArgs<T>& a, Index i) {
    return a.labels ? Index(a.labels[i]) : largest(a.targets.row(i), a.cols);
}

// Labels count as one-hot rows, with one column as 0 or 1.
FUSEDNET_DEVICE inline T target_of(const MetricArgs<T>& a, Index i, Index j) {
    if (!a.labels) return a.targets.row(i)[j];
    return T(j == (a.cols == 1 ? Index(a.labels[i]) - 1 : Index(a.labels[i])));
}

// sums[0], sums[1] += the sums over rows (1, rows) or elements (rows, cols) of two terms.
template <class Add>
void add_to_metric(const char* name, Index rows, Index cols, double* sums, const Add& add) noexcept {
    fold_all<Sums<2>>(name, rows, cols, add, [sums] FUSEDNET_DEVICE(const Sums<2>& s) {
        sums[0] += s.v[0];
        sums[1] += s.v[1];
    });
}

// sums: right answers, samples. With one output a yes is x > threshold.
inline void accuracy(const MetricArgs<T>& a) noexcept {
    add_to_metric("accuracy", 1, a.rows, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index, Index i) {
        const T* x = a.x.row(i);
        s.v[1] += 1;
        if (a.cols == 1) {
            const bool target = a.labels ? a.labels[i] > 0 : double(a.targets.row(i)[0]) > 0.5;
            s.v[0] += (double(x[0]) > a.params.p[0]) == target;
        } else if (a.cols > 1) {
            const Index answer = largest(x, a.cols);
            s.v[0] += answer == label_of(a, i) && x[answer] == x[answer];
        }
    });
}

// sums: samples whose label's output has fewer than k above it, samples.
inline void top_k_accuracy(const MetricArgs<T>& a) noexcept {
    add_to_metric("top_k_accuracy", 1, a.rows, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index, Index i) {
        s.v[1] += 1;
        if (a.cols == 0) return;
        const T* x = a.x.row(i);
        const T at_label = x[a.cols > 1 ? label_of(a, i) : 0];
        Index above = 0;
        for (Index j = 0; j < a.cols; ++j) above += x[j] > at_label;
        s.v[0] += at_label == at_label && double(above) < a.params.p[0];
    });
}

// sums: elements where (x > threshold) is t, elements.
inline void binary_accuracy(const MetricArgs<T>& a) noexcept {
    add_to_metric("binary_accuracy", a.rows, a.cols, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index i, Index j) {
        s.v[0] += target_of(a, i, j) == (double(a.x.row(i)[j]) > a.params.p[0] ? T(1) : T(0));
        s.v[1] += 1;
    });
}

// sums: elements found that are positive, elements found.
inline void precision(const MetricArgs<T>& a) noexcept {
    add_to_metric("precision", a.rows, a.cols, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index i, Index j) {
        const bool yes = double(a.x.row(i)[j]) > a.params.p[0];
        s.v[0] += yes && !(target_of(a, i, j) == 0);
        s.v[1] += yes;
    });
}

// sums: elements found that are positive, positive elements.
inline void recall(const MetricArgs<T>& a) noexcept {
    add_to_metric("recall", a.rows, a.cols, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index i, Index j) {
        const bool positive = !(target_of(a, i, j) == 0);
        s.v[0] += double(a.x.row(i)[j]) > a.params.p[0] && positive;
        s.v[1] += positive;
    });
}

// sums: a histogram of the positive elements' outputs, one of the others'. Bin i holds (i / 199, (i + 1) / 199], the
// first one 0 as well; outputs are clipped to [0, 1], NaN to 0. Counts are whole numbers: their order does not matter.
inline void auc(const MetricArgs<T>& a) noexcept {
    constexpr Index thresholds = 200;
    auto* const counts = workspace<unsigned long long>(Space::own, 2 * thresholds);
    each("auc", 1, 2 * thresholds, [counts] FUSEDNET_DEVICE(Index, Index j) { counts[j] = 0; });
    each("auc", a.rows, a.cols, [a, counts] FUSEDNET_DEVICE(Index i, Index j) {
        const T x = a.x.row(i)[j];
        const T place = (x > 0 ? x < 1 ? x : T(1) : T(0)) * T(thresholds - 1);
        const Index below = Index(place), bin = T(below) < place ? below : below - 1;
        add_one(counts + (bin > 0 ? bin : 0) + (target_of(a, i, j) == 0 ? thresholds : 0));
    });
    each("auc", 1, 2 * thresholds, [a, counts] FUSEDNET_DEVICE(Index, Index j) { a.sums[j] += double(counts[j]); });
}

// sums: squared differences, elements.
inline void mean_squared_error(const MetricArgs<T>& a) noexcept {
    add_to_metric("mean_squared_error", a.rows, a.cols, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index i, Index j) {
        const double e = double(a.x.row(i)[j]) - double(target_of(a, i, j));
        s.v[0] += e * e;
        s.v[1] += 1;
    });
}

// sums: absolute differences, elements.
inline void mean_absolute_error(const MetricArgs<T>& a) noexcept {
    add_to_metric("mean_absolute_error", a.rows, a.cols, a.sums, [a] FUSEDNET_DEVICE(Sums<2>& s, Index i, Index j) {
        s.v[0] += __builtin_fabs(double(a.x.row(i)[j]) - double(target_of(a, i, j)));
        s.v[1] += 1;
    });
}

// sums: samples; then for each output t, for each t^2, for each (x - t)^2.
inline void r2_score(const MetricArgs<T>& a) noexcept {
    sum_columns<3>(
        "r2_score", a.rows, a.cols,
        [a] FUSEDNET_DEVICE(Sums<3>& s, Index i, Index j) {
            const double t = double(target_of(a, i, j)), e = double(a.x.row(i)[j]) - t;
            s.v[0] += t;
            s.v[1] += t * t;
            s.v[2] += e * e;
        },
        [a] FUSEDNET_DEVICE(Index j, const Sums<3>& s) {
            for (int k = 0; k < 3; ++k) a.sums[1 + k * a.cols + j] += s.v[k];
        });
    each("r2_score", 1, 1, [a] FUSEDNET_DEVICE(Index, Index) { a.sums[0] += double(a.rows); });
}
