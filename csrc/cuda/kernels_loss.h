// Losses with their gradients in one call. A row's loss is summed in float64, then the rows' in their order.

// The target of column j, from labels or from a row of targets.
FUSEDNET_DEVICE inline V target_of(const LossArgs<T>& a, Index i, Index j) {
    return a.labels ? V(a.labels[i] == j) : a.targets.row(i)[j];
}

// The last pass of a body may write y and dx, which may be x, since each thread has read its element before.
template <bool maximum, int count>
struct LossBody : RowBody<maximum, count> {
    LossArgs<T> a;
    double* losses;  // (rows)
    LossBody(const LossArgs<T>& args, double* rows) : a(args), losses(rows) {}

    FUSEDNET_DEVICE double weight(Index i) const { return a.weights ? double(a.weights[i]) : 1.0; }
    FUSEDNET_DEVICE bool is_label(Index i, Index j) const { return a.labels && a.labels[i] == j; }
    FUSEDNET_DEVICE void write_y(Index i, Index j, V y) const {
        if (a.y.data) a.y.row(i)[j] = y;
    }
    FUSEDNET_DEVICE void write_dx(Index i, Index j, V dx) const {
        if (a.dx.data) a.dx.row(i)[j] = dx;
    }
};

// A small batch: one block goes over all rows, then adds their losses in the order of sum_pieces.
template <class Body>
struct SmallLoss {
    using Rows = FoldRows<Body, 16>;
    static constexpr int threads = Rows::threads, most = 64;
    struct Shared {
        typename Rows::Shared rows;
        double loss[most];
    };
    using Local = Nothing;
    Rows rows;

    FUSEDNET_DEVICE int turns() const { return int(divide_up(rows.rows, Rows::deep)); }
    FUSEDNET_DEVICE int steps() const { return turns() * rows.steps() + 7; }  // one and log2(most)
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        const int level = step - turns() * rows.steps(), half = level > 0 ? most >> level : most, i = t.index;
        if (level < 0) {
            rows.run(step % rows.steps(), {step / rows.steps(), turns(), i}, shared.rows, local);
        } else if (level == 0) {
            const int row = most - 1 - i;
            if (i < most) shared.loss[i] = row < rows.rows ? rows.body.losses[row] : 0;
        } else {
            if (i < half) shared.loss[i] += shared.loss[i + half];
            if (half == 1 && i == 0 && rows.body.a.loss) *rows.body.a.loss = shared.loss[0];
        }
    }
};

template <class Body>
void row_losses(const char* name, const LossArgs<T>& a) noexcept {
    double* const losses = workspace<double>(Space::own, a.rows);
    using Small = SmallLoss<Body>;
    if constexpr (each_shares)
        if (a.cols > 0 && a.cols <= Small::most && a.rows <= Small::most)
            return launch(name, 1, Small{{a.rows, a.cols, Body(a, losses)}});
    if (a.cols > 0)
        fold_rows(name, a.rows, a.cols, Body(a, losses));
    else
        each(name, 1, a.rows, [losses] FUSEDNET_DEVICE(Index, Index i) { losses[i] = 0; });
    sum_pieces(name, 1, a.rows, 0, a.loss,
               [losses] FUSEDNET_DEVICE(double& sum, const auto& at) { sum += losses[at.j]; });
}

template <class L>
struct ElementLoss : LossBody<false, 1> {
    L formula;
    double features;
    ElementLoss(const LossArgs<T>& args, double* rows)
        : LossBody<false, 1>(args, rows), formula(args.params), features(L::mean ? double(args.cols) : 1.0) {}

    template <int p>
    FUSEDNET_DEVICE void add(RowState& state, Index i, Index j, const RowState*) const {
        const V x = a.x.row(i)[j], t = a.targets.row(i)[j];
        state.v[0] += double(formula.value(x, t));
        if constexpr (L::from_logits) write_y(i, j, formula.probability(x));
        if (a.dx.data) write_dx(i, j, V(a.scale * weight(i) / features) * formula.derivative(x, t));
    }
    FUSEDNET_DEVICE void finish(Index i, const RowState* totals) const {
        losses[i] = weight(i) * (totals[0].v[0] / features);
    }
};

