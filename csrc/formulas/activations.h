// Activations: y = value(x); dy/dx = derivative(saved), where saved is y if from_output, else x; it is not read
// where reads_saved is false. A derivative is written against y where that is well conditioned.
// Where slope_from is not none, both take the slope of the element as well, and where it is learned
// dy/dslope = slope_gradient(x).
// What would lose digits is computed on wide(x), float64 in every table, and rounded once by narrow.
// These files are included inside the namespace of each instruction set: every symbol is then that set's own, and
// no function compiled for a newer CPU becomes the copy that the linker keeps.

// About how many operations an element costs: those of a few instructions, which take what loading and storing take;
// and those with an exponential or the like.
constexpr int cheap = 8, costly = 64;

template <class V>
struct Linear {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = false;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit Linear(const Params&) {}
    constexpr V value(V x) const { return x; }
    constexpr V derivative(V) const { return V(1); }
};

template <class V>
struct Sigmoid {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = cheap;
    constexpr explicit Sigmoid(const Params&) {}
    constexpr V value(V x) const { return vsigmoid(x); }
    constexpr V derivative(V y) const {
        const V rest = V(1) - y, lost = (V(1) - rest) - y;  // 1 - y = rest + lost
        return fma(y, rest, y * lost);
    }
};

template <class V>
struct Tanh {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = cheap;
    constexpr explicit Tanh(const Params&) {}
    constexpr V value(V x) const { return vtanh(x); }
    constexpr V derivative(V y) const {
        // (1 - |y|) (1 + |y|), each factor with what its rounding has lost: 1 - y * y has no digits left near |y| = 1
        const V size = abs(y), below = V(1) - size, above = V(1) + size;
        const V lost_below = (V(1) - below) - size, lost_above = size - (above - V(1));
        return fma(below, above, fma(below, lost_above, above * lost_below));
    }
};

template <class V>
struct Relu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit Relu(const Params&) {}
    constexpr V value(V x) const { return max(V(0), x); }  // this order passes NaN on
    constexpr V derivative(V y) const { return select(y > V(0), V(1), V(0)); }
};

// negative_slope > 0, so that the sign of y is the sign of x.
template <class V>
struct LeakyRelu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    V slope;
    constexpr explicit LeakyRelu(const Params& params) : slope(params.p[0]) {}
    constexpr V value(V x) const { return select(x > V(0), x, slope * x); }
    constexpr V derivative(V y) const { return select(y > V(0), V(1), slope); }
};

// y + alpha where y may cancel nearly all of it: the second term is what float32 cannot hold of alpha.
template <class V>
constexpr V add_alpha(V y, double alpha) {
    const double high = static_cast<double>(static_cast<float>(alpha));
    return (y + V(high)) + V(alpha - high);
}

// Clevert et al. 2016, eq. 15. alpha > 0, so that the sign of y is the sign of x.
template <class V>
struct Elu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = cheap;
    double alpha;
    constexpr explicit Elu(const Params& params) : alpha(params.p[0]) {}
    constexpr V value(V x) const { return select(x > V(0), x, V(alpha) * vexpm1_below(x)); }
    constexpr V derivative(V y) const { return select(y > V(0), V(1), add_alpha(y, alpha)); }
};

// Klambauer et al. 2017, eq. 2, with alpha and scale of eq. 14.
template <class V>
struct Selu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = cheap;
    static constexpr double scale = 1.0507009873554804934193349852946;
    static constexpr double scale_alpha = scale * 1.6732632423543772848170429916717;
    using W = decltype(wide(V(0)));
    constexpr explicit Selu(const Params&) {}
    constexpr V value(V x) const {
        const W w = wide(x);  // a scale rounded to V would cost half an ULP
        return narrow(select(w > W(0), W(scale) * w, W(scale_alpha) * vexpm1(w)));
    }
    constexpr V derivative(V y) const { return select(y > V(0), V(scale), add_alpha(y, scale_alpha)); }
};

// He et al. 2015, eq. 1. The slope may be negative: the sign of y is then not that of x.
template <class V>
struct Prelu {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::learned;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit Prelu(const Params&) {}
    constexpr V value(V x, V slope) const { return select(x > V(0), x, slope * x); }
    constexpr V derivative(V x, V slope) const { return select(x > V(0), V(1), slope); }
    constexpr V slope_gradient(V x) const { return min(V(0), x); }
};

// Xu et al. 2015, eq. 4, with the slope as a factor. The parameters are the bounds of the draw.
template <class V>
struct Rrelu {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::random;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit Rrelu(const Params&) {}
    constexpr V value(V x, V slope) const { return select(x > V(0), x, slope * x); }
    constexpr V derivative(V x, V slope) const { return select(x > V(0), V(1), slope); }
};

