// exp(-a) h(t) for t = |x| and a smooth h: polynomials of degree five on 32 intervals of u = 1 + scale t, eight an
// octave. Their coefficients are looked up: no division, and near a root of h as good as elsewhere.
//   h(t) = (lead + slope d) + (c[0] + c[1] d + ... + c[5] d^5),  d = t - center
// The first sum is exact: lead and slope have few bits, and slope is 0 where h is not small beside its change over the
// interval. Around a root, where u is in [near, far), the center is the root and lead is 0; elsewhere it is the
// interval's middle.

struct Pieces {
    T scale, unscale, root, near, far;
    alignas(64) T table[8 * 32]{};
    // rows: slope, lead, c[0] to c[5]
    constexpr Pieces(T s, T r, T n, T f, const T (&rows)[8][32]) : scale(s), unscale(1 / s), root(r), near(n), far(f) {
        for (Index k = 0; k < 8; ++k)
            for (Index j = 0; j < 32; ++j) table[k * coefficient_stride + j * interval_stride] = rows[k][j];
    }
};

// h(t) as lead and rest; where `rooted`, h has a root, else slope is 0 throughout. The last interval goes on as far as
// its fit.
template <bool rooted>
FUSEDNET_INLINE Sum piece(const Pieces& p, V t) {
    const V u = min(V(15.99), fma(t, broadcast(p.scale), V(1)));
    V c[8];
    look_up(p.table, interval(u), c);
    V center = (interval_center(u) - V(1)) * broadcast(p.unscale), lead = c[1];
    if constexpr (rooted)
        center = select(u < broadcast(p.near), center, select(u < broadcast(p.far), broadcast(p.root), center));
    const V d = t - center;
    if constexpr (rooted) lead = fma(c[0], d, lead);
    V q = fma(c[7], d, c[6]);
    q = fma(q, d, c[5]);
    q = fma(q, d, c[4]);
    q = fma(q, d, c[3]);
    q = fma(q, d, c[2]);
    return rooted ? exact_sum(lead, q) : Sum{lead, q};  // there q is small beside lead
}

// exp(-(a.high + a.low)) (h.high + h.low) = 2^n (h.high decay.high + rest)
FUSEDNET_INLINE V remainder(const Decay& e, Sum h) {
    return fma(h.high, e.low, h.low * (e.high + e.low));
}
FUSEDNET_INLINE V decayed(Sum a, Sum h) {
    const Decay e = decay(a);
    return ldexp(fma(h.high, e.high, remainder(e, h)), e.n);
}
