// Activations: y = value(x); dy/dx = derivative(saved), where saved is y if from_output, else x; it is not read
// where reads_saved is false. A derivative is written against y where that is well conditioned.
// These files are included inside the namespace of each instruction set: every symbol is then that set's own, and
// no function compiled for a newer CPU becomes the copy that the linker keeps.

template <class V>
struct Linear {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = false;
    explicit Linear(const Params&) {}
    V value(V x) const { return x; }
    V derivative(V) const { return V(1); }
};

template <class V>
struct Sigmoid {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    explicit Sigmoid(const Params&) {}
    V value(V x) const { return vsigmoid(x); }
    V derivative(V y) const { return y * (V(1) - y); }
};

template <class V>
struct Tanh {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    explicit Tanh(const Params&) {}
    V value(V x) const { return vtanh(x); }
    V derivative(V y) const { return (V(1) - y) * (V(1) + y); }  // 1 - y*y loses digits where |y| is near 1
};

template <class V>
struct Relu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    explicit Relu(const Params&) {}
    V value(V x) const { return max(V(0), x); }  // this order passes NaN on
    V derivative(V y) const { return select(y > V(0), V(1), V(0)); }
};

// negative_slope > 0, so that the sign of y is the sign of x.
template <class V>
struct LeakyRelu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    V slope;
    explicit LeakyRelu(const Params& params) : slope(params.p[0]) {}
    V value(V x) const { return select(x > V(0), x, slope * x); }
    V derivative(V y) const { return select(y > V(0), V(1), slope); }
};

// y + alpha where y may cancel nearly all of it: the second term is what float32 cannot hold of alpha.
template <class V>
V add_alpha(V y, double alpha) {
    const double high = static_cast<double>(static_cast<float>(alpha));
    return (y + V(high)) + V(alpha - high);
}

// Clevert et al. 2016, eq. 15. alpha > 0, so that the sign of y is the sign of x.
template <class V>
struct Elu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    double alpha;
    explicit Elu(const Params& params) : alpha(params.p[0]) {}
    V value(V x) const { return select(x > V(0), x, V(alpha) * vexpm1(x)); }
    V derivative(V y) const { return select(y > V(0), V(1), add_alpha(y, alpha)); }
};

// Klambauer et al. 2017, eq. 2, with alpha and scale of eq. 14.
template <class V>
struct Selu {
    static constexpr bool from_output = true;
    static constexpr Slope slope_from = Slope::none;
    static constexpr bool reads_saved = true;
    static constexpr double scale = 1.0507009873554804934193349852946;
    static constexpr double scale_alpha = scale * 1.6732632423543772848170429916717;
    explicit Selu(const Params&) {}
    V value(V x) const { return select(x > V(0), V(scale) * x, V(scale_alpha) * vexpm1(x)); }
    V derivative(V y) const { return select(y > V(0), V(scale), add_alpha(y, scale_alpha)); }
};