// Beyond these bounds every gate is open or shut to the last digit, and an infinite x meets no zero.
template <class W>
FUSEDNET_INLINE W bounded(W x, double bound) {
    return min(W(bound), max(W(-bound), x));
}

// A derivative near its root: t (c[0] + c[1] t + ...) with t the distance from high + low; far off, `direct`.
struct Root {
    double high, low, c[8];
};

template <class W>
FUSEDNET_INLINE W near_root(W x, const Root& root, W direct) {
    const W t = (x - W(root.high)) - W(root.low);
    W p = fma(t, W(root.c[7]), W(root.c[6]));
    p = fma(p, t, W(root.c[5]));
    p = fma(p, t, W(root.c[4]));
    p = fma(p, t, W(root.c[3]));
    p = fma(p, t, W(root.c[2]));
    p = fma(p, t, W(root.c[1]));
    p = fma(p, t, W(root.c[0]));
    return select(abs(t) < W(0x1p-7), t * p, direct);
}

// x sigmoid(v), and its derivative sigmoid(v) + k sigmoid(v) (1 - sigmoid(v)) with k = x v'.
template <class W>
FUSEDNET_INLINE W gated(W x, W v) {
    const W e = vexp(-abs(v));
    return x * select(v < W(0), e, W(1)) / (W(1) + e);
}
template <class W>
FUSEDNET_INLINE W gated_derivative(W v, W k) {
    const W e = vexp(-abs(v)), d = W(1) + e;
    return fma(select(v < W(0), e, W(1)), d, e * k) / (d * d);
}

// Hendrycks and Gimpel 2016: x Phi(x), with Phi the standard normal distribution.
template <class V>
struct Gelu {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = costly;
    using W = decltype(wide(V(0)));
    constexpr explicit Gelu(const Params&) {}
    constexpr V value(V x) const {
        const W w = wide(x), tail = vnormal(w).tail;
        return narrow(max(W(-40), w) * select(w < W(0), tail, W(1) - tail));
    }
    constexpr V derivative(V x) const {
        constexpr Root root{-0.7517915246935645,
                            1.4956759177009883e-17,
                            {0.4314939923140469, 0.388284982990552, -0.018199676398671087, -0.1140082332972217,
                             -0.014771522148244337, 0.019421679838189067, 0.004539228379125415, -0.002239538068073497}};
        const W w = bounded(wide(x), 40);
        const auto [tail, density] = vnormal(w);
        return narrow(near_root(w, root, fma(w, density, select(w < W(0), tail, W(1) - tail))));
    }
};

// The same source's approximation, x sigmoid(v) with v = 2 sqrt(2 / pi) (x + 0.044715 x^3): 1 + tanh(u) is
// 2 sigmoid(2 u).
template <class V>
struct GeluTanh {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = costly;
    static constexpr double linear = 1.5957691216057307117597842397375, cubic = linear * 0.044715;
    using W = decltype(wide(V(0)));
    constexpr explicit GeluTanh(const Params&) {}
    constexpr V value(V x) const {
        const W w = max(W(-23), wide(x));
        return narrow(gated(w, w * fma(w * w, W(cubic), W(linear))));
    }
    constexpr V derivative(V x) const {
        constexpr Root root{-0.7524614220710163,
                            3.635560509207687e-17,
                            {0.4304000910248585, 0.38751844613578895, -0.01578285352184803, -0.11394448308095899,
                             -0.01661932834305256, 0.019682309459833118, 0.005261059254921912, -0.0024227318458750974}};
        const W w = bounded(wide(x), 23), square = w * w;
        const W v = w * fma(square, W(cubic), W(linear)), k = w * fma(square, W(3 * cubic), W(linear));
        return narrow(near_root(w, root, gated_derivative(v, k)));
    }
};

// Elfwing et al. 2018, eq. 5 of the "sigmoid-weighted linear unit": x sigmoid(x).
template <class V>
struct Silu {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = costly;
    using W = decltype(wide(V(0)));
    constexpr explicit Silu(const Params&) {}
    constexpr V value(V x) const { return vgated(x, x); }
    constexpr V derivative(V x) const {
        constexpr Root root{
            -1.2784645427610737,
            -1.0946994183093437e-16,
            {0.2178117057198001, 0.1466487969969469, 0.018874814223782312, -0.015222655223188032, -0.006606589138356696,
             0.000126627410081122, 0.0007985218818397998, 0.00018570724361186496}};
        const W w = bounded(wide(x), 800);
        return narrow(near_root(w, root, gated_derivative(w, w)));
    }
};

