// exp(-a) with more digits than a float has, sigmoid and what is gated by it, where products are fused with sums.

// exp(-(a.high + a.low)) = 2^n (high + low) for a >= 0.
struct Decay {
    V n, high, low;
};

FUSEDNET_INLINE Decay decay(Sum a) {
    const V n = round(a.high * V(-1.4426950408889634));
    const V whole = fms(n, V(-0.693359375), a.high);  // exact: the constant has 9 bits
    const V rest = fms(n, V(2.12194440054690583e-4), a.low), r = whole + rest;
    const V high = V(1) + whole, lost = whole - (high - V(1));
    return {n, high, fma(r * r, exp_series<5>(r), rest + lost)};
}

// sigmoid(v) = inverse (high + low) 2^n; 1 / (1 + exp(-|v|)) = inverse (1 + wrong). The gate is shut for v < 0.
struct Gate {
    V inverse, high, low, n;
};

FUSEDNET_INLINE Gate gate(Sum size, M shut) {
    const auto [n, high, low] = decay(size);
    const V e = high + low, scale = scale_down(V(1), n);
    const V inverse = reciprocal(fma(scale, e, V(1))), share = inverse * scale;
    const V left = fnma(share, low, fnma(share, high, V(1) - inverse)), wrong = fma(left, left, left);
    return {inverse, select(shut, high, V(1)), select(shut, fma(e, wrong, low), wrong), select(shut, n, V(0))};
}

FUSEDNET_INLINE V vsigmoid(V x) {
    const auto [inverse, high, low, n] = gate({min(V(110), abs(x)), V(0)}, x < V(0));
    return ldexp(fma(inverse, high, inverse * low), n);
}

// x sigmoid(v) for |v| = size and v of x's sign; x itself where it is above `wide_open`.
FUSEDNET_INLINE V vgated(V x, Sum size, double wide_open) {
    const auto [inverse, high, low, n] = gate(size, x < V(0));
    const V bounded = max(V(-110), x), product = bounded * inverse;  // there the gate is shut, even to infinity
    const V rest = fma(excess(bounded, inverse, product), high, product * low);
    return select(x > V(wide_open), x, copysign(ldexp(fma(product, high, rest), n), x));  // keeps the sign of 0
}

FUSEDNET_INLINE V vgated(V x, V v) {
    return vgated(x, Sum{min(V(110), abs(v)), V(0)}, 20);
}
