// Sigmoid and what is gated by it where a product is rounded before it is added: what that loses is kept as well.
// Activations are computed as their formulas are written.

// sigmoid(v) is share 2^n / divisor, with share = exp(-|v|) 2^-n for v < 0, else 1 and n = 0.
struct Gate {
    Sum share, divisor;
    V n;
};

// 2^n itself may be out of range.
FUSEDNET_INLINE Gate open_gate(V v) {
    const auto [n, r, tail] = reduce_exp<6>(max(V(-110), -abs(v)));
    const Sum e = exact_sum(V(1), r, tail);
    const M shut = v < V(0);
    return {{select(shut, e.high, V(1)), select(shut, e.low, V(0))},
            exact_sum(V(1), scale_down(e.high, n)),
            select(shut, n, V(0))};
}

FUSEDNET_INLINE V vsigmoid(V x) {
    const Gate g = open_gate(x);
    return ldexp(divide(g.share, g.divisor), g.n);
}

// x sigmoid(v) for x and v of one sign; x itself where v > 20.
FUSEDNET_INLINE V vgated(V x, V v) {
    const Gate g = open_gate(v);
    const V factor = max(V(-110), x), product = factor * g.share.high;  // there the gate is shut, even to infinity
    const V lost = factor * g.share.low - residual(product, factor, g.share.high);
    const V y = ldexp(divide({product, lost}, g.divisor), g.n);
    return select(v > V(20), x, copysign(y, x));  // keeps the sign of 0
}

template <class F>
struct Shortest {
    using Functor = F;
};
