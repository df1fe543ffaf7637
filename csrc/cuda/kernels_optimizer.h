// Parameter updates in place, what happens to parameters and gradients around them, and sums over all elements.

template <class O>
struct UpdateBody {
    UpdateArgs<T> a;
    UpdateBody(const UpdateArgs<T>& args, Index& rows, Index& cols) : a(args) {
        static_assert(O::slots <= max_slots);
        rows = a.rows;
        cols = a.cols;
        if (a.ld == cols && a.g.ld == cols) {
            cols *= rows;
            rows = 1;
        }
    }
    FUSEDNET_DEVICE void operator()(Index i, Index c) const {
        const O optimizer(a.scalars->optimizer);
        const Index j = i * a.ld + c;
        const V limit(a.clip_value);
        const V g = min(limit, max(-limit, a.g.row(i)[c] * V(*a.scale)));  // this order passes NaN on
        V w = a.w[j], slot[O::slots + 1];
        if (a.decays) w = w - V(a.scalars->decay) * w;
        FUSEDNET_UNROLL
        for (int s = 0; s < O::slots; ++s) slot[s] = a.slot[s][j];
        optimizer.update(w, g, slot);
        a.w[j] = w;
        FUSEDNET_UNROLL
        for (int s = 0; s < O::slots; ++s) a.slot[s][j] = slot[s];
        if (!a.average) return;
        const double keeps = a.scalars->average_momentum;
        a.average[j] = fma(V(keeps), a.average[j], V(1 - keeps) * w);
    }
};

template <class O>
void optimizer_updates(const UpdateArgs<T>* all, Index count) noexcept {
    each_of<UpdateBody<O>>("optimizer_update", all, count);
}

template <class O>
void optimizer_update(const UpdateArgs<T>& a) noexcept {
    optimizer_updates<O>(&a, 1);
}

struct MovingAverageBody {
    T* moving;
    const T* value;
    V keeps, takes;
    MovingAverageBody(const MovingAverage<T>& a, Index& rows, Index& cols)
        : moving(a.moving), value(a.value), keeps(a.momentum), takes(1 - a.momentum) {
        rows = 1;
        cols = a.n;
    }
    FUSEDNET_DEVICE void operator()(Index, Index j) const { moving[j] = fma(keeps, moving[j], takes * value[j]); }
};

inline void moving_averages(const MovingAverage<T>* all, Index count) noexcept {
    each_of<MovingAverageBody>("moving_average", all, count);
}

inline void moving_average(Index n, T* moving, const T* value, double momentum) noexcept {
    const MovingAverage<T> one{n, moving, value, momentum};
    moving_averages(&one, 1);
}

// *sum = the sum over all elements of term(i, j), in float64.
template <class Term>
void sum_terms(const char* name, Index rows, Index cols, double* sum, const Term& term) noexcept {
    fold_all<Sums<1>>(
        name, rows, cols, [term] FUSEDNET_DEVICE(Sums<1>& s, Index i, Index j) { s.v[0] += term(i, j); },
        [sum] FUSEDNET_DEVICE(const Sums<1>& s) {
            if (sum) *sum = s.v[0];
        });
}

struct SquaredNormBody {
    View<const T> x;
    double* sum;
    explicit SquaredNormBody(const SquaredNorm<T>& a) : x(a.x), sum(a.sum) {}
    FUSEDNET_DEVICE void operator()(Sums<1>& s, Index i, Index j) const {
        const double value = double(x.row(i)[j]);
        s.v[0] += value * value;
    }
    FUSEDNET_DEVICE void operator()(const Sums<1>& s) const {
        if (sum) *sum = s.v[0];
    }
};

inline void squared_norms(const SquaredNorm<T>* all, Index count) noexcept {
    fold_each<Sums<1>, SquaredNormBody>("squared_norm", all, count);
}

inline void squared_norm(Index rows, Index cols, View<const T> x, double* sum) noexcept {
    const SquaredNorm<T> one{rows, cols, x, sum};
    squared_norms(&one, 1);
}

inline void dot(Index rows, Index cols, View<const T> x, View<const T> y, Dot* out) noexcept {
    fold_all<Sums<2>>(
        "dot", rows, cols,
        [x, y] FUSEDNET_DEVICE(Sums<2>& s, Index i, Index j) {
            const V product = x.row(i)[j] * y.row(i)[j];
            s.v[0] += double(product);
            s.v[1] += double(abs(product));
        },
        [out] FUSEDNET_DEVICE(const Sums<2>& s) { *out = {s.v[0], s.v[1]}; });
}

