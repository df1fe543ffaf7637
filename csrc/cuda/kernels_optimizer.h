// Parameter updates in place, what happens to parameters and gradients around them, and sums over all elements.

// An update or, without scalars, a moving average: `w` is what moves then, `g` its value, `clip_value` the momentum.
template <class O>
struct UpdateBody {
    T* w;
    Index ld;
    View<const T> g;
    T *slot[max_slots], *average;
    const StepScalars* scalars;
    const double* scale;
    double clip_value;
    bool decays;

    UpdateBody(const UpdateArgs<T>& a, Index& rows, Index& cols, Index& whole)
        : w(a.w),
          ld(a.ld),
          g(a.g),
          slot{a.slot[0], a.slot[1], a.slot[2]},
          average(a.average),
          scalars(a.scalars),
          scale(a.scale),
          clip_value(a.clip_value),
          decays(a.decays) {
        static_assert(O::slots <= max_slots && max_slots == 3);
        rows = a.rows;
        cols = a.cols;
        flatten(rows, cols, of(w), g);
        whole = columns_in_pieces(rows, cols, of(w), g, of(average), of(O::slots > 0 ? slot[0] : w),
                                  of(O::slots > 1 ? slot[1] : w), of(O::slots > 2 ? slot[2] : w));
    }
    UpdateBody(const MovingAverage<T>& a, Index& rows, Index& cols, Index& whole)
        : w(a.moving),
          ld(a.n),
          g{a.value, a.n},
          slot{},
          average(nullptr),
          scalars(nullptr),
          scale(nullptr),
          clip_value(a.momentum),
          decays(false) {
        rows = 1;
        cols = a.n;
        whole = columns_in_pieces(rows, cols, of(w), g);
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(const At& at) const {
        if (scalars)
            update(at);
        else
            move(at);
    }

private:
    FUSEDNET_MEMBER View<T> of(T* array) const { return {array, ld}; }
    template <int n>
    FUSEDNET_DEVICE void update(const Piece<n>& at) const {
        const O optimizer(scalars->optimizer);
        const V limit(clip_value), factor(*scale), decay(decays ? scalars->decay : 0.0);
        const auto gradient = at.load(g);
        auto new_w = at.load(of(w));
        Pack<T, n> slots[O::slots + 1];
        FUSEDNET_UNROLL
        for (int s = 0; s < O::slots; ++s) slots[s] = at.load(of(slot[s]));
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) {
            V slot_values[O::slots + 1];
            FUSEDNET_UNROLL
            for (int s = 0; s < O::slots; ++s) slot_values[s] = slots[s][k];
            if (decays) new_w[k] = new_w[k] - decay * new_w[k];
            // this order passes NaN on
            optimizer.update(new_w[k], min(limit, max(-limit, gradient[k] * factor)), slot_values);
            FUSEDNET_UNROLL
            for (int s = 0; s < O::slots; ++s) slots[s][k] = slot_values[s];
        }
        at.store(of(w), new_w);
        FUSEDNET_UNROLL
        for (int s = 0; s < O::slots; ++s) at.store(of(slot[s]), slots[s]);
        if (!average) return;
        const double keeps = scalars->average_momentum;
        auto means = at.load(of(average));
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) means[k] = fma(V(keeps), means[k], V(1 - keeps) * new_w[k]);
        at.store(of(average), means);
    }
    template <int n>
    FUSEDNET_DEVICE void move(const Piece<n>& at) const {
        const V keeps(clip_value), takes(1 - clip_value);
        auto m = at.load(of(w));
        const auto x = at.load(g);
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) m[k] = fma(keeps, m[k], takes * x[k]);
        at.store(of(w), m);
    }
};

template <class O>
void optimizer_updates(const UpdateArgs<T>* all, Index count, const MovingAverage<T>* averages, Index moving) noexcept {
    using Body = UpdateBody<O>;
    Together<EachPiece<Body>> together(count > 0 ? "optimizer_update" : "moving_average");
    for (Index i = 0; i < count; ++i) add_pieces<Body>(together, all[i]);
    for (Index i = 0; i < moving; ++i) add_pieces<Body>(together, averages[i]);
}

template <class O>
void optimizer_update(const UpdateArgs<T>& a) noexcept {
    optimizer_updates<O>(&a, 1, nullptr, 0);
}

inline void moving_average(Index n, T* moving, const T* value, double momentum) noexcept {
    const MovingAverage<T> one{n, moving, value, momentum};
    optimizer_updates<Sgd<V>>(nullptr, 0, &one, 1);
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

struct MeasureBody {
    View<const T> x;
    double* sum;
    bool squares;

    MeasureBody(const Measure<T>& a, Index& whole) : x(a.x), sum(a.sum), squares(a.squares) {
        whole = columns_in_pieces(a.rows, a.cols, x);
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(Sums<1>& s, const At& at) const {
        const auto pack = at.load(x);
        if (squares) return add_squares(s.v[0], pack);
        FUSEDNET_UNROLL
        for (int k = 0; k < At::count; ++k) s.v[0] += double(pack[k]) * 0.0;  // NaN from inf and NaN
    }
    FUSEDNET_DEVICE void operator()(const Sums<1>& s) const {
        if (sum) *sum = s.v[0];
    }
};

inline void measure(const Measure<T>* all, Index count) noexcept {
    fold_each<Sums<1>, MeasureBody>("measure", all, count);
}

inline void squared_norm(Index rows, Index cols, View<const T> x, double* sum) noexcept {
    const Measure<T> one{rows, cols, x, sum};
    measure(&one, 1);
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

inline void first_nonfinite_row(Index rows, Index cols, View<const T> x, Index* row) noexcept {
    fold_pieces<FirstRow>(
        "first_nonfinite_row", rows, cols, columns_in_pieces(rows, cols, x),
        [x] FUSEDNET_DEVICE(FirstRow& first, const auto& at) {
            const auto pack = at.load(x);
            FUSEDNET_UNROLL
            for (int k = 0; k < at.count; ++k) {
                const V zero = pack[k] * V(0);  // NaN from inf and NaN
                if (!(zero == 0)) first.row = lesser(first.row, at.i);
            }
        },
        [row, rows] FUSEDNET_DEVICE(const FirstRow& first) { *row = lesser(first.row, rows); });
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
