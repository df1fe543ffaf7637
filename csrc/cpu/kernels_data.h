// Rows on their way in: gathered and converted, and searched for what is not finite.

template <class A, class B>
constexpr bool same_type = false;
template <class A>
constexpr bool same_type<A, A> = true;

// The source may be unaligned; the copy of one element is a plain load. Memory is asked for the beginning of the next
// row meanwhile, since nothing else can guess where it lies; it is asked for the rest as that is read.
template <class S>
void gather(const GatherArgs<T>& a) noexcept {
    const char* src = static_cast<const char*>(a.src);
    for (Index i = 0; i < a.rows; ++i) {
        const char* from = src + (a.order ? static_cast<Index>(a.order[i]) : i) * a.src_row_bytes;
        T* to = a.dst.row(i);
        if (a.order && i + 1 < a.rows) {
            const char* next = src + static_cast<Index>(a.order[i + 1]) * a.src_row_bytes;
            const Index bytes = a.cols * Index(sizeof(S));
            for (Index at = 0; at < bytes && at < 512; at += 64) __builtin_prefetch(next + at);
        }
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

inline void gather_labels(Index n, const int32_t* from, const int64_t* order, int32_t* to) noexcept {
    for (Index i = 0; i < n; ++i) to[i] = from[order ? static_cast<Index>(order[i]) : i];
}

inline void fill(const FillArgs<T>& a) noexcept {
    const T value = a.from ? *a.from : static_cast<T>(a.constant);
    for (Index i = 0; i < a.n; ++i) a.y[i] = value;
}

inline void is_below(Index n, T* x, double limit) noexcept {
    for (Index i = 0; i < n; ++i) x[i] = double(x[i]) < limit ? T(1) : T(0);
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