template <class L>
void element_loss(const LossArgs<T>& a) noexcept {
    row_losses<ElementLoss<L>>("element_loss", a);
}

// Loss: sum(t) log(sum(exp(d))) - sum(t d) with d = x - max(x). Gradient: p sum(t) - t.
struct SoftmaxCrossentropy : LossBody<true, 3> {
    using LossBody::LossBody;
    template <int p>
    FUSEDNET_DEVICE void add(RowState& state, Index i, Index j, const RowState* totals) const {
        const V x = a.x.row(i)[j];
        if constexpr (p == 0) {
            state.v[0] = state.v[0] > double(x) ? state.v[0] : double(x);
            return;
        }
        const V d = x - V(totals[0].v[0]), e = vexp(d), t = target_of(a, i, j);
        if constexpr (p == 1) {
            state.v[0] += double(e);
            state.v[1] += double(t);
            state.v[2] += t == V(0) ? 0.0 : double(t * d);
        } else {
            const double sum = totals[1].v[0], factor = a.scale * weight(i);
            const V probability = e * V(1 / sum);
            write_y(i, j, probability);
            if (is_label(i, j))  // 1 - p, exact where p is near 1
                write_dx(i, j, V(-factor * ((sum - double(e)) / sum)));
            else
                write_dx(i, j, V(factor) * fma(probability, V(totals[1].v[1]), -t));
        }
    }
    FUSEDNET_DEVICE void finish(Index i, const RowState* totals) const {
        losses[i] = weight(i) * (totals[1].v[1] * __builtin_log(totals[1].v[0]) - totals[1].v[2]);
    }
};

inline void softmax_crossentropy(const LossArgs<T>& a) noexcept {
    row_losses<SoftmaxCrossentropy>("softmax_crossentropy", a);
}

// With h_j = t_j * (p f'(p)) at p_j: the gradient is h - p sum(h).
struct SoftmaxFocalCrossentropy : LossBody<true, 4> {
    FocalShare<V> share;
    SoftmaxFocalCrossentropy(const LossArgs<T>& args, double* rows) : LossBody(args, rows), share(args.params) {}
    template <int p>
    FUSEDNET_DEVICE void add(RowState& state, Index i, Index j, const RowState* totals) const {
        const V x = a.x.row(i)[j];
        if constexpr (p == 0) {
            state.v[0] = state.v[0] > double(x) ? state.v[0] : double(x);
            return;
        }
        const V d = x - V(totals[0].v[0]);
        if constexpr (p == 1) {
            state.v[0] += double(vexp(d));
            return;
        }
        const V log_p = V(double(d) - __builtin_log(totals[1].v[0])), rest = -vexpm1(log_p), t = target_of(a, i, j);
        const V probability = vexp(log_p), slope = share.slope(probability, log_p, rest);
        if constexpr (p == 2) {
            if (t == V(0)) return;
            state.v[0] += double(t * share.value(log_p, rest));
            state.v[1] += double(t * slope);
        } else if constexpr (p == 3) {
            const V scale(a.scale * weight(i)), own = t == V(0) ? V(0) : t * slope;
            write_y(i, j, probability);
            write_dx(i, j, scale * (is_label(i, j) ? slope * rest : own - probability * V(totals[2].v[1])));
        }
    }
    FUSEDNET_DEVICE void finish(Index i, const RowState* totals) const {
        // NaN shows where all targets are 0 as well
        losses[i] = weight(i) * (totals[2].v[0] + 0.0 * __builtin_log(totals[1].v[0]));
    }
};

inline void softmax_focal_crossentropy(const LossArgs<T>& a) noexcept {
    row_losses<SoftmaxFocalCrossentropy>("softmax_focal_crossentropy", a);
}

