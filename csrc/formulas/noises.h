// Random layers: y = value(x, draw), dx = gradient(dy, draw). draw is normal where `normal` holds, else uniform on
// [0, 1) with 24 bits; where gradient_draws does not hold, gradient reads no draw.

// The least multiple of 2^-24 that is not below rate: u >= rate is then decided alike in float32 and float64.
inline double draw_threshold(double rate) {
    return __builtin_ceil(rate * 0x1p24) * 0x1p-24;
}

// Srivastava et al. 2014, inverted: what is kept is scaled by 1 / (1 - rate).
template <class V>
struct Dropout {
    static constexpr bool normal = false, gradient_draws = true;
    V threshold, scale;
    constexpr explicit Dropout(const Params& params)
        : threshold(draw_threshold(params.p[0])), scale(1 / (1 - params.p[0])) {}
    constexpr V value(V x, V u) const { return select(u >= threshold, x * scale, V(0)); }
    constexpr V gradient(V dy, V u) const { return value(dy, u); }
};

// Klambauer et al. 2017, section "new dropout technique": what is dropped becomes SELU's lower limit, and a x + b
// restores mean 0 and variance 1, with q = 1 - rate: a = (q + limit^2 q (1 - q))^(-1/2), b = -a (1 - q) limit.
template <class V>
struct AlphaDropout {
    static constexpr bool normal = false, gradient_draws = true;
    static constexpr double limit = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717;
    double a, b;
    V threshold;
    constexpr explicit AlphaDropout(const Params& params)
        : a(1 / __builtin_sqrt((1 - params.p[0]) * (1 + limit * limit * params.p[0]))),
          b(-a * params.p[0] * limit),
          threshold(draw_threshold(params.p[0])) {}
    constexpr V value(V x, V u) const { return select(u >= threshold, V(a) * x + V(b), V(a * limit + b)); }
    constexpr V gradient(V dy, V u) const { return select(u >= threshold, V(a) * dy, V(0)); }
};

template <class V>
struct GaussianNoise {
    static constexpr bool normal = true, gradient_draws = false;
    V deviation;
    constexpr explicit GaussianNoise(const Params& params) : deviation(params.p[0]) {}
    constexpr V value(V x, V z) const { return x + deviation * z; }
    constexpr V gradient(V dy, V) const { return dy; }
};

// Srivastava et al. 2014, section 10: a normal factor of mean 1 and the variance that dropout of this rate has.
template <class V>
struct GaussianDropout {
    static constexpr bool normal = true, gradient_draws = true;
    V deviation;
    constexpr explicit GaussianDropout(const Params& params)
        : deviation(__builtin_sqrt(params.p[0] / (1 - params.p[0]))) {}
    constexpr V value(V x, V z) const { return x * (V(1) + deviation * z); }
    constexpr V gradient(V dy, V z) const { return value(dy, z); }
};
