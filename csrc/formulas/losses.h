// Losses of one element: value(x, t) and derivative(x, t) in x. from_logits: probability(x) is what the model says.
// mean: a sample's loss is the mean over its features, else their sum.

constexpr double probability_floor = 1e-7;  // Keras's epsilon: probabilities are clipped to [floor, 1 - floor]

template <class V>
constexpr V clip_probability(V x) {
    return min(V(1 - probability_floor), max(V(probability_floor), x));
}

// g where the clip to [floor, top] left x alone, else 0: the derivative of the clip. NaN passes on.
template <class V>
constexpr V inside_clip(V x, V g, V top = V(1 - probability_floor)) {
    const V below = select(x < V(probability_floor), V(0), g);
    return select(x > top, V(0), below);
}

// 1, 0 or -1; NaN passes on.
template <class V>
constexpr V sign_or_nan(V x) {
    return select(x > V(0), V(1), select(x < V(0), V(-1), x));
}

// base^exponent for base >= 0; 0^0 is 1.
template <class V>
constexpr V power_of(V base, V exponent) {
    const V y = vexp(exponent * vlog(base));
    return select(base > V(0), y, select(exponent > V(0), V(0), V(1)));
}

struct PlainLoss {
    static constexpr bool from_logits = false, mean = true;
    constexpr explicit PlainLoss(const Params&) {}
};

template <class V>
struct MeanSquaredError : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V value(V x, V t) const { return (x - t) * (x - t); }
    constexpr V derivative(V x, V t) const { return V(2) * (x - t); }
};

template <class V>
struct MeanAbsoluteError : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V value(V x, V t) const { return abs(x - t); }
    constexpr V derivative(V x, V t) const { return sign_or_nan(x - t); }
};

template <class V>
struct MeanAbsolutePercentageError : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V size(V t) const { return max(V(probability_floor), abs(t)); }
    constexpr V value(V x, V t) const { return V(100) * abs((x - t) / size(t)); }
    constexpr V derivative(V x, V t) const { return V(100) * sign_or_nan(x - t) / size(t); }
};

template <class V>
struct MeanSquaredLogarithmicError : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V difference(V x, V t) const {
        return vlog1p(max(V(probability_floor), x)) - vlog1p(max(V(probability_floor), t));
    }
    constexpr V value(V x, V t) const {
        const V d = difference(x, t);
        return d * d;
    }
    constexpr V derivative(V x, V t) const {
        return select(x < V(probability_floor), V(0), V(2) * difference(x, t) / (V(1) + x));
    }
};

// Huber 1964.
template <class V>
struct Huber : PlainLoss {
    V delta, half_square;
    constexpr explicit Huber(const Params& params)
        : PlainLoss(params), delta(params.p[0]), half_square(0.5 * params.p[0] * params.p[0]) {}
    constexpr V value(V x, V t) const {
        const V e = abs(x - t);
        return select(e <= delta, V(0.5) * e * e, delta * e - half_square);
    }
    constexpr V derivative(V x, V t) const { return max(-delta, min(delta, x - t)); }
};

// Near 0, where |e| - log 2 would cancel the rest, from cosh(e) - 1 = m^2 / (2 (1 + m)) with m = exp(|e|) - 1.
template <class V>
struct LogCosh : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V value(V x, V t) const {
        const V e = abs(x - t), m = vexpm1(min(V(1), e));
        const V far = (e - V(0.693147180559945309417)) + vlog1p(vexp(V(-2) * e));
        return select(e < V(1), vlog1p(m * m / (V(2) + V(2) * m)), far);
    }
    constexpr V derivative(V x, V t) const { return vtanh(x - t); }
};

template <class V>
struct Poisson : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V value(V x, V t) const { return x - select(t == V(0), V(0), t * vlog(x + V(probability_floor))); }
    constexpr V derivative(V x, V t) const { return V(1) - select(t == V(0), V(0), t / (x + V(probability_floor))); }
};

template <class V>
struct KlDivergence {
    static constexpr bool from_logits = false, mean = false;
    constexpr explicit KlDivergence(const Params&) {}
    constexpr V clip(V x) const { return min(V(1), max(V(probability_floor), x)); }
    constexpr V value(V x, V t) const { return clip(t) * vlog(clip(t) / clip(x)); }
    constexpr V derivative(V x, V t) const { return inside_clip(x, -clip(t) / clip(x), V(1)); }
};

// A target of 0 is the class -1, so that 0 and 1 mean what -1 and 1 do.
template <class V>
struct Hinge : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V side(V t) const { return select(t == V(0), V(-1), t); }
    constexpr V value(V x, V t) const { return max(V(0), V(1) - side(t) * x); }
    constexpr V derivative(V x, V t) const { return select(side(t) * x < V(1), -side(t), V(0)); }
};

