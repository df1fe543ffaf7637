// Parameter updates in place, and the norm that clipping needs.

// more: clipping by value, weight decay before the step and the weights' average after it, which cost nothing where
// they are not asked for.
template <class O, bool more>
FUSEDNET_INLINE void update_pass(const UpdateArgs<T>& a) {
    static_assert(O::slots <= max_slots);
    const O optimizer(a.scalars->optimizer);
    const V scale(*a.scale);
    [[maybe_unused]] const V lowest(-a.clip_value), highest(a.clip_value), decay(a.decays ? a.scalars->decay : 0.0);
    [[maybe_unused]] const V keeps(a.scalars->average_momentum), takes(1 - a.scalars->average_momentum);
    T* const weights = a.w;
    T* slots[O::slots + 1];
    for (int s = 0; s < O::slots; ++s) slots[s] = a.slot[s];
    Index rows = a.rows, cols = a.cols;
    const Index ld = a.ld;
    if (a.ld == cols && a.g.ld == cols) {
        cols *= rows;
        rows = 1;
    }
    for (Index i = 0; i < rows; ++i) {
        const T* from = a.g.row(i);
        for_vectors(cols, [&](Index c, auto part) FUSEDNET_INLINE_LAMBDA {
            const Index j = i * ld + c;
            V g = load(from + c, part) * scale;
            if constexpr (more) g = min(highest, max(lowest, g));  // this order passes NaN on
            V w = load(weights + j, part);
            if constexpr (more) w = w - decay * w;
            V slot[O::slots + 1];
            for (int s = 0; s < O::slots; ++s) slot[s] = load(slots[s] + j, part);
            optimizer.update(w, g, slot);
            store(weights + j, w, part);
            for (int s = 0; s < O::slots; ++s) store(slots[s] + j, slot[s], part);
            if constexpr (more)
                if (a.average) store(a.average + j, fma(keeps, load(a.average + j, part), takes * w), part);
        });
    }
}

template <class O>
void optimizer_update(const UpdateArgs<T>& a) noexcept {
    if (a.decays || a.average || a.clip_value < __builtin_inf())
        update_pass<O, true>(a);
    else
        update_pass<O, false>(a);
}

inline void squared_norm(Index rows, Index cols, View<const T> x, double* norm) noexcept {
    Accumulator sum[4];
    for (Index i = 0; i < rows; ++i) {
        const T* row = x.row(i);
        Index j = 0;
        for (; j + 4 * lanes <= cols; j += 4 * lanes)
            for (int k = 0; k < 4; ++k) sum[k].add_square(load(row + j + k * lanes));
        for_vectors(cols - j,
                    [&](Index k, auto part) FUSEDNET_INLINE_LAMBDA { sum[0].add_square(load(row + j + k, part)); });
    }
    *norm = (sum[0].total() + sum[1].total()) + (sum[2].total() + sum[3].total());
}

inline void dot(Index rows, Index cols, View<const T> x, View<const T> y, Dot* sums) noexcept {
    Accumulator sum, size;
    for (Index i = 0; i < rows; ++i) {
        const T *a = x.row(i), *b = y.row(i);
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V product = load(a + j, part) * load(b + j, part);
            sum.add(product);
            size.add(abs(product));
        });
    }
    *sums = {sum.total(), size.total()};
}