inline void penalty_value(const PenaltyValue<T>& a, double* sum) noexcept {
    sum_terms("penalty_value", a.rows, a.cols, sum, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const double w = double(a.w.row(i)[j]);
        // a term that no factor asks for may be infinite
        return (a.l1 != 0 ? a.l1 * __builtin_fabs(w) : 0.0) + (a.l2 != 0 ? a.l2 * (w * w) : 0.0);
    });
}

inline void penalty_gradient(const PenaltyGradient<T>& a, double* norm) noexcept {
    sum_terms("penalty_gradient", a.rows, a.cols, norm, [a] FUSEDNET_DEVICE(Index i, Index j) {
        const V w = a.w.row(i)[j], g = a.g.row(i)[j] + (V(a.l1) * signum(w) + V(2 * a.l2) * w);
        a.g.row(i)[j] = g;
        return double(g) * double(g);
    });
}

inline void accumulate(const AccumulateArgs<T>& a, double* norm) noexcept {
    sum_terms("accumulate", a.rows, a.cols, norm, [a] FUSEDNET_DEVICE(Index i, Index j) {
        T *sum = a.sum.row(i) + j, *g = a.g.row(i) + j;
        const V total = *sum + *g;
        if (a.scale == 0)
            *sum = total;
        else
            *g = total * V(a.scale);
        return double(*g) * double(*g);
    });
}

// The first row with NaN or infinity; `rows` if there is none.
struct FirstRow {
    Index row;
    FUSEDNET_DEVICE static FirstRow none() { return {PTRDIFF_MAX}; }
    FUSEDNET_DEVICE void join(const FirstRow& other) { row = lesser(row, other.row); }
};

struct FirstNonfiniteBody {
    Index rows;
    View<const T> x;
    Index* row;
    explicit FirstNonfiniteBody(const FirstNonfinite<T>& a) : rows(a.rows), x(a.x), row(a.row) {}
    FUSEDNET_DEVICE void operator()(FirstRow& first, Index i, Index j) const {
        const V zero = x.row(i)[j] * V(0);  // NaN from inf and NaN
        if (!(zero == 0)) first.row = lesser(first.row, i);
    }
    FUSEDNET_DEVICE void operator()(const FirstRow& first) const { *row = lesser(first.row, rows); }
};

inline void first_nonfinite_rows(const FirstNonfinite<T>* all, Index count) noexcept {
    fold_each<FirstRow, FirstNonfiniteBody>("first_nonfinite_row", all, count);
}

inline void first_nonfinite_row(Index rows, Index cols, View<const T> x, Index* row) noexcept {
    const FirstNonfinite<T> one{rows, cols, x, row};
    first_nonfinite_rows(&one, 1);
}

inline void non_negative(const ConstrainArgs<T>& a) noexcept {
    each("non_negative", a.rows, a.cols,
         [a] FUSEDNET_DEVICE(Index i, Index j) { a.w.row(i)[j] = max(V(0), a.w.row(i)[j]); });
}

// Scales each column to the norm that `desired` makes of its own.
template <class Desired>
void scale_columns(const char* name, const ConstrainArgs<T>& a, const Desired& desired) noexcept {
    double* const factor = workspace<double>(Space::own, a.cols);
    sum_columns<1>(
        name, a.rows, a.cols,
        [a] FUSEDNET_DEVICE(Sums<1>& sum, Index i, Index j) {
            const double w = double(a.w.row(i)[j]);
            sum.v[0] += w * w;
        },
        [factor, desired] FUSEDNET_DEVICE(Index j, const Sums<1>& sum) {
            const double norm = __builtin_sqrt(sum.v[0]);
            factor[j] = desired(norm) / (norm + 1e-7);  // Keras's epsilon
        });
    each(name, a.rows, a.cols,
         [a, factor] FUSEDNET_DEVICE(Index i, Index j) { a.w.row(i)[j] = T(double(a.w.row(i)[j]) * factor[j]); });
}

inline void max_norm(const ConstrainArgs<T>& a) noexcept {
    const double most = a.params.p[0];
    scale_columns("max_norm", a, [=] FUSEDNET_DEVICE(double norm) { return norm > most ? most : norm; });
}

inline void unit_norm(const ConstrainArgs<T>& a) noexcept {
    scale_columns("unit_norm", a, [] FUSEDNET_DEVICE(double) { return 1.0; });
}

inline void min_max_norm(const ConstrainArgs<T>& a) noexcept {
    const double least = a.params.p[0], most = a.params.p[1], rate = a.params.p[2];
    scale_columns("min_max_norm", a, [=] FUSEDNET_DEVICE(double norm) {
        const double inside = norm < least ? least : norm > most ? most : norm;
        return rate * inside + (1 - rate) * norm;
    });
}
