// What happens to parameters and gradients around the update: constraints, penalties, accumulation.

inline void non_negative(const ConstrainArgs<T>& a) noexcept {
    Index rows = a.rows, cols = a.cols;
    flatten(rows, cols, a.w);
    for (Index i = 0; i < rows; ++i) {
        T* w = a.w.row(i);
        for_vectors(
            cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(w + j, max(V(0), load(w + j, part)), part); });
    }
}

// Scales each column to the norm that `desired` makes of its own. Sums and factors are in double, row after row.
template <class F>
FUSEDNET_INLINE void scale_columns(const ConstrainArgs<T>& a, const F& desired) {
    constexpr Index width = 64;
    for (Index first = 0; first < a.cols; first += width) {
        const Index count = a.cols - first < width ? a.cols - first : width;
        double factor[width] = {};
        for (Index i = 0; i < a.rows; ++i) {
            const T* w = a.w.row(i) + first;
            for (Index j = 0; j < count; ++j) factor[j] += double(w[j]) * double(w[j]);
        }
        for (Index j = 0; j < count; ++j) {
            const double norm = __builtin_sqrt(factor[j]);
            factor[j] = desired(norm) / (norm + 1e-7);  // Keras's epsilon
        }
        for (Index i = 0; i < a.rows; ++i) {
            T* w = a.w.row(i) + first;
            for (Index j = 0; j < count; ++j) w[j] = static_cast<T>(double(w[j]) * factor[j]);
        }
    }
}

inline void max_norm(const ConstrainArgs<T>& a) noexcept {
    const double most = a.params.p[0];
    scale_columns(a, [=](double norm) FUSEDNET_INLINE_LAMBDA { return norm > most ? most : norm; });
}

inline void unit_norm(const ConstrainArgs<T>& a) noexcept {
    scale_columns(a, [](double) FUSEDNET_INLINE_LAMBDA { return 1.0; });
}

inline void min_max_norm(const ConstrainArgs<T>& a) noexcept {
    const double least = a.params.p[0], most = a.params.p[1], rate = a.params.p[2];
    scale_columns(a, [=](double norm) FUSEDNET_INLINE_LAMBDA {
        const double inside = norm < least ? least : norm > most ? most : norm;
        return rate * inside + (1 - rate) * norm;
    });
}

inline void penalty_value(const PenaltyValue<T>& a, double* value) noexcept {
    Index rows = a.rows, cols = a.cols;
    flatten(rows, cols, a.w);
    Accumulator magnitudes, squares;
    for (Index i = 0; i < rows; ++i) {
        const T* w = a.w.row(i);
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V x = load(w + j, part);
            magnitudes.add(abs(x));
            squares.add_square(x);
        });
    }
    // a sum that no factor asks for may be infinite
    *value = (a.l1 != 0 ? a.l1 * magnitudes.total() : 0) + (a.l2 != 0 ? a.l2 * squares.total() : 0);
}

inline void penalty_gradient(const PenaltyGradient<T>& a, double* norm) noexcept {
    const V l1(a.l1), twice_l2(2 * a.l2);
    Index rows = a.rows, cols = a.cols;
    flatten(rows, cols, a.w, a.g);
    Accumulator squares;
    for (Index i = 0; i < rows; ++i) {
        const T* w = a.w.row(i);
        T* g = a.g.row(i);
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V x = load(w + j, part);
            const V sum = load(g + j, part) + (l1 * signum(x) + twice_l2 * x);
            store(g + j, sum, part);
            squares.add_square(keep(sum, part, V(0)));
        });
    }
    if (norm) *norm = squares.total();
}

// Adds to the sum, or takes the mean with it.
template <bool end>
FUSEDNET_INLINE double accumulate_pass(const AccumulateArgs<T>& a) {
    const V scale(a.scale);
    Index rows = a.rows, cols = a.cols;
    flatten(rows, cols, a.sum, a.g);
    Accumulator squares;
    for (Index i = 0; i < rows; ++i) {
        T *sum = a.sum.row(i), *g = a.g.row(i);
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            V x = load(g + j, part);
            const V total = load(sum + j, part) + x;
            if constexpr (end) {
                x = total * scale;
                store(g + j, x, part);
            } else {
                store(sum + j, total, part);
            }
            squares.add_square(x);
        });
    }
    return squares.total();
}

inline void accumulate(const AccumulateArgs<T>& a, double* norm) noexcept {
    const double squares = a.scale == 0 ? accumulate_pass<false>(a) : accumulate_pass<true>(a);
    if (norm) *norm = squares;
}
