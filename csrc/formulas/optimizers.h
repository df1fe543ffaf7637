// Optimizer updates as Keras 3 writes them: w from the gradient g and the row's slots. scalars() derives, in double
// and once a step, what update() needs from the step's number t (from 1) and the hyper-parameters (learning rate
// first).

template <class V>
struct Sgd {
    static constexpr int slots = 0;
    V rate;
    explicit Sgd(const double* s) : rate(s[0]) {}
    void update(V& w, V g, V*) const { w = w - rate * g; }
    static void scalars(double, const double* hyper, double* s) { s[0] = hyper[0]; }
};

// m = mu m - lr g; w += m
template <class V>
struct SgdMomentum {
    static constexpr int slots = 1;
    V rate, mu;
    explicit SgdMomentum(const double* s) : rate(s[0]), mu(s[1]) {}
    void update(V& w, V g, V* slot) const {
        slot[0] = mu * slot[0] - rate * g;
        w = w + slot[0];
    }
    static void scalars(double, const double* hyper, double* s) {
        s[0] = hyper[0];
        s[1] = hyper[1];
    }
};

// m = mu m - lr g; w += mu m - lr g
template <class V>
struct SgdNesterov {
    static constexpr int slots = 1;
    V rate, mu;
    explicit SgdNesterov(const double* s) : rate(s[0]), mu(s[1]) {}
    void update(V& w, V g, V* slot) const {
        const V step = rate * g;
        slot[0] = mu * slot[0] - step;
        w = w + (mu * slot[0] - step);
    }
    static void scalars(double t, const double* hyper, double* s) { SgdMomentum<V>::scalars(t, hyper, s); }
};

// v = rho v + (1 - rho) g^2; w -= lr g / sqrt(v + epsilon)
template <class V>
struct RmsProp {
    static constexpr int slots = 1;
    V rate, rho, one_minus_rho, epsilon;
    explicit RmsProp(const double* s) : rate(s[0]), rho(s[1]), one_minus_rho(s[2]), epsilon(s[3]) {}
    V step(V g, V& v) const {
        v = rho * v + one_minus_rho * (g * g);
        return rate * g / sqrt(v + epsilon);
    }
    void update(V& w, V g, V* slot) const { w = w - step(g, slot[0]); }
    static void scalars(double, const double* hyper, double* s) {
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
    explicit RmsPropMomentum(const double* s) : rmsprop(s), mu(s[4]) {}
    void update(V& w, V g, V* slot) const {
        slot[1] = mu * slot[1] + rmsprop.step(g, slot[0]);
        w = w - slot[1];
    }
    static void scalars(double t, const double* hyper, double* s) {
        RmsProp<V>::scalars(t, hyper, s);
        s[4] = hyper[3];
    }
};

// Kingma & Ba 2015, end of section 2: the bias corrections are in alpha, epsilon is added to the uncorrected root.
template <class V>
struct Adam {
    static constexpr int slots = 2;
    V alpha, one_minus_beta_1, one_minus_beta_2, epsilon;
    explicit Adam(const double* s) : alpha(s[0]), one_minus_beta_1(s[1]), one_minus_beta_2(s[2]), epsilon(s[3]) {}
    void update(V& w, V g, V* slot) const {
        slot[0] = slot[0] + (g - slot[0]) * one_minus_beta_1;
        slot[1] = slot[1] + (g * g - slot[1]) * one_minus_beta_2;
        w = w - alpha * slot[0] / (sqrt(slot[1]) + epsilon);
    }
    static void scalars(double t, const double* hyper, double* s) {
        s[0] = hyper[0] * __builtin_sqrt(1 - __builtin_pow(hyper[2], t)) / (1 - __builtin_pow(hyper[1], t));
        s[1] = 1 - hyper[1];
        s[2] = 1 - hyper[2];
        s[3] = hyper[3];
    }
};
