// Losses with their gradients in one call. A row's loss is summed in float64.

FUSEDNET_INLINE double sample_weight(const LossArgs<T>& a, Index i) {
    return a.weights ? double(a.weights[i]) : 1.0;
}

template <class L>
void element_loss(const LossArgs<T>& a) noexcept {
    const L formula(a.params);
    const double features = L::mean && a.cols > 0 ? double(a.cols) : 1.0;
    double loss = 0;
    for (Index i = 0; i < a.rows; ++i) {
        const T *x = a.x.row(i), *t = a.targets.row(i);
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        T* y = a.y.data ? a.y.row(i) : nullptr;
        const double weight = sample_weight(a, i);
        const V scale(a.scale * weight / features);
        Accumulator sum;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vx = load(x + j, part), vt = load(t + j, part);
            sum.add(keep(formula.value(vx, vt), part, V(0)));
            if constexpr (L::from_logits)
                if (y) store(y + j, formula.probability(vx), part);
            if (dx) store(dx + j, scale * formula.derivative(vx, vt), part);
        });
        loss += weight * (sum.total() / features);
    }
    *a.loss = loss;
}

// The sum of the logarithms of numbers from 1 to 2^64 by few logarithms: each product is rounded by as much as a sum.
class Logarithms {
public:
    FUSEDNET_MEMBER void add(double x) {
        product_ *= x;
        if (product_ < 0x1p900) return;  // not NaN, which sum_ takes
        sum_ += __builtin_log(product_);
        product_ = 1;
    }
    FUSEDNET_MEMBER double total() const { return sum_ + __builtin_log(product_); }

private:
    double product_ = 1, sum_ = 0;
};

// Loss: sum(t) log(sum(exp(d))) - sum(t d) with d = x - max(x). Gradient: p sum(t) - t.
inline void softmax_crossentropy(const LossArgs<T>& a) noexcept {
    double loss = 0;
    Logarithms logarithms;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        const Index label = a.labels ? a.labels[i] : 0;
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        T* y = a.y.data ? a.y.row(i) : nullptr;
        T* e = y ? y : dx;  // holds exp(d) between the passes; may be x
        const double sample = sample_weight(a, i), factor = a.scale * sample;
        const T top = row_max(x, a.cols);
        const T label_d = x[label] - top;
        Accumulator exps, targets, products;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V d = load(x + j, part) - broadcast(top);
            const V v = keep(vexp(d), part, V(0));
            exps.add(v);
            if (t) {
                const V vt = load(t + j, part);
                targets.add(vt);
                products.add(keep(select(vt == V(0), V(0), vt * d), part, V(0)));
            }
            if (e) store(e + j, v, part);
        });
        const double sum = exps.total(), target = t ? targets.total() : 1.0;
        loss -= sample * (t ? products.total() : double(label_d));
        if (sample * target == 1)
            logarithms.add(sum);
        else
            loss += sample * target * __builtin_log(sum);
        if (!e) continue;

        const double others = (sum - double(e[label])) / sum;  // 1 - p of the label, exact where p is near 1
        const V inverse(1 / sum), weight(target), scale(factor);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V p = load(e + j, part) * inverse;
            if (y) store(y + j, p, part);
            if (dx) store(dx + j, scale * (t ? fma(p, weight, -load(t + j, part)) : p), part);
        });
        if (dx && !t) dx[label] = static_cast<T>(-factor * others);
    }
    *a.loss = loss + logarithms.total();
}

// With h_j = t_j * (p f'(p)) at p_j: the gradient is h - p sum(h).
inline void softmax_focal_crossentropy(const LossArgs<T>& a) noexcept {
    const FocalShare<V> share(a.params);
    double loss = 0;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        const Index label = a.labels ? a.labels[i] : 0;
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        T* y = a.y.data ? a.y.row(i) : nullptr;
        T* e = y ? y : dx;  // holds x - max(x) between the passes; may be x
        const double sample = sample_weight(a, i);
        const T top = row_max(x, a.cols);
        const T label_d = x[label] - top;
        const T* d = e ? e : x;
        const V shift = broadcast(e ? T(0) : top);
        Accumulator exps;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vd = load(x + j, part) - broadcast(top);
            exps.add(keep(vexp(vd), part, V(0)));
            if (e) store(e + j, vd, part);
        });
        const double log_sum = __builtin_log(exps.total());
        const V lse(log_sum), scale(a.scale * sample);
        if (!t) {
            const V log_p(double(label_d) - log_sum), rest = -vexpm1(log_p);
            loss += sample * double(reduce_max(share.value(log_p, rest)));
            if (!e) continue;
            const V slope = share.slope(vexp(log_p), log_p, rest);
            for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                const V p = vexp(load(e + j, part) - lse);
                if (y) store(y + j, p, part);
                if (dx) store(dx + j, scale * (-slope * p), part);
            });
            if (dx) dx[label] = reduce_max(scale * (slope * rest));
            continue;
        }
        Accumulator values, slopes;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = load(t + j, part), log_p = (load(d + j, part) - shift) - lse, rest = -vexpm1(log_p);
            values.add(select(vt == V(0), V(0), vt * share.value(log_p, rest)));
            slopes.add(select(vt == V(0), V(0), vt * share.slope(vexp(log_p), log_p, rest)));
        });
        loss += sample * (values.total() + 0.0 * log_sum);  // NaN shows where all targets are 0 as well
        if (!e) continue;
        const V total(slopes.total());
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = load(t + j, part), log_p = load(e + j, part) - lse, p = vexp(log_p);
            const V own = select(vt == V(0), V(0), vt * share.slope(p, log_p, -vexpm1(log_p)));
            if (y) store(y + j, p, part);
            if (dx) store(dx + j, scale * (own - p * total), part);
        });
    }
    *a.loss = loss;
}

