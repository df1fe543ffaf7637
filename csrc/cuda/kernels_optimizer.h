// Parameter updates in place, what happens to parameters and gradients around them, and sums over all elements.

// Slot number s; -1: w.
FUSEDNET_INLINE View<T> slot_view(const UpdateArgs<T>& a, int s) {
    return {s < 0 ? a.w : a.slot[s], a.ld};
}

template <class O>
struct UpdateBody {
    UpdateArgs<T> a;
    View<T> w, average;

    UpdateBody(const UpdateArgs<T>& args, Index& rows, Index& cols, Index& whole)
        : a(args), w{args.w, args.ld}, average{args.average, args.ld} {
        static_assert(O::slots <= max_slots);
        rows = a.rows;
        cols = a.cols;
        flatten(rows, cols, w, a.g);
        whole = columns_in_pieces(rows, cols, w, a.g, average, slot_view(a, O::slots > 0 ? 0 : -1),
                                  slot_view(a, O::slots > 1 ? 1 : -1), slot_view(a, O::slots > 2 ? 2 : -1));
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(const At& at) const {
        constexpr int n = At::count;
        const O optimizer(a.scalars->optimizer);
        const V limit(a.clip_value), scale(*a.scale), decay(a.decays ? a.scalars->decay : 0.0);
        const auto g = at.load(a.g);
        auto new_w = at.load(w);
        Pack<T, n> slots[O::slots + 1];
        FUSEDNET_UNROLL
        for (int s = 0; s < O::slots; ++s) slots[s] = at.load(slot_view(a, s));
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) {
            V slot_values[O::slots + 1];
            FUSEDNET_UNROLL
            for (int s = 0; s < O::slots; ++s) slot_values[s] = slots[s][k];
            if (a.decays) new_w[k] = new_w[k] - decay * new_w[k];
            // this order passes NaN on
            optimizer.update(new_w[k], min(limit, max(-limit, g[k] * scale)), slot_values);
            FUSEDNET_UNROLL
            for (int s = 0; s < O::slots; ++s) slots[s][k] = slot_values[s];
        }
        at.store(w, new_w);
        FUSEDNET_UNROLL
        for (int s = 0; s < O::slots; ++s) at.store(slot_view(a, s), slots[s]);
        if (!a.average) return;
        const double keeps = a.scalars->average_momentum;
        auto means = at.load(average);
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) means[k] = fma(V(keeps), means[k], V(1 - keeps) * new_w[k]);
        at.store(average, means);
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
    View<T> moving;
    View<const T> value;
    V keeps, takes;

    MovingAverageBody(const MovingAverage<T>& a, Index& rows, Index& cols, Index& whole)
        : moving{a.moving, a.n}, value{a.value, a.n}, keeps(a.momentum), takes(1 - a.momentum) {
        rows = 1;
        cols = a.n;
        whole = columns_in_pieces(rows, cols, moving, value);
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(const At& at) const {
        auto m = at.load(moving);
        const auto x = at.load(value);
        FUSEDNET_UNROLL
        for (int k = 0; k < At::count; ++k) m[k] = fma(keeps, m[k], takes * x[k]);
        at.store(moving, m);
    }
};

inline void moving_averages(const MovingAverage<T>* all, Index count) noexcept {
    each_of<MovingAverageBody>("moving_average", all, count);
}

inline void moving_average(Index n, T* moving, const T* value, double momentum) noexcept {
    const MovingAverage<T> one{n, moving, value, momentum};
    moving_averages(&one, 1);
}

// *sum = the sum over all elements, in float64, of what add(sum, piece) adds.
template <class Add>
void sum_pieces(const char* name, Index rows, Index cols, Index whole, double* sum, const Add& add) noexcept {
    fold_pieces<Sums<1>>(
        name, rows, cols, whole, [add] FUSEDNET_DEVICE(Sums<1>& s, const auto& at) { add(s.v[0], at); },
        [sum] FUSEDNET_DEVICE(const Sums<1>& s) {
            if (sum) *sum = s.v[0];
        });
}

template <class A, int n>
FUSEDNET_DEVICE void add_squares(double& sum, const Pack<A, n>& pack) {
    FUSEDNET_UNROLL
    for (int k = 0; k < n; ++k) sum += double(pack[k]) * double(pack[k]);
}

struct SquaredNormBody {
    View<const T> x;
    double* sum;

    SquaredNormBody(const SquaredNorm<T>& a, Index& whole) : x(a.x), sum(a.sum) {
        whole = columns_in_pieces(a.rows, a.cols, x);
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(Sums<1>& s, const At& at) const {
        add_squares(s.v[0], at.load(x));
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
    fold_pieces<Sums<2>>(
        "dot", rows, cols, columns_in_pieces(rows, cols, x, y),
        [x, y] FUSEDNET_DEVICE(Sums<2>& s, const auto& at) {
            const auto a = at.load(x), b = at.load(y);
            FUSEDNET_UNROLL
            for (int k = 0; k < at.count; ++k) {
                const V product = a[k] * b[k];
                s.v[0] += double(product);
                s.v[1] += double(abs(product));
            }
        },
        [out] FUSEDNET_DEVICE(const Sums<2>& s) { *out = {s.v[0], s.v[1]}; });
}

inline void penalty_value(const PenaltyValue<T>& a, double* sum) noexcept {
    sum_pieces("penalty_value", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.w), sum,
               [a] FUSEDNET_DEVICE(double& s, const auto& at) {
                   const auto pack = at.load(a.w);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) {
                       const double w = double(pack[k]);
                       // a term that no factor asks for may be infinite
                       s += (a.l1 != 0 ? a.l1 * __builtin_fabs(w) : 0.0) + (a.l2 != 0 ? a.l2 * (w * w) : 0.0);
                   }
               });
}

inline void penalty_gradient(const PenaltyGradient<T>& a, double* norm) noexcept {
    sum_pieces("penalty_gradient", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.w, a.g), norm,
               [a] FUSEDNET_DEVICE(double& s, const auto& at) {
                   const auto w = at.load(a.w);
                   auto g = at.load(a.g);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) g[k] = g[k] + (V(a.l1) * signum(V(w[k])) + V(2 * a.l2) * w[k]);
                   at.store(a.g, g);
                   add_squares(s, g);
               });
}

inline void accumulate(const AccumulateArgs<T>& a, double* norm) noexcept {
    sum_pieces("accumulate", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.sum, a.g), norm,
               [a] FUSEDNET_DEVICE(double& s, const auto& at) {
                   auto total = at.load(a.sum), g = at.load(a.g);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) total[k] = total[k] + g[k];
                   if (a.scale == 0) {
                       at.store(a.sum, total);
                   } else {
                       FUSEDNET_UNROLL
                       for (int k = 0; k < at.count; ++k) g[k] = total[k] * V(a.scale);
                       at.store(a.g, g);
                   }
                   add_squares(s, g);
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

    FirstNonfiniteBody(const FirstNonfinite<T>& a, Index& whole) : rows(a.rows), x(a.x), row(a.row) {
        whole = columns_in_pieces(rows, a.cols, x);
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(FirstRow& first, const At& at) const {
        const auto pack = at.load(x);
        FUSEDNET_UNROLL
        for (int k = 0; k < At::count; ++k) {
            const V zero = pack[k] * V(0);  // NaN from inf and NaN
            if (!(zero == 0)) first.row = lesser(first.row, at.i);
        }
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
