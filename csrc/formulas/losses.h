// Losses of one element: value(x, t) and its derivative in x. from_logits: probability(x) is what the model says.

constexpr double probability_floor = 1e-7;  // Keras's epsilon: probabilities are clipped to [floor, 1 - floor]

template <class V>
V clip_probability(V x) {
    return min(V(1 - probability_floor), max(V(probability_floor), x));
}

// g where the clip left x alone, else 0: the derivative of the clip. NaN passes on.
template <class V>
V inside_clip(V x, V g) {
    const V below = select(x < V(probability_floor), V(0), g);
    return select(x > V(1 - probability_floor), V(0), below);
}

template <class V>
struct MeanSquaredError {
    static constexpr bool from_logits = false;
    static V value(V x, V t) { return (x - t) * (x - t); }
    static V derivative(V x, V t) { return V(2) * (x - t); }
};

template <class V>
struct BinaryCrossentropy {
    static constexpr bool from_logits = false;
    static V value(V x, V t) {
        const V p = clip_probability(x);
        return -(t * vlog(p) + (V(1) - t) * vlog(V(1) - p));
    }
    static V derivative(V x, V t) {
        const V p = clip_probability(x);
        return inside_clip(x, (p - t) / (p * (V(1) - p)));
    }
};

template <class V>
struct SigmoidCrossentropy {
    static constexpr bool from_logits = true;
    static V value(V x, V t) { return (max(V(0), x) - x * t) + vlog1p(vexp(-abs(x))); }
    static V derivative(V x, V t) { return vsigmoid(x) - t; }
    static V probability(V x) { return vsigmoid(x); }
};
