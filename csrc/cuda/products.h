// Which products the library does, and how they look to it. Included after gemm.h.

constexpr Index least_library_work = Index(1) << 21;  // m n k; below it a launch costs more than the arithmetic

// C is row-major, the library counts by columns: it computes C' = B' A'. False: strides that it cannot take.
inline bool as_library_product(const Gemm<T>& g, LibraryProduct& p) {
    if (g.b_col == 1 && g.b_row >= g.n)
        p.a = {g.b, false, g.b_row};
    else if (g.b_row == 1 && g.b_col >= g.k)
        p.a = {g.b, true, g.b_col};
    else
        return false;
    if (g.a_col == 1 && g.a_row >= g.k)
        p.b = {g.a, false, g.a_row};
    else if (g.a_row == 1 && g.a_col >= g.m)
        p.b = {g.a, true, g.a_col};
    else
        return false;
    p.rows = g.n;
    p.cols = g.m;
    p.inner = g.k;
    p.d = g.c.data;
    p.d_ld = g.c.ld;
    p.bias = g.bias;
    p.accumulate = g.accumulate;
    p.operands = sizeof(T) == 8 ? Operands::float64 : Operands::float32;
    return g.c.ld >= g.n;
}

inline Served product_as_is(const LibraryProduct& p) noexcept {
    return library_product(p);
}

inline bool wants_library(const Gemm<T>& g, LibraryProduct& p) {
    const double work = double(g.m) * double(g.n) * double(g.k);  // more than 64 bits count, of the largest sizes
    const bool large = work >= double(least_library_work);
    return large && library_found() && as_library_product(g, p);
}

inline bool goes_by_our_slices(const Gemm<T>& g) {
    LibraryProduct p;
    return goes_by_slices(g) && !wants_library(g, p);
}

// The library's product, or ours where it has none; and what it lacks of what follows. `relu` is the one epilogue that
// is a ReLU, which the library may have where z need not stay beside y.
template <Served (*by_library)(const LibraryProduct&) noexcept, void (*relu)(const ActivationForward<T>&) noexcept>
void product(const Gemm<T>& g) noexcept {
    LibraryProduct p;
    const bool asked = wants_library(g, p);
    if (asked && recording()) return refuse_recording();
    Served served;
    if (asked) {
        p.relu = g.epilogue == relu && g.y.data == g.c.data && g.y.ld == g.c.ld;
        p.a_sums = g.b_sums;  // its A is our B
        served = by_library(p);
    }
    if (!served.product) return gemm(g);
    finish_gemm(g, !served.relu, !served.sums);
}
