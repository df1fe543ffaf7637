// Activations by element, and what else walks arrays element by element.

template <class F>
FUSEDNET_DEVICE V value_of(const F& f, V x, V slope) {
    if constexpr (F::slope_from == Slope::none)
        return f.value(x);
    else
        return f.value(x, slope);
}
template <class F>
FUSEDNET_DEVICE V derivative_of(const F& f, V saved, V slope) {
    if constexpr (F::slope_from == Slope::none)
        return f.derivative(saved);
    else
        return f.derivative(saved, slope);
}
template <class F, int n>
FUSEDNET_DEVICE Pack<T, n> slopes(const View<const T>& slope, const Piece<n>& at) {
    if constexpr (F::slope_from == Slope::none)
        return {};
    else
        return at.load(slope);
}

// As flatten; slopes that are one row for all keep the rows apart.
template <class F, class... Views>
void flatten_with(Index& rows, Index& cols, const View<const T>& slope, const Views&... views) {
    if constexpr (F::slope_from == Slope::none)
        flatten(rows, cols, views...);
    else
        flatten(rows, cols, slope, views...);
}

template <class F>
void activation_forward(const ActivationForward<T>& a) noexcept {
    const F f(a.params);
    Index rows = a.rows, cols = a.cols;
    flatten_with<F>(rows, cols, a.slope, a.x, a.y);
    each_piece("activation_forward", rows, cols, columns_in_pieces(rows, cols, a.x, a.y, a.slope),
               [a, f] FUSEDNET_DEVICE(const auto& at) {
                   auto x = at.load(a.x);
                   const auto slope = slopes<F>(a.slope, at);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) x[k] = value_of(f, x[k], slope[k]);
                   at.store(a.y, x);
               });
}

template <class F>
void activation_backward(const ActivationBackward<T>& a) noexcept {
    const F f(a.params);
    if constexpr (F::slope_from == Slope::learned)
        if (a.dslope)  // before dx, which may be dy
            sum_columns<1>(
                "activation_backward", a.rows, a.cols,
                [a, f] FUSEDNET_DEVICE(Sums<1>& sum, Index i, Index j) {
                    sum.v[0] += double(a.dy.row(i)[j]) * double(f.slope_gradient(a.saved.row(i)[j]));
                },
                [a] FUSEDNET_DEVICE(Index j, const Sums<1>& sum) { a.dslope[j] = T(sum.v[0]); });
    const View<const T> saved = F::reads_saved ? a.saved : a.dy;
    Index rows = a.rows, cols = a.cols;
    flatten_with<F>(rows, cols, a.slope, a.dy, saved, a.dx);
    each_piece("activation_backward", rows, cols, columns_in_pieces(rows, cols, a.dy, saved, a.dx, a.slope),
               [a, f, saved] FUSEDNET_DEVICE(const auto& at) {
                   auto dx = at.load(a.dy);
                   const auto x = at.load(saved), slope = slopes<F>(a.slope, at);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) dx[k] = dx[k] * derivative_of(f, x[k], slope[k]);
                   at.store(a.dx, dx);
               });
}

inline void scaled_add(const ScaledAdd<T>& a) noexcept {
    each_piece("scaled_add", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.a, a.b, a.y),
               [a] FUSEDNET_DEVICE(const auto& at) {
                   auto y = at.load(a.b);
                   const V scale = a.scale ? a.scale[at.i] : V(1);
                   if (a.a.data) {
                       const auto before = at.load(a.a);
                       FUSEDNET_UNROLL
                       for (int k = 0; k < at.count; ++k) y[k] = fma(scale, y[k], before[k]);
                   } else {
                       FUSEDNET_UNROLL
                       for (int k = 0; k < at.count; ++k) y[k] = scale * y[k];
                   }
                   at.store(a.y, y);
               });
}

