// Parameter updates in place, and the norm that clipping needs.

// more: weight decay before the step and the weights' average after it, which cost nothing where they are not asked
// for.
template <class O, bool more>
FUSEDNET_INLINE void update_pass(const UpdateArgs<T>& a) {
    static_assert(O::slots <= max_slots);
    const O optimizer(a.scalars);
    const V scale(a.scale), lowest(-a.clip_value), highest(a.clip_value), decay(a.decay);
    const V keeps(a.average_momentum), takes(1 - a.average_momentum);
    for_vectors(a.n, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
        const V g = min(highest, max(lowest, load(a.g + j, part) * scale));  // this order passes NaN on
        V w = load(a.w + j, part);
        if constexpr (more) w = w - decay * w;
        V slot[O::slots + 1];
        for (int s = 0; s < O::slots; ++s) slot[s] = load(a.slot[s] + j, part);
        optimizer.update(w, g, slot);
        store(a.w + j, w, part);
        for (int s = 0; s < O::slots; ++s) store(a.slot[s] + j, slot[s], part);
        if constexpr (more)
            if (a.average) store(a.average + j, fma(keeps, load(a.average + j, part), takes * w), part);
    });
}

template <class O>
void optimizer_update(const UpdateArgs<T>& a) noexcept {
    if (a.decay != 0 || a.average)
        update_pass<O, true>(a);
    else
        update_pass<O, false>(a);
}

inline double squared_norm(Index rows, Index cols, View<const T> x) noexcept {
    Accumulator sum[4];
    for (Index i = 0; i < rows; ++i) {
        const T* row = x.row(i);
        Index j = 0;
        for (; j + 4 * lanes <= cols; j += 4 * lanes)
            for (int k = 0; k < 4; ++k) sum[k].add_square(load(row + j + k * lanes));
        for_vectors(cols - j,
                    [&](Index k, auto part) FUSEDNET_INLINE_LAMBDA { sum[0].add_square(load(row + j + k, part)); });
    }
    return (sum[0].total() + sum[1].total()) + (sum[2].total() + sum[3].total());
}
