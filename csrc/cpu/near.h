// Functions h of t = |x|, or of x itself, near 0: polynomials of degree five on 32 intervals of one width around its
// multiples, looked up; and on the 32 next ones, which have the same places in a table of their own.
//   h(t) = lead + d slope(d),  d = t - center
// A center is a float where h is one too, to a few hundredths of an ULP. Around a root of h it is the root.

struct Near {
    T scale;
    alignas(64) T table[8 * 32]{};
    // rows: center, lead, the slope's five coefficients, and what the first of them lacks around a root
    constexpr Near(T s, const T (&rows)[8][32]) : scale(s) {
        for (Index k = 0; k < 8; ++k)
            for (Index j = 0; j < 32; ++j) table[k * coefficient_stride + j * interval_stride] = rows[k][j];
    }
};

// h = lead + d slope, or where `exact`, which costs more, lead + d low + d slope: there the slope's rounding is in low.
template <bool exact>
struct Line {
    V lead, d, slope, low;
    FUSEDNET_MEMBER V value() const { return plus(lead); }
    // h - lead + other
    FUSEDNET_MEMBER V plus(V other) const {
        if constexpr (exact) return fma(d, slope, fma(d, low, other));
        return fma(d, slope, other);
    }
    // h - lead
    FUSEDNET_MEMBER V rise() const {
        if constexpr (exact) return fma(d, slope, d * low);
        return d * slope;
    }
};

// The number of t's interval is added to this, so that its last bits are the last ones of the sum.
constexpr double first_place = 0x1.8p23;
FUSEDNET_INLINE V place(const Near& p, V t) {
    return fma(t, broadcast(p.scale), V(first_place));
}

template <bool exact>
FUSEDNET_INLINE Line<exact> line(const Near& p, V t) {
    V c[8];
    look_up(p.table, place(p, t), c);
    const V d = t - c[0];
    V q = fma(c[6], d, c[5]);
    q = fma(q, d, c[4]);
    q = fma(q, d, c[3]);
    if constexpr (!exact) return {c[1], d, fma(q, d, c[2]), V(0)};
    const Sum slope = exact_sum(c[2], q * d);
    return {c[1], d, slope.high, slope.low + c[7]};
}

// Other than 0 and so small that a part of its value may be denormal and lose digits.
FUSEDNET_INLINE M tiny(V t) {
    return both(V(0) < t, t < V(0x1p-90));
}

// h(t) where x < 0, else 1 - h(t); of 1 - lead a few hundredths of an ULP are lost.
template <bool exact>
FUSEDNET_INLINE V share(V x, const Line<exact>& h) {
    const V lead = select(x < V(0), h.lead, V(1) - h.lead);
    return Line<exact>{lead, h.d, negated_above(h.slope, x), exact ? negated_above(h.low, x) : h.low}.value();
}
// x times that.
template <bool exact>
FUSEDNET_INLINE V gated_share(V x, const Line<exact>& h) {
    const V lead = select(x < V(0), h.lead, V(1) - h.lead), low = negated_above(h.rise(), x);
    return copysign(fma(x, lead, x * low), x);  // keeps the sign of 0
}

// R is a function by ranges of t = |x|, or of x: its first 32 intervals are looked up in one table, as many next ones,
// to R::last, in another, and beyond it is computed. A lane's result does not depend on its neighbours. Only the first
// range is inline, so that the loops around it keep their registers.
template <class R>
[[gnu::noinline]] V further(V x, V y, M beyond) {
    const V t = R::argument(x);
    y = select(beyond, R::of(x, line<true>(R::second, t)), y);
    const M far = R::outside(t, place(R::second, t), R::last);
    return any(far) ? select(far, R::far(x), y) : y;
}
template <class R>
FUSEDNET_INLINE V by_ranges(V x) {
    const V t = R::argument(x), y = R::of(x, line<R::exact>(R::first, t));
    const M beyond = R::outside(t, place(R::first, t), R::first_last);
    return __builtin_expect(any(beyond), false) ? further<R>(x, y, beyond) : y;
}

struct Ranges {
    static constexpr bool exact = false;
    static constexpr int first_last = 31, last = 63;
    FUSEDNET_INLINE V argument(V x) { return abs(x); }
    FUSEDNET_INLINE M outside(V, V at, int end) { return at > V(first_place + end); }
};
// Of x itself: from -16 to 15, and from -32 to 31.
struct SignedRanges {
    static constexpr bool exact = false;
    static constexpr int first_last = 15, last = 31;
    FUSEDNET_INLINE V argument(V x) { return x; }
    FUSEDNET_INLINE M outside(V x, V at, int end) {
        return either(tiny(abs(x)), either(at > V(first_place + end), at < V(first_place - 1 - end)));
    }
};
