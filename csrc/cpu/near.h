// Functions h of t = |x|, or of x itself, near 0: polynomials of degree five on 32 intervals of one width around its
// multiples, looked up.
//   h(t) = lead + d slope(d),  d = t - center
// A center is a float where h is one too, to a few hundredths of an ULP. Around a root of h it is the root.

// Eight coefficients for each of 32 intervals, as look_up reads them.
struct Table32 {
    alignas(64) T table[8 * 32]{};
    constexpr explicit Table32(const T (&rows)[8][32]) {
        for (Index k = 0; k < 8; ++k)
            for (Index j = 0; j < 32; ++j) table[k * coefficient_stride + j * interval_stride] = rows[k][j];
    }
};

struct Near : Table32 {
    T scale;
    // rows: center, lead, the slope's five coefficients, and what the first of them lacks around a root
    constexpr Near(T s, const T (&rows)[8][32]) : Table32(rows), scale(s) {}
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

template <bool exact, bool rooted = false>
FUSEDNET_INLINE Line<exact> line(const Near& p, V t) {
    V c[8];
    look_up(p.table, fma(t, broadcast(p.scale), V(0x1.8p23)), c);  // whose last bits are the nearest whole number
    const V d = t - c[0];
    V q = fma(c[6], d, c[5]);
    q = fma(q, d, c[4]);
    q = fma(q, d, c[3]);
    if constexpr (!exact) return {c[1], d, fma(q, d, c[2]), V(0)};
    const Sum slope = exact_sum(c[2], q * d);
    return {c[1], d, slope.high, rooted ? slope.low + c[7] : slope.low};
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

// y where no lane is far, else R::far(x) in those that are: a lane's result does not depend on its neighbours.
template <class R>
FUSEDNET_INLINE V or_far(V x, V y, M far) {
    return __builtin_expect(any(far), false) ? select(far, R::far(x), y) : y;
}
