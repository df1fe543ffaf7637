// float32 exp, expm1, log, log1p and tanh over the primitives of vec_<isa>.h: within 1 ULP of exact for
// every float, with or without fused multiply-add. What a rounding loses is kept as a second, small term.
// Coefficients: minimax fits of (exp(r) - 1 - r) / r^2 and (log(1 + f) - f + f^2 / 2) / f^3, weighted by what their
// error is worth in the result.

// An unevaluated sum: low is at most a rounding of high.
struct Sum {
    V high, low;
};

// a + b without rounding, for |a| >= |b|.
FUSEDNET_INLINE Sum exact_sum(V a, V b) {
    const V high = a + b;
    return {high, (a - high) + b};
}

// a + b + rest, for |a| >= |b| and a smaller rest.
FUSEDNET_INLINE Sum exact_sum(V a, V b, V rest) {
    const Sum s = exact_sum(a, b);
    return exact_sum(s.high, s.low + rest);
}

// x = n ln 2 + r + (a rest) with r exact, and exp(x) = 2^n (1 + r + tail). Wants |n| < 2^9.
struct ReducedExp {
    V n, r, tail;
};

// (exp(r) - 1 - r) / r^2: to 2^-28 of exp(r) with five terms, 2^-32 with six.
template <int terms>
FUSEDNET_INLINE V exp_series(V r) {
    if constexpr (terms == 6) {
        V q = fma(r, V(0.0001979029820258868), V(0.001394470359596145));
        q = fma(q, r, V(0.008333497340880637));
        q = fma(q, r, V(0.04166629436422266));
        q = fma(q, r, V(0.1666666586700769));
        return fma(q, r, V(0.5000000067839808));
    } else {
        V q = fma(r, V(0.001382119837), V(0.008368665352));
        q = fma(q, r, V(0.04166825861));
        q = fma(q, r, V(0.1666652113));
        return fma(q, r, V(0.4999999404));
    }
}

template <int terms = 5>
FUSEDNET_INLINE ReducedExp reduce_exp(V x) {
    const V n = round(x * V(1.4426950408889634));
    const V high = fma(n, V(-0.693359375), x);  // exact: the constant has 9 bits
    const V low = n * V(2.12194440054690583e-4), r = high + low;
    return {n, high, fma(r * r, exp_series<terms>(r), low)};
}

FUSEDNET_INLINE V vexp(V x) {
    const auto [n, r, tail] = reduce_exp(min(V(89), max(V(-104), x)));  // 0 and inf lie within; NaN passes
    return ldexp(V(1) + (r + tail), n);
}

FUSEDNET_INLINE V vexpm1(V x) {
    const auto [n, r, tail] = reduce_exp<6>(min(V(89), max(V(-18), x)));
    const V scale = pow2(n - V(1));  // half of 2^n, which may be out of range
    const Sum whole = exact_sum(scale, V(-0.5));
    const Sum s = exact_sum(whole.high, scale * r);
    const V half = s.high + (s.low + fma(scale, tail, whole.low));
    return select(abs(x) < V(0x1p-25), x, half + half);  // keeps the sign of 0 and denormals
}

// The same for x <= 0: there 2^n - 1 needs no second term. Above, the result means nothing.
FUSEDNET_INLINE V vexpm1_below(V x) {
    const auto [n, r, tail] = reduce_exp<6>(max(V(-18), x));
    const V scale = pow2(n);
    return copysign(fma(scale, r + tail, scale - V(1)), x);  // keeps the sign of 0
}

// (a.high + a.low) / (b.high + b.low), rounded nearly once; b.high in [2^-100, 2^100].
FUSEDNET_INLINE V divide(Sum a, Sum b) {
    const V inverse = reciprocal(b.high);
    const V q = a.high * inverse;
    return fma(residual(a.high, q, b.high) + (a.low - q * b.low), inverse, q);
}

// -z / (2 + z) for z = expm1(-2 |x|)
FUSEDNET_INLINE V vtanh(V x) {
    const V magnitude = abs(x);
    const auto [n, r, tail] = reduce_exp<6>(V(-2) * min(V(10), magnitude));
    const V scale = pow2(n);
    const Sum whole = exact_sum(V(-1), scale);
    const Sum z = exact_sum(whole.high, scale * r, fma(scale, tail, whole.low));
    const Sum d = exact_sum(V(2), z.high);
    const V y = divide({-z.high, -z.low}, {d.high, d.low + z.low});
    return select(magnitude < V(0x1p-13), x, copysign(y, x));
}

// exponent * ln 2 + log(1 + f) + low
FUSEDNET_INLINE V sum_log(V exponent, V f, V low) {
    V p = fma(f, V(0.067477308165534), V(-0.1167751578099377));
    p = fma(p, f, V(0.11888696760266695));
    p = fma(p, f, V(-0.12405340095041076));
    p = fma(p, f, V(0.14219453070681354));
    p = fma(p, f, V(-0.16668005184843385));
    p = fma(p, f, V(0.20002123457822202));
    p = fma(p, f, V(-0.2500000951266502));
    p = fma(p, f, V(0.3333331254109798));
    const V square = f * f;
    const V rest = fma(f * square, p, fma(exponent, V(-2.12194440054690583e-4), low));
    return fma(exponent, V(0.693359375), f + fma(V(-0.5), square, rest));
}

// y where x is positive and finite, x itself at inf and NaN, -inf at 0, NaN below.
FUSEDNET_INLINE V log_limits(V x, V y) {
    const V infinity(__builtin_inf());
    const V edge = select(x == V(0), -infinity, select(x < V(0), V(__builtin_nan("")), x));
    return select(x > V(0), select(x < infinity, y, x), edge);
}

FUSEDNET_INLINE V vlog(V x) {
    const M small = x < V(0x1p-126);
    V exponent;
    const V m = split(select(small, x * V(0x1p23), x), exponent);
    exponent = exponent - select(small, V(23), V(0));
    return log_limits(x, sum_log(exponent, m - V(1), V(0)));
}

FUSEDNET_INLINE V vlog1p(V x) {
    const V one = V(1), u = one + x, back = u - one;
    const V lost = (one - (u - back)) + (x - back);  // u + lost is 1 + x exactly
    V exponent;
    const V f = split(u, exponent) - one;
    const M near = exponent == V(0);  // there x itself is f
    const V y = sum_log(exponent, select(near, x, f), select(near, V(0), lost / u));
    return select(abs(x) < V(0x1p-25), x, log_limits(u, y));
}
