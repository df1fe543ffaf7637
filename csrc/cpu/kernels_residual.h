// Where the branches of a residual block meet.

inline void scaled_add(const ScaledAdd<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i) {
        const T* left = a.a.data ? a.a.row(i) : nullptr;
        const T* right = a.b.row(i);
        T* y = a.y.row(i);
        const V scale = a.scale ? broadcast(a.scale[i]) : V(1);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V b = load(right + j, part);
            store(y + j, left ? fma(scale, b, load(left + j, part)) : scale * b, part);
        });
    }
}