// With q = x / sum(x) clipped and h_j = t_j * (q f'(q)) where the clip left q alone, else 0, the gradient is
// (h / q - sum(h)) / sum(x).
template <class Share>
void probability_loss(const LossArgs<T>& a) noexcept {
    const Share share(a.params);
    double loss = 0;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        Accumulator values;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { values.add(load(x + j, part)); });
        const double sum = values.total(), sample = sample_weight(a, i);
        const V total(sum), scale(a.scale * sample / sum);
        const auto value = [&](V q) FUSEDNET_INLINE_LAMBDA {
            const V p = clip_probability(q);
            return share.value(vlog(p), V(1) - p);
        };
        const auto slope = [&](V q) FUSEDNET_INLINE_LAMBDA {
            const V p = clip_probability(q);
            return inside_clip(q, share.slope(p, vlog(p), V(1) - p));
        };
        if (!t) {
            const Index label = a.labels[i];
            const V q(double(x[label]) / sum), h = slope(q);
            loss += sample * double(reduce_max(value(q)));
            if (!dx) continue;
            const V others = -(scale * h);
            for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(dx + j, others, part); });
            dx[label] = reduce_max(scale * inside_clip(q, h / q - h));
            continue;
        }
        Accumulator terms, slopes;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = load(t + j, part), q = load(x + j, part) / total;
            terms.add(keep(vt * value(q), part, V(0)));
            slopes.add(keep(vt * slope(q), part, V(0)));
        });
        loss += sample * terms.total();
        if (!dx) continue;
        const V all(slopes.total());
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = load(t + j, part), q = load(x + j, part) / total;
            store(dx + j, scale * (inside_clip(q, vt * slope(q) / q) - all), part);
        });
    }
    *a.loss = loss;
}

inline void crossentropy(const LossArgs<T>& a) noexcept {
    probability_loss<LogShare<V>>(a);
}
inline void focal_crossentropy(const LossArgs<T>& a) noexcept {
    probability_loss<FocalShare<V>>(a);
}

// With norms of at least 1e-7 in place of smaller ones: -sum(t x) / (|t| |x|).
inline void cosine_similarity(const LossArgs<T>& a) noexcept {
    constexpr double least = 1e-14;  // of a squared norm
    double loss = 0;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        const Index label = a.labels ? a.labels[i] : 0;
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        const T at_label = x[label];
        Accumulator squares, target_squares, products;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vx = load(x + j, part);
            squares.add_square(vx);
            if (!t) return;
            const V vt = load(t + j, part);
            target_squares.add_square(vt);
            products.add(vt * vx);
        });
        const double square = squares.total(), target_square = t ? target_squares.total() : 1.0;
        const double norm = __builtin_sqrt(square < least ? least : square);
        const double target_norm = __builtin_sqrt(target_square < least ? least : target_square);
        const double sample = sample_weight(a, i);
        const double cosine = (t ? products.total() : double(at_label)) / (norm * target_norm);
        loss -= sample * cosine;
        if (!dx) continue;
        const double factor = a.scale * sample / norm;  // gradient: (cosine x / |x| - t / |t|) / |x|
        const V of_x(square < least ? 0.0 : factor * cosine / norm), of_t(factor / target_norm);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = t ? load(t + j, part) : V(0);
            store(dx + j, fma(of_x, load(x + j, part), -(of_t * vt)), part);
        });
        if (!t) dx[label] -= static_cast<T>(factor / target_norm);
    }
    *a.loss = loss;
}

inline void smooth_targets(const SmoothTargets<T>& a) noexcept {
    const double share = a.smoothing / (a.binary ? 2.0 : a.cols > 0 ? double(a.cols) : 1.0);
    const V keeps(1 - a.smoothing), adds(share);
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        T* t = a.targets.row(i);
        if (!a.labels) {
            for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                store(t + j, fma(keeps, load(t + j, part), adds), part);
            });
            continue;
        }
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(t + j, adds, part); });
        if (a.cols > 1)
            t[a.labels[i]] = static_cast<T>(1 - a.smoothing + share);
        else if (a.labels[i] > 0)
            t[0] = static_cast<T>(1 - a.smoothing + share);
    }
}
