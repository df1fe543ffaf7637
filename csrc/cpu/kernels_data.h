// Rows on their way in: gathered and converted, and searched for what is not finite.

template <class A, class B>
constexpr bool same_type = false;
template <class A>
constexpr bool same_type<A, A> = true;

// The source may be unaligned; the copy of one element is a plain load.
template <class S>
void gather(const GatherArgs<T>& a) noexcept {
    const char* src = static_cast<const char*>(a.src);
    for (Index i = 0; i < a.rows; ++i) {
        const char* from = src + (a.order ? static_cast<Index>(a.order[i]) : i) * a.src_row_bytes;
        T* to = a.dst.row(i);
        if constexpr (same_type<S, T>) {
            __builtin_memcpy(to, from, size_t(a.cols) * sizeof(T));
            continue;
        }
        for (Index j = 0; j < a.cols; ++j) {
            S value;
            __builtin_memcpy(&value, from + j * Index(sizeof(S)), sizeof(S));
            to[j] = static_cast<T>(value);
        }
    }
}

inline void first_nonfinite_row(Index rows, Index cols, View<const T> x, Index* found) noexcept {
    for (Index i = 0; i < rows; ++i) {
        const T* row = x.row(i);
        V zero(0);
        for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            zero = fma(load(row + j, part), V(0), zero);  // NaN from inf and NaN
        });
        if (!(reduce_add(zero) == 0)) {
            *found = i;
            return;
        }
    }
    *found = rows;
}
