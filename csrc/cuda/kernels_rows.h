// Kernels over the columns of each row: softmax and layer normalization.

// What a pass over a row finds: three sums or, in v[0], a maximum.
struct RowState {
    double v[3];
};

// A pass whose parts are added.
FUSEDNET_DEVICE inline void add_states(RowState& a, const RowState& b) {
    a.v[0] += b.v[0];
    a.v[1] += b.v[1];
    a.v[2] += b.v[2];
}
FUSEDNET_DEVICE inline void greater_state(RowState& a, const RowState& b) {
    a.v[0] = a.v[0] > b.v[0] ? a.v[0] : b.v[0];
}

// Pass 0 is the maximum, where there is one; the others are sums.
template <bool maximum, int p>
FUSEDNET_DEVICE RowState no_state() {
    return {{maximum && p == 0 ? -__builtin_inf() : 0.0, 0.0, 0.0}};
}
template <bool maximum, int p>
FUSEDNET_DEVICE void join_states(RowState& a, const RowState& b) {
    if constexpr (maximum && p == 0)
        greater_state(a, b);
    else
        add_states(a, b);
}

// A body of fold_rows; see there.
template <bool maximum, int count>
struct RowBody {
    using State = RowState;
    static constexpr int passes = count;
    template <int p>
    FUSEDNET_DEVICE static State none() {
        return no_state<maximum, p>();
    }
    template <int p>
    FUSEDNET_DEVICE static void join(State& a, const State& b) {
        join_states<maximum, p>(a, b);
    }
    FUSEDNET_DEVICE void finish(Index, const State*) const {}
};

template <bool logarithm>
struct SoftmaxForward : RowBody<true, 3> {
    ActivationForward<T> a;
    template <int p>
    FUSEDNET_DEVICE void add(State& state, Index i, Index j, const State* totals) const {
        const V x = a.x.row(i)[j];
        if constexpr (p == 0) {
            state.v[0] = state.v[0] > double(x) ? state.v[0] : double(x);
            return;
        }
        const V d = x - V(totals[0].v[0]);
        if constexpr (p == 1)
            state.v[0] += double(vexp(d));
        else if constexpr (logarithm)
            a.y.row(i)[j] = d - V(__builtin_log(totals[1].v[0]));
        else
            a.y.row(i)[j] = vexp(d) * V(1 / totals[1].v[0]);
    }
};

inline void softmax_forward(const ActivationForward<T>& a) noexcept {
    fold_rows("softmax_forward", a.rows, a.cols, SoftmaxForward<false>{{}, a});
}
inline void log_softmax_forward(const ActivationForward<T>& a) noexcept {
    fold_rows("log_softmax_forward", a.rows, a.cols, SoftmaxForward<true>{{}, a});
}

// dx = y (dy - sum(dy y)); of the logarithm: dx = dy - exp(y) sum(dy).
template <bool logarithm>
struct SoftmaxBackward : RowBody<false, 2> {
    ActivationBackward<T> a;
    template <int p>
    FUSEDNET_DEVICE void add(State& state, Index i, Index j, const State* totals) const {
        const V dy = a.dy.row(i)[j], y = a.saved.row(i)[j];
        if constexpr (p == 0)
            state.v[0] += double(logarithm ? dy : dy * y);
        else
            a.dx.row(i)[j] = logarithm ? fma(vexp(y), -V(totals[0].v[0]), dy) : y * (dy - V(totals[0].v[0]));
    }
};

inline void softmax_backward(const ActivationBackward<T>& a) noexcept {
    fold_rows("softmax_backward", a.rows, a.cols, SoftmaxBackward<false>{{}, a});
}
inline void log_softmax_backward(const ActivationBackward<T>& a) noexcept {
    fold_rows("log_softmax_backward", a.rows, a.cols, SoftmaxBackward<true>{{}, a});
}

