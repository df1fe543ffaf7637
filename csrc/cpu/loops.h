// How kernels walk a row: whole vectors, then one partial vector that touches nothing beyond the row.

struct Whole {};
struct Part {
    Index n;
};

FUSEDNET_INLINE V load(const T* p, Whole) {
    return load(p);
}
FUSEDNET_INLINE V load(const T* p, Part part) {
    return load(p, part.n);
}
FUSEDNET_INLINE void store(T* p, V v, Whole) {
    store(p, v);
}
FUSEDNET_INLINE void store(T* p, V v, Part part) {
    store(p, v, part.n);
}
// The lanes beyond the row become `rest`.
FUSEDNET_INLINE V keep(V v, Whole, V) {
    return v;
}
FUSEDNET_INLINE V keep(V v, Part part, V rest) {
    return select(first_lanes(part.n), v, rest);
}
FUSEDNET_INLINE Index width(Whole) {
    return lanes;
}
FUSEDNET_INLINE Index width(Part part) {
    return part.n;
}

// A whole vector that is stored past the caches.
struct Streamed {};
FUSEDNET_INLINE V load(const T* p, Streamed) {
    return load(p);
}
FUSEDNET_INLINE void store(T* p, V v, Streamed) {
    store_streamed(p, v);
}

template <class F>
FUSEDNET_INLINE void for_vectors(Index cols, F f) {
    Index j = 0;
    for (; j + lanes <= cols; j += lanes) f(j, Whole{});
    if constexpr (lanes > 1)
        if (j < cols) f(j, Part{cols - j});
}

// Columns of `to` before its first whole line.
FUSEDNET_INLINE Index before_line(const T* to, Index cols) {
    const Index over = Index(reinterpret_cast<uintptr_t>(to) / sizeof(T)) % lanes;
    return over == 0 ? 0 : lanes - over < cols ? lanes - over : cols;
}

// The same for a row `to` that is written past the caches: whole vectors where such stores are aligned.
template <class F>
FUSEDNET_INLINE void for_streamed(const T* to, Index cols, F f) {
    Index j = 0;
    if constexpr (lanes > 1) {
        j = before_line(to, cols);
        if (j > 0) f(0, Part{j});
    }
    for (; j + lanes <= cols; j += lanes) f(j, Streamed{});
    if constexpr (lanes > 1)
        if (j < cols) f(j, Part{cols - j});
}

template <class F>
FUSEDNET_INLINE void for_row(bool stream, const T* to, Index cols, F f) {
    if (stream)
        for_streamed(to, cols, f);
    else
        for_vectors(cols, f);
}

template <Index n>
struct Vectors {
    static constexpr Index count = n;
};

// Several vector columns at once, then fewer, so that sums down the rows have independent additions in flight.
constexpr Index group = lanes == 1 ? 8 : 4;

template <Index count = group, class F>
FUSEDNET_INLINE void for_groups(Index cols, const F& f, Index j = 0) {
    for (; j + count * lanes <= cols; j += count * lanes) f(Vectors<count>{}, j, Whole{});
    if constexpr (count > 1)
        for_groups<count / 2>(cols, f, j);
    else if constexpr (lanes > 1)
        if (j < cols) f(Vectors<1>{}, j, Part{cols - j});
}

FUSEDNET_INLINE Streamed streamed(Whole) {
    return {};
}
FUSEDNET_INLINE Part streamed(Part part) {
    return part;
}

// The same for rows that are written past the caches, the first of them at `to`; their lines begin at the same columns.
template <Index count = group, class F>
FUSEDNET_INLINE void for_groups_streamed(const T* to, Index cols, const F& f) {
    Index j = 0;
    if constexpr (lanes > 1) {
        j = before_line(to, cols);
        if (j > 0) f(Vectors<1>{}, 0, Part{j});
    }
    for_groups<count>(
        cols, [&](auto vectors, Index k, auto part) FUSEDNET_INLINE_LAMBDA { f(vectors, k, streamed(part)); }, j);
}

// Rows without a gap between them are one long row: short rows then waste no lanes.
template <class... Views>
FUSEDNET_INLINE void flatten(Index& rows, Index& cols, const Views&... views) {
    if (((views.ld == cols) && ...)) {
        cols *= rows;
        rows = 1;
    }
}

// Sums down the rows run in T over a chunk of them, then join in float64.
constexpr Index chunk = row_chunk;

template <Index count, class P>
FUSEDNET_INLINE Index columns(Vectors<count>, P part) {
    return (count - 1) * lanes + width(part);
}

// T sums of one chunk added to their float64 totals.
template <Index count>
FUSEDNET_INLINE void join(double* total, const V (&sum)[count]) {
    T s[count * lanes];
    for (Index v = 0; v < count; ++v) store(s + v * lanes, sum[v]);
    for (Index l = 0; l < count * lanes; ++l) total[l] += double(s[l]);
}

// sums (cols) = the sums over the rows of term(row, column, part). Only the last of a group's vectors can be partial,
// and then it is the only one.
template <class Term>
FUSEDNET_INLINE void sum_columns(Index rows, Index cols, T* sums, const Term& term) {
    for_groups(cols, [&](auto vectors, Index j, auto part) FUSEDNET_INLINE_LAMBDA {
        constexpr Index count = decltype(vectors)::count;
        double total[count * lanes] = {};
        for (Index first = 0; first < rows; first += chunk) {
            const Index end = rows - first < chunk ? rows : first + chunk;
            V sum[count];
            for (V& s : sum) s = V(0);
            for (Index i = first; i < end; ++i)
                for (Index v = 0; v < count; ++v) sum[v] = sum[v] + term(i, j + v * lanes, part);
            join(total, sum);
        }
        for (Index l = 0; l < columns(vectors, part); ++l) sums[j + l] = static_cast<T>(total[l]);
    });
}