template <class V>
struct SquaredHinge : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V side(V t) const { return select(t == V(0), V(-1), t); }
    constexpr V margin(V x, V t) const { return max(V(0), V(1) - side(t) * x); }
    constexpr V value(V x, V t) const { return margin(x, t) * margin(x, t); }
    constexpr V derivative(V x, V t) const { return V(-2) * side(t) * margin(x, t); }
};

template <class V>
struct BinaryCrossentropy : PlainLoss {
    using PlainLoss::PlainLoss;
    constexpr V value(V x, V t) const {
        const V p = clip_probability(x);
        return -(t * vlog(p) + (V(1) - t) * vlog(V(1) - p));
    }
    constexpr V derivative(V x, V t) const {
        const V p = clip_probability(x);
        return inside_clip(x, (p - t) / (p * (V(1) - p)));
    }
};

template <class V>
struct SigmoidCrossentropy {
    static constexpr bool from_logits = true, mean = true;
    constexpr explicit SigmoidCrossentropy(const Params&) {}
    constexpr V value(V x, V t) const { return (max(V(0), x) - x * t) + vlog1p(vexp(-abs(x))); }
    constexpr V derivative(V x, V t) const { return vsigmoid(x) - t; }
    constexpr V probability(V x) const { return vsigmoid(x); }
};

// Lin et al. 2017, eq. 4 and 5: the cross-entropy times q^gamma, q being what is missing of the right class.
template <class V>
struct BinaryFocalWeights {
    V gamma, positive, negative;
    constexpr explicit BinaryFocalWeights(const Params& params)
        : gamma(params.p[2]), positive(1 + params.p[0] * (params.p[1] - 1)), negative(1 - params.p[0] * params.p[1]) {}
    constexpr V weight(V t, V q) const { return (t * positive + (V(1) - t) * negative) * power_of(q, gamma); }
};

template <class V>
struct BinaryFocalCrossentropy : BinaryFocalWeights<V> {
    static constexpr bool from_logits = false, mean = true;
    using BinaryFocalWeights<V>::BinaryFocalWeights;
    constexpr V missing(V p, V t) const { return t * (V(1) - p) + (V(1) - t) * p; }
    constexpr V value(V x, V t) const {
        const V p = clip_probability(x);
        return this->weight(t, missing(p, t)) * BinaryCrossentropy<V>(Params{}).value(x, t);
    }
    constexpr V derivative(V x, V t) const {
        const V p = clip_probability(x), q = missing(p, t);
        const V turn = this->gamma * (V(1) - V(2) * t) * BinaryCrossentropy<V>(Params{}).value(x, t) / q;
        return inside_clip(x, this->weight(t, q) * (turn + (p - t) / (p * (V(1) - p))));
    }
};

// With p' = 1 - p: dq/dx = (1 - 2t) p p', and p p' / q is at most 1.
template <class V>
struct SigmoidFocalCrossentropy : BinaryFocalWeights<V> {
    static constexpr bool from_logits = true, mean = true;
    using BinaryFocalWeights<V>::BinaryFocalWeights;
    constexpr V missing(V x, V t) const { return t * vsigmoid(-x) + (V(1) - t) * vsigmoid(x); }
    constexpr V value(V x, V t) const {
        return this->weight(t, missing(x, t)) * SigmoidCrossentropy<V>(Params{}).value(x, t);
    }
    constexpr V derivative(V x, V t) const {
        const V p = vsigmoid(x), q = missing(x, t), share = p * vsigmoid(-x) / max(V(0x1p-126), q);
        const V turn = this->gamma * (V(1) - V(2) * t) * share * SigmoidCrossentropy<V>(Params{}).value(x, t);
        return this->weight(t, q) * (turn + (p - t));
    }
    constexpr V probability(V x) const { return vsigmoid(x); }
};

// A class's share in the losses over classes, from its probability p, log p and 1 - p; slope: p times the derivative.
template <class V>
struct LogShare {
    constexpr explicit LogShare(const Params&) {}
    constexpr V value(V log_p, V) const { return -log_p; }
    constexpr V slope(V, V, V) const { return V(-1); }
};

template <class V>
struct FocalShare {
    V alpha, gamma;
    constexpr explicit FocalShare(const Params& params) : alpha(params.p[0]), gamma(params.p[1]) {}
    constexpr V value(V log_p, V rest) const { return -(alpha * power_of(rest, gamma)) * log_p; }
    constexpr V slope(V p, V log_p, V rest) const {
        return alpha * power_of(rest, gamma) * (gamma * (p * log_p / max(V(0x1p-126), rest)) - V(1));
    }
};