struct SumOfRows {
    View<const T> x;
    template <int n>
    FUSEDNET_DEVICE void operator()(Sums<1>* sum, const Descent<n>& down) const {
        down.template visit<4>([&](const Piece<n>& at) { return at.load(x); },
                               [&](const Piece<n>&, const Pack<T, n>& values) {
                                   FUSEDNET_UNROLL
                                   for (int k = 0; k < n; ++k) sum[k].v[0] += double(values[k]);
                               });
    }
};

struct KeepSum {
    T* sums;
    FUSEDNET_DEVICE void operator()(Index j, const Sums<1>& sum) const { sums[j] = T(sum.v[0]); }
};

inline void column_sums(Index rows, Index cols, View<const T> x, T* sums) noexcept {
    fold_columns<Sums<1>>("column_sums", all_columns(rows, cols, columns_in_pieces(rows, cols, x)), SumOfRows{x},
                          KeepSum{sums});
}

// A single source element may be unaligned.
struct GatherBody {
    GatherArgs<T> a;
    Source source;
    const int32_t* labels;
    int32_t* to;

    GatherBody(const Gathering<T>& g, Index& rows, Index& cols, Index& whole)
        : a(g.rows), source(g.source), labels(g.labels), to(g.to) {
        rows = a.rows;
        cols = labels ? 1 : a.cols;
        const Index apart = a.order || a.cursor ? 2 : rows;
        const bool packs =
            source == Source::uint8     ? has_packs(static_cast<const uint8_t*>(a.src), apart, a.src_row_bytes)
            : source == Source::float32 ? has_packs(static_cast<const float*>(a.src), apart, a.src_row_bytes)
                                        : has_packs(static_cast<const double*>(a.src), apart, a.src_row_bytes);
        if (packs && !labels) whole = columns_in_pieces(rows, cols, a.dst);
    }
    template <class At>
    FUSEDNET_DEVICE void operator()(const At& at) const {
        const Index i = a.cursor ? at.i + a.cursor->row : at.i, from = a.order ? Index(a.order[i]) : i;
        if (labels)
            to[at.i] = labels[from];
        else if (source == Source::uint8)
            convert<uint8_t>(at, from);
        else if (source == Source::float32)
            convert<float>(at, from);
        else
            convert<double>(at, from);
    }

private:
    template <class S, int n>
    FUSEDNET_DEVICE void convert(const Piece<n>& at, Index from) const {
        const char* const source_row = static_cast<const char*>(a.src) + from * a.src_row_bytes;
        const char* const place = source_row + at.j * Index(sizeof(S));
        Pack<S, n> values;
        if constexpr (n == 1)
            __builtin_memcpy(&values, place, sizeof values);
        else
            values = values.from(static_cast<const S*>(static_cast<const void*>(place)));
        Pack<T, n> converted;
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) converted[k] = static_cast<T>(values[k]);
        at.store(a.dst, converted);
    }
};

// x, targets and weights of a step.
inline void gathers(const Gathering<T>* all, Index count) noexcept {
    Together<EachPiece<GatherBody>, 3> together("gather");
    for (Index i = 0; i < count; ++i) add_pieces<GatherBody>(together, all[i]);
}

template <class S>
constexpr Source source_of = Source::float64;
template <>
inline constexpr Source source_of<uint8_t> = Source::uint8;
template <>
inline constexpr Source source_of<float> = Source::float32;

template <class S>
void gather(const GatherArgs<T>& a) noexcept {
    const Gathering<T> one{a, source_of<S>};
    gathers(&one, 1);
}

inline void gather_labels(Index n, const int32_t* from, const int64_t* order, int32_t* to) noexcept {
    const Gathering<T> one{{n, 1, nullptr, 0, order, {}}, Source::float32, from, to};
    gathers(&one, 1);
}

inline void fill(const FillArgs<T>& a) noexcept {
    each("fill", 1, a.n, [a] FUSEDNET_DEVICE(Index, Index i) { a.y[i] = a.from ? *a.from : T(a.constant); });
}

inline void is_below(Index n, T* x, double limit) noexcept {
    each("is_below", 1, n, [=] FUSEDNET_DEVICE(Index, Index i) { x[i] = double(x[i]) < limit ? T(1) : T(0); });
}
