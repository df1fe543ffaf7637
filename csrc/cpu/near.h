// Functions h(t) near 0, of t = |x| or of x itself: polynomials of degree five on 32 intervals of one width around its
// multiples, looked up.
//   h(t) = lead + d (c[1] + c[2] d + ... + c[5] d^4),  d = t - center
// A center is a float where h is one too, all but exactly. Around a root of h it is the root, and `low` what c[1]
// lacks.

struct Near {
    T scale;
    alignas(64) T table[8 * 32]{};
    // rows: center, lead, c[1] to c[5], low
    constexpr Near(T s, const T (&rows)[8][32]) : scale(s) {
        for (Index k = 0; k < 8; ++k)
            for (Index j = 0; j < 32; ++j) table[k * coefficient_stride + j * interval_stride] = rows[k][j];
    }
};

// h = lead + d low + d slope; low is 0 but around a root.
struct Line {
    V lead, d, slope, low;
    FUSEDNET_MEMBER V value() const { return fma(d, slope, lead); }
};

// Where `rooted`, the rounding of the slope is in low.
template <bool rooted>
FUSEDNET_INLINE Line near(const Near& p, V t) {
    V c[8];
    look_up(p.table, fma(t, broadcast(p.scale), V(0x1.8p23)), c);  // whose last bits are the nearest whole number
    const V d = t - c[0];
    V q = fma(c[6], d, c[5]);
    q = fma(q, d, c[4]);
    q = fma(q, d, c[3]);
    if constexpr (!rooted) return {c[1], d, fma(q, d, c[2]), V(0)};
    const Sum slope = exact_sum(c[2], q * d);
    return {c[1], d, slope.high, slope.low + c[7]};
}

// Other than 0 and so small that a part of its value may be denormal and lose digits.
FUSEDNET_INLINE M tiny(V t) {
    return both(t<V(0x1p-90), t> V(0));
}

// h(t) where x < 0, else 1 - h(t); 1 - lead is exact, all but a fiftieth of an ULP.
template <bool rooted>
FUSEDNET_INLINE V near_share(V x, const Line& h) {
    V lead = select(x < V(0), h.lead, V(1) - h.lead);
    if constexpr (rooted) lead = fma(h.d, negated_above(h.low, x), lead);
    return fma(h.d, negated_above(h.slope, x), lead);
}
// x times that, where h is not rooted.
FUSEDNET_INLINE V near_gated(V x, const Line& h) {
    const V lead = select(x < V(0), h.lead, V(1) - h.lead), low = negated_above(h.d * h.slope, x);
    return copysign(fma(x, lead, x * low), x);  // keeps the sign of 0
}