// With q = x / sum(x) clipped and h_j = t_j * (q f'(q)) where the clip left q alone, else 0, the gradient is
// (h / q - sum(h)) / sum(x).
template <class Share>
struct ProbabilityLoss : LossBody<false, 3> {
    Share share;
    ProbabilityLoss(const LossArgs<T>& args, double* rows) : LossBody<false, 3>(args, rows), share(args.params) {}
    template <int p>
    FUSEDNET_DEVICE void add(RowState& state, Index i, Index j, const RowState* totals) const {
        const V x = a.x.row(i)[j];
        if constexpr (p == 0) {
            state.v[0] += double(x);
            return;
        }
        const V t = target_of(a, i, j), q = x / V(totals[0].v[0]), clipped = clip_probability(q);
        const V slope = inside_clip(q, share.slope(clipped, vlog(clipped), V(1) - clipped));
        if constexpr (p == 1) {
            if (a.labels && !is_label(i, j)) return;
            state.v[0] += double(t * share.value(vlog(clipped), V(1) - clipped));
            state.v[1] += double(t * slope);
        } else if constexpr (p == 2) {
            const V scale(a.scale * weight(i) / totals[0].v[0]), all(totals[1].v[1]);
            if (is_label(i, j))
                write_dx(i, j, scale * inside_clip(q, slope / q - slope));
            else
                write_dx(i, j, scale * ((a.labels ? V(0) : inside_clip(q, t * slope / q)) - all));
        }
    }
    FUSEDNET_DEVICE void finish(Index i, const RowState* totals) const { losses[i] = weight(i) * totals[1].v[0]; }
};

inline void crossentropy(const LossArgs<T>& a) noexcept {
    row_losses<ProbabilityLoss<LogShare<V>>>("crossentropy", a);
}
inline void focal_crossentropy(const LossArgs<T>& a) noexcept {
    row_losses<ProbabilityLoss<FocalShare<V>>>("focal_crossentropy", a);
}

// With norms of at least 1e-7 in place of smaller ones: -sum(t x) / (|t| |x|).
struct CosineSimilarity : LossBody<false, 2> {
    using LossBody::LossBody;
    FUSEDNET_DEVICE static double norm(double square) { return __builtin_sqrt(square < 1e-14 ? 1e-14 : square); }
    FUSEDNET_DEVICE double cosine(const RowState& t) const { return t.v[2] / (norm(t.v[0]) * norm(t.v[1])); }
    template <int p>
    FUSEDNET_DEVICE void add(RowState& state, Index i, Index j, const RowState* totals) const {
        const V x = a.x.row(i)[j], t = target_of(a, i, j);
        if constexpr (p == 0) {
            state.v[0] += double(x) * double(x);
            state.v[1] += double(t) * double(t);
            if (!a.labels || is_label(i, j)) state.v[2] += double(t * x);
        } else {  // (cosine x / |x| - t / |t|) / |x|
            const double size = norm(totals[0].v[0]), factor = a.scale * weight(i) / size;
            const V of_x(totals[0].v[0] < 1e-14 ? 0.0 : factor * cosine(totals[0]) / size);
            write_dx(i, j, fma(of_x, x, -(V(factor / norm(totals[0].v[1])) * t)));
        }
    }
    FUSEDNET_DEVICE void finish(Index i, const RowState* totals) const { losses[i] = -weight(i) * cosine(totals[0]); }
};

inline void cosine_similarity(const LossArgs<T>& a) noexcept {
    row_losses<CosineSimilarity>("cosine_similarity", a);
}

inline void smooth_targets(const SmoothTargets<T>& a) noexcept {
    const double share = a.smoothing / (a.binary ? 2.0 : a.cols > 0 ? double(a.cols) : 1.0);
    each("smooth_targets", a.rows, a.cols, [a, share] FUSEDNET_DEVICE(Index i, Index j) {
        T* t = a.targets.row(i) + j;
        if (!a.labels) {
            *t = fma(V(1 - a.smoothing), *t, V(share));
            return;
        }
        const bool hot = a.cols > 1 ? a.labels[i] == j : a.labels[i] > 0;
        *t = T(hot ? 1 - a.smoothing + share : share);
    });
}
