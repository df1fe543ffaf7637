// exp(-a) h(t) for t = |x| from 3 to 15 and a smooth h: polynomials of degree five on intervals of u = 1 + t, eight an
// octave. Their coefficients are looked up: no division.
//   h(t) = (lead + slope d) + (c[0] + c[1] d + ... + c[5] d^5),  d = t - the interval's middle
// The first sum is exact: lead and slope have few bits, and slope is 0 where h is not small beside its change over the
// interval.

// rows: slope, lead, c[0] to c[5]
using Pieces = Table32;

// h(t) as lead and rest; not `sloped`: slope is 0 throughout.
template <bool sloped>
FUSEDNET_INLINE Sum piece(const Pieces& p, V t) {
    const V u = min(V(15.99), t + V(1));
    V c[8];
    look_up(p.table, interval(u), c);
    const V d = t - (interval_center(u) - V(1));
    V q = fma(c[7], d, c[6]);
    q = fma(q, d, c[5]);
    q = fma(q, d, c[4]);
    q = fma(q, d, c[3]);
    q = fma(q, d, c[2]);
    if constexpr (!sloped) return {c[1], q};  // there q is small beside lead
    return exact_sum(fma(c[0], d, c[1]), q);
}

// exp(-(a.high + a.low)) (h.high + h.low) = 2^n (h.high decay.high + rest)
FUSEDNET_INLINE V remainder(const Decay& e, Sum h) {
    return fma(h.high, e.low, h.low * (e.high + e.low));
}
FUSEDNET_INLINE V decayed(Sum a, Sum h) {
    const Decay e = decay(a);
    return ldexp(fma(h.high, e.high, remainder(e, h)), e.n);
}
