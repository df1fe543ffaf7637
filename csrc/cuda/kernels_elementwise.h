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

inline void column_sums(Index rows, Index cols, View<const T> x, T* sums) noexcept {
    fold_columns<Sums<1>>(
        "column_sums", rows, cols, columns_in_pieces(rows, cols, x),
        [x] FUSEDNET_DEVICE(Sums<1>* sum, const auto& down) {
            down.template visit<4>([&](const auto& at) { return at.load(x); },
                                   [&](const auto&, const auto& values) {
                                       FUSEDNET_UNROLL
                                       for (int k = 0; k < values.count; ++k) sum[k].v[0] += double(values[k]);
                                   });
        },
        [sums] FUSEDNET_DEVICE(Index j, const Sums<1>& sum) { sums[j] = T(sum.v[0]); });
}

// A single source element may be unaligned.
template <class S>
void gather(const GatherArgs<T>& a) noexcept {
    const bool packs = has_packs(static_cast<const S*>(a.src), a.order ? 2 : a.rows, a.src_row_bytes);
    each_piece("gather", a.rows, a.cols, packs ? columns_in_pieces(a.rows, a.cols, a.dst) : 0,
               [a] FUSEDNET_DEVICE(const auto& at) {
                   const Index from = a.order ? Index(a.order[at.i]) : at.i;
                   const char* const source =
                       static_cast<const char*>(a.src) + from * a.src_row_bytes + at.j * Index(sizeof(S));
                   Pack<S, at.count> values;
                   if constexpr (at.count == 1)
                       __builtin_memcpy(&values, source, sizeof values);
                   else
                       values = values.from(static_cast<const S*>(static_cast<const void*>(source)));
                   Pack<T, at.count> converted;
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) converted[k] = static_cast<T>(values[k]);
                   at.store(a.dst, converted);
               });
}

inline void gather_labels(Index n, const int32_t* from, const int64_t* order, int32_t* to) noexcept {
    each("gather_labels", 1, n, [=] FUSEDNET_DEVICE(Index, Index i) { to[i] = from[order ? Index(order[i]) : i]; });
}

inline void fill(const FillArgs<T>& a) noexcept {
    each("fill", 1, a.n, [a] FUSEDNET_DEVICE(Index, Index i) { a.y[i] = a.from ? *a.from : T(a.constant); });
}

inline void is_below(Index n, T* x, double limit) noexcept {
    each("is_below", 1, n, [=] FUSEDNET_DEVICE(Index, Index i) { x[i] = double(x[i]) < limit ? T(1) : T(0); });
}