// Ba, Kiros and Hinton 2016, eq. 3. Deviations are taken from the rounded mean; the sum of them puts the rounding
// right.
struct LayerNormForwardBody : RowBody<false, 3> {
    LayerNormForward<T> a;
    double n;

    FUSEDNET_DEVICE T inverse(const State* totals) const {
        const double spread = totals[1].v[1] - totals[1].v[0] * totals[1].v[0] / n;
        return T(1 / __builtin_sqrt((spread < 0 ? 0.0 : spread / n) + a.epsilon));
    }
    template <int p>
    FUSEDNET_DEVICE void add(State& state, Index i, Index j, const State* totals) const {
        const V x = a.x.row(i)[j];
        if constexpr (p == 0) {
            state.v[0] += double(x);
            return;
        }
        const V d = x - V(totals[0].v[0] / n);
        if constexpr (p == 1) {
            state.v[0] += double(d);
            state.v[1] += double(d) * double(d);
        } else {
            const V normal = d * inverse(totals), beta = a.beta ? a.beta[j] : V(0);
            a.y.row(i)[j] = a.gamma ? fma(normal, a.gamma[j], beta) : normal + beta;
        }
    }
    FUSEDNET_DEVICE void finish(Index i, const State* totals) const {
        a.mean[i] = T(totals[0].v[0] / n);
        a.inverse[i] = inverse(totals);
    }
};

inline void layernorm_forward(const LayerNormForward<T>& a) noexcept {
    fold_rows("layernorm_forward", a.rows, a.cols, LayerNormForwardBody{{}, a, a.cols > 0 ? double(a.cols) : 1.0});
}

// With g = dy gamma: dx = inverse (g - mean(g) - x hat mean(g x hat)).
struct LayerNormBackwardBody : RowBody<false, 2> {
    LayerNormBackward<T> a;
    double n;
    template <int p>
    FUSEDNET_DEVICE void add(State& state, Index i, Index j, const State* totals) const {
        const V dy = a.dy.row(i)[j], g = a.gamma ? dy * a.gamma[j] : dy;
        const V normal = (a.x.row(i)[j] - a.mean[i]) * a.inverse[i];
        if constexpr (p == 0) {
            state.v[0] += double(g);
            state.v[1] += double(g * normal);
        } else {
            a.dx.row(i)[j] = a.inverse[i] * fma(-normal, V(totals[0].v[1] / n), g - V(totals[0].v[0] / n));
        }
    }
};

inline void layernorm_backward(const LayerNormBackward<T>& a) noexcept {
    fold_rows("layernorm_backward", a.rows, a.cols, LayerNormBackwardBody{{}, a, a.cols > 0 ? double(a.cols) : 1.0});
}

template <int n>
struct LayerNormInput {
    Pack<T, n> dy, x;
    V mean, inverse;
};

inline void layernorm_gradients(const LayerNormGradients<T>& a) noexcept {
    fold_columns<Sums<2>>(
        "layernorm_gradients", all_columns(a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.dy, a.x)),
        [a] FUSEDNET_DEVICE(Sums<2>* sums, const auto& down) {
            down.template visit<2>(
                [&]<int n>(const Piece<n>& at) {
                    return LayerNormInput<n>{at.load(a.dy), at.load(a.x), a.mean[at.i], a.inverse[at.i]};
                },
                [&]<int n>(const Piece<n>&, const LayerNormInput<n>& in) {
                    FUSEDNET_UNROLL
                    for (int k = 0; k < n; ++k) {
                        const V dy = in.dy[k];
                        sums[k].v[0] += double(dy);
                        sums[k].v[1] += double(dy) * double((in.x[k] - in.mean) * in.inverse);
                    }
                });
        },
        [a] FUSEDNET_DEVICE(Index j, const Sums<2>& sums) {
            if (a.dbeta) a.dbeta[j] = T(sums.v[0]);
            if (a.dgamma) a.dgamma[j] = T(sums.v[1]);
        });
}
