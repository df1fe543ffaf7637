// Optimizer updates as Keras 3 writes them: w from the gradient g and the row's slots. scalars() derives, in double
// and once a step, what update() needs from the step's number t (from 1) and the hyper-parameters (learning rate
// first). Roots and quotients are quick_sqrt and quick_divide: within 2 ULP where the machine has estimates.

// 1, -1, or x itself at 0 and NaN.
template <class V>
constexpr V signum(V x) {
    return select(x > V(0), V(1), select(x < V(0), V(-1), x));
}

template <class V>
struct Sgd {
    static constexpr int slots = 0;
    V rate;
    constexpr explicit Sgd(const double* s) : rate(s[0]) {}
    constexpr void update(V& w, V g, V*) const { w = w - rate * g; }
    constexpr static void scalars(double, const double* hyper, double* s) { s[0] = hyper[0]; }
};

// m = mu m - lr g; w += m
template <class V>
struct SgdMomentum {
    static constexpr int slots = 1;
    V rate, mu;
    constexpr explicit SgdMomentum(const double* s) : rate(s[0]), mu(s[1]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = mu * slot[0] - rate * g;
        w = w + slot[0];
    }
    constexpr static void scalars(double, const double* hyper, double* s) {
        s[0] = hyper[0];
        s[1] = hyper[1];
    }
};

// m = mu m - lr g; w += mu m - lr g
template <class V>
struct SgdNesterov {
    static constexpr int slots = 1;
    V rate, mu;
    constexpr explicit SgdNesterov(const double* s) : rate(s[0]), mu(s[1]) {}
    constexpr void update(V& w, V g, V* slot) const {
        const V step = rate * g;
        slot[0] = mu * slot[0] - step;
        w = w + (mu * slot[0] - step);
    }
    constexpr static void scalars(double t, const double* hyper, double* s) { SgdMomentum<V>::scalars(t, hyper, s); }
};

// a = a + g^2; w -= lr g / sqrt(a + epsilon). a starts at hyper[1].
template <class V>
struct Adagrad {
    static constexpr int slots = 1;
    V rate, epsilon;
    constexpr explicit Adagrad(const double* s) : rate(s[0]), epsilon(s[1]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = slot[0] + g * g;
        w = w - quick_divide(rate * g, quick_sqrt(slot[0] + epsilon));
    }
    constexpr static void scalars(double, const double* hyper, double* s) {
        s[0] = hyper[0];
        s[1] = hyper[2];
    }
};

// v = rho v + (1 - rho) g^2; w -= lr g / sqrt(v + epsilon)
template <class V>
struct RmsProp {
    static constexpr int slots = 1;
    V rate, rho, one_minus_rho, epsilon;
    constexpr explicit RmsProp(const double* s) : rate(s[0]), rho(s[1]), one_minus_rho(s[2]), epsilon(s[3]) {}
    constexpr V step(V g, V& v) const {
        v = rho * v + one_minus_rho * (g * g);
        return quick_divide(rate * g, quick_sqrt(v + epsilon));
    }
    constexpr void update(V& w, V g, V* slot) const { w = w - step(g, slot[0]); }
    constexpr static void scalars(double, const double* hyper, double* s) {
        s[0] = hyper[0];
        s[1] = hyper[1];
        s[2] = 1 - hyper[1];
        s[3] = hyper[2];
    }
};

// m = mu m + lr g / sqrt(v + epsilon); w -= m
template <class V>
struct RmsPropMomentum {
    static constexpr int slots = 2;
    RmsProp<V> rmsprop;
    V mu;
    constexpr explicit RmsPropMomentum(const double* s) : rmsprop(s), mu(s[4]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[1] = mu * slot[1] + rmsprop.step(g, slot[0]);
        w = w - slot[1];
    }
    constexpr static void scalars(double t, const double* hyper, double* s) {
        RmsProp<V>::scalars(t, hyper, s);
        s[4] = hyper[3];
    }
};

