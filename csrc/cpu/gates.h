// exp(-a) with more digits than a float has, and sigmoid, where products are fused with sums.

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

// sigmoid(x) = inverse (high + low) 2^n; 1 / (1 + exp(-|x|)) = inverse (1 + wrong).
FUSEDNET_INLINE V vsigmoid(V x) {
    const M shut = x < V(0);
    const auto [n, high, low] = decay({min(V(110), abs(x)), V(0)});
    const V e = high + low, scale = scale_down(V(1), n);
    const V inverse = reciprocal(fma(scale, e, V(1))), share = inverse * scale;
    const V left = fnma(share, low, fnma(share, high, V(1) - inverse)), wrong = fma(left, left, left);
    const V first = select(shut, high, V(1)), second = select(shut, fma(e, wrong, low), wrong);
    return ldexp(fma(inverse, first, inverse * second), select(shut, n, V(0)));
}