// Misra 2020, eq. 1: x tanh(log(1 + exp(x))) = x a / b, with a and b polynomials in exp(-|x|).
template <class V>
struct Mish {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = costly;
    using W = decltype(wide(V(0)));
    struct Ratio {
        W e, a, b;
    };
    constexpr static Ratio ratio(W w) {
        const W e = vexp(-abs(w)), square = e * e, twice = e + e;
        const W shut = square + twice, open = W(1) + twice;
        return {e, select(w < W(0), shut, open), select(w < W(0), shut + W(2), fma(W(2), square, open))};
    }
    constexpr explicit Mish(const Params&) {}
    constexpr V value(V x) const {
        const W w = max(W(-800), wide(x));
        const auto [e, a, b] = ratio(w);
        return narrow(w * a / b);
    }
    constexpr V derivative(V x) const {
        constexpr Root root{
            -1.1924312145154952,
            -4.8484829848031044e-17,
            {0.2669479140495345, 0.20473126408010586, 0.04190782104360987, -0.020271822716684245, -0.01582112656173338,
             -0.0033606849270232685, 0.0010924055409445854, 0.0009898181021289196}};
        const W w = bounded(wide(x), 800);
        const auto [e, a, b] = ratio(w);
        const W k = W(4) * w * (e + e * e) * select(w < W(0), W(1), e);
        return narrow(near_root(w, root, fma(a, b, k) / (b * b)));
    }
};

// Dugas et al. 2001: log(1 + exp(x)). Its derivative sigmoid(x) is 1 - exp(-y).
template <class V>
struct Softplus {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = costly;
    using W = decltype(wide(V(0)));
    constexpr explicit Softplus(const Params&) {}
    constexpr V value(V x) const {
        const W w = wide(x);
        return narrow(max(W(0), w) + vlog1pexp(-abs(w)));
    }
    constexpr V derivative(V y) const { return -vexpm1(-y); }
};

// Bergstra et al. 2009: x / (1 + |x|).
template <class V>
struct Softsign {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    using W = decltype(wide(V(0)));
    constexpr explicit Softsign(const Params&) {}
    constexpr V value(V x) const {
        const W w = bounded(wide(x), 1e300);
        return narrow(w / (W(1) + abs(w)));
    }
    constexpr V derivative(V x) const {
        const W d = W(1) + abs(wide(x));
        return narrow(W(1) / (d * d));
    }
};

// Krizhevsky 2010: min(max(x, 0), 6).
template <class V>
struct Relu6 {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit Relu6(const Params&) {}
    constexpr V value(V x) const { return min(V(6), max(V(0), x)); }
    constexpr V derivative(V y) const { return select(y > V(0), select(y < V(6), V(1), V(0)), V(0)); }
};

// Howard et al. 2019, section 5.2: relu6(x + 3) / 6.
template <class V>
struct HardSigmoid {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit HardSigmoid(const Params&) {}
    constexpr V value(V x) const { return min(V(6), max(V(0), x + V(3))) / V(6); }
    constexpr V derivative(V x) const { return select(abs(x) < V(3), V(1.0 / 6), V(0)); }
};

// The same source: x relu6(x + 3) / 6.
template <class V>
struct HardSilu {
    static constexpr bool from_output = false;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    constexpr explicit HardSilu(const Params&) {}
    constexpr V value(V x) const {
        constexpr double sixth = 1.0 / 6, high = static_cast<double>(static_cast<float>(sixth));
        const V w = max(V(-3), x), gate = w + V(3), product = w * gate;
        const V lost = w * (w - (gate - V(3))) - residual(product, w, gate);  // by both roundings
        const V y = fma(product, V(high), fma(product, V(sixth - high), lost * V(high)));
        return select(x < V(3), copysign(y, x), x);
    }
    constexpr V derivative(V x) const { return select(x < V(3), select(x > V(-3), (x + V(1.5)) / V(3), V(0)), V(1)); }
};

template <class V>
struct Exponential {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr int value_flops = costly, derivative_flops = cheap;
    constexpr explicit Exponential(const Params&) {}
    constexpr V value(V x) const { return vexp(x); }
    constexpr V derivative(V y) const { return y; }
};

template <class V>
struct Rescaling {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = false;
    static constexpr int value_flops = cheap, derivative_flops = cheap;
    double scale, offset;
    constexpr explicit Rescaling(const Params& params) : scale(params.p[0]), offset(params.p[1]) {}
    constexpr V value(V x) const {
        using W = decltype(wide(x));
        return narrow(wide(x) * W(scale) + W(offset));  // not fma: at its root the tables would differ
    }
    constexpr V derivative(V) const { return V(scale); }
};