// a = rho a + (1 - rho) g; w -= lr g / sqrt(v - a^2 + epsilon). The difference is a variance: what rounding takes below
// zero is zero.
template <class V>
struct RmsPropCentered {
    static constexpr int slots = 2;
    RmsProp<V> rmsprop;
    constexpr explicit RmsPropCentered(const double* s) : rmsprop(s) {}
    constexpr V step(V g, V& v, V& a) const {
        v = rmsprop.rho * v + rmsprop.one_minus_rho * (g * g);
        a = rmsprop.rho * a + rmsprop.one_minus_rho * g;
        return quick_divide(rmsprop.rate * g, quick_sqrt(max(V(0), v - a * a) + rmsprop.epsilon));
    }
    constexpr void update(V& w, V g, V* slot) const { w = w - step(g, slot[0], slot[1]); }
    constexpr static void scalars(double t, const double* hyper, double* s) { RmsProp<V>::scalars(t, hyper, s); }
};

template <class V>
struct RmsPropCenteredMomentum {
    static constexpr int slots = 3;
    RmsPropCentered<V> centered;
    V mu;
    constexpr explicit RmsPropCenteredMomentum(const double* s) : centered(s), mu(s[4]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[2] = mu * slot[2] + centered.step(g, slot[0], slot[1]);
        w = w - slot[2];
    }
    constexpr static void scalars(double t, const double* hyper, double* s) {
        RmsPropMomentum<V>::scalars(t, hyper, s);
    }
};

// a = rho a + (1 - rho) g^2; step = g sqrt(d + epsilon) / sqrt(a + epsilon); d = rho d + (1 - rho) step^2;
// w -= lr step
template <class V>
struct Adadelta {
    static constexpr int slots = 2;
    V rate, rho, one_minus_rho, epsilon;
    constexpr explicit Adadelta(const double* s) : rate(s[0]), rho(s[1]), one_minus_rho(s[2]), epsilon(s[3]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = rho * slot[0] + one_minus_rho * (g * g);
        const V step = quick_divide(quick_sqrt(slot[1] + epsilon) * g, quick_sqrt(slot[0] + epsilon));
        slot[1] = rho * slot[1] + one_minus_rho * (step * step);
        w = w - rate * step;
    }
    constexpr static void scalars(double t, const double* hyper, double* s) { RmsProp<V>::scalars(t, hyper, s); }
};

// Kingma & Ba 2015, end of section 2: the bias corrections are in alpha, epsilon is added to the uncorrected root.
template <class V>
struct Adam {
    static constexpr int slots = 2;
    V alpha, one_minus_beta_1, one_minus_beta_2, epsilon;
    constexpr explicit Adam(const double* s)
        : alpha(s[0]), one_minus_beta_1(s[1]), one_minus_beta_2(s[2]), epsilon(s[3]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = fma(g - slot[0], one_minus_beta_1, slot[0]);
        slot[1] = fma(g * g - slot[1], one_minus_beta_2, slot[1]);
        w = fma(-alpha, quick_divide(slot[0], quick_sqrt(slot[1]) + epsilon), w);
    }
    constexpr static void scalars(double t, const double* hyper, double* s) {
        s[0] = hyper[0] * __builtin_sqrt(1 - __builtin_pow(hyper[2], t)) / (1 - __builtin_pow(hyper[1], t));
        s[1] = 1 - hyper[1];
        s[2] = 1 - hyper[2];
        s[3] = hyper[3];
    }
};

// Reddi et al. 2018, algorithm 2, as Keras has it: the largest v so far is the uncorrected one.
template <class V>
struct AmsGrad {
    static constexpr int slots = 3;
    Adam<V> adam;
    constexpr explicit AmsGrad(const double* s) : adam(s) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = fma(g - slot[0], adam.one_minus_beta_1, slot[0]);
        slot[1] = fma(g * g - slot[1], adam.one_minus_beta_2, slot[1]);
        slot[2] = max(slot[2], slot[1]);
        w = fma(-adam.alpha, quick_divide(slot[0], quick_sqrt(slot[2]) + adam.epsilon), w);
    }
    constexpr static void scalars(double t, const double* hyper, double* s) { Adam<V>::scalars(t, hyper, s); }
};

// Dozat 2016, algorithm 2. With u_t = beta_1 (1 - 0.96^t / 2) and U_t = u_1 ... u_t,
// w -= lr (u_t+1 m / (1 - U_t+1) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon). Both sides of the
// fraction are multiplied by sqrt(1 - beta_2^t).
template <class V>
struct Nadam {
    static constexpr int slots = 2;
    V of_momentum, of_gradient, one_minus_beta_1, one_minus_beta_2, epsilon;
    constexpr explicit Nadam(const double* s)
        : of_momentum(s[0]), of_gradient(s[1]), one_minus_beta_1(s[2]), one_minus_beta_2(s[3]), epsilon(s[4]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = fma(g - slot[0], one_minus_beta_1, slot[0]);
        slot[1] = fma(g * g - slot[1], one_minus_beta_2, slot[1]);
        w = w - quick_divide(of_momentum * slot[0] + of_gradient * g, quick_sqrt(slot[1]) + epsilon);
    }
    constexpr static void scalars(double t, const double* hyper, double* s) {
        const double correction = __builtin_sqrt(1 - __builtin_pow(hyper[2], t));
        const double now = hyper[1] * (1 - 0.5 * __builtin_pow(0.96, t));
        const double next = hyper[1] * (1 - 0.5 * __builtin_pow(0.96, t + 1));
        const double product = __builtin_pow(hyper[1], t) * nadam_products.at(t);
        s[0] = hyper[0] * correction * next / (1 - product * next);
        s[1] = hyper[0] * correction * (1 - now) / (1 - product);
        s[2] = 1 - hyper[1];
        s[3] = 1 - hyper[2];
        s[4] = hyper[3] * correction;
    }
};

// Kingma & Ba 2015, algorithm 2, with Keras's epsilon beside the norm: u = max(beta_2 u, |g|);
// w -= lr / (1 - beta_1^t) m / (u + epsilon)
template <class V>
struct Adamax {
    static constexpr int slots = 2;
    V alpha, one_minus_beta_1, beta_2, epsilon;
    constexpr explicit Adamax(const double* s) : alpha(s[0]), one_minus_beta_1(s[1]), beta_2(s[2]), epsilon(s[3]) {}
    constexpr void update(V& w, V g, V* slot) const {
        slot[0] = fma(g - slot[0], one_minus_beta_1, slot[0]);
        slot[1] = max(beta_2 * slot[1], abs(g));
        w = w - quick_divide(alpha * slot[0], slot[1] + epsilon);
    }
    constexpr static void scalars(double t, const double* hyper, double* s) {
        s[0] = hyper[0] / (1 - __builtin_pow(hyper[1], t));
        s[1] = 1 - hyper[1];
        s[2] = hyper[2];
        s[3] = hyper[3];
    }
};

// Chen et al. 2023, algorithm 2: w -= lr sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g
template <class V>
struct Lion {
    static constexpr int slots = 1;
    V rate, beta_1, one_minus_beta_1, beta_2, one_minus_beta_2;
    constexpr explicit Lion(const double* s)
        : rate(s[0]), beta_1(s[1]), one_minus_beta_1(s[2]), beta_2(s[3]), one_minus_beta_2(s[4]) {}
    constexpr void update(V& w, V g, V* slot) const {
        w = w - rate * signum(beta_1 * slot[0] + one_minus_beta_1 * g);
        slot[0] = beta_2 * slot[0] + one_minus_beta_2 * g;
    }
    constexpr static void scalars(double, const double* hyper, double* s) {
        s[0] = hyper[0];
        s[1] = hyper[1];
        s[2] = 1 - hyper[1];
        s[3] = hyper[2];
        s[4] = 1 - hyper[2];
    }
};
