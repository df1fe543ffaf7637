// Losses with their gradients in one call, and accuracy. A row's loss is summed in float64.

template <class L>
void element_loss(const LossArgs<T>& a) noexcept {
    const double features = a.cols > 0 ? double(a.cols) : 1.0;
    const V scale(a.scale / features);
    double loss = 0;
    for (Index i = 0; i < a.rows; ++i) {
        const T *x = a.x.row(i), *t = a.targets.row(i);
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        T* y = a.y.data ? a.y.row(i) : nullptr;
        Accumulator sum;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vx = load(x + j, part), vt = load(t + j, part);
            sum.add(keep(L::value(vx, vt), part, V(0)));
            if constexpr (L::from_logits)
                if (y) store(y + j, L::probability(vx), part);
            if (dx) store(dx + j, scale * L::derivative(vx, vt), part);
        });
        loss += sum.total() / features;
    }
    *a.loss = loss;
}

// Loss: sum(t) log(sum(exp(d))) - sum(t d) with d = x - max(x). Gradient: p sum(t) - t.
inline void softmax_crossentropy(const LossArgs<T>& a) noexcept {
    const V scale(a.scale);
    double loss = 0;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        const Index label = a.labels ? a.labels[i] : 0;
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        T* y = a.y.data ? a.y.row(i) : nullptr;
        T* e = y ? y : dx;  // holds exp(d) between the passes; may be x
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
                products.add(keep(vt * d, part, V(0)));
            }
            if (e) store(e + j, v, part);
        });
        const double sum = exps.total(), target = t ? targets.total() : 1.0;
        loss += target * __builtin_log(sum) - (t ? products.total() : double(label_d));
        if (!e) continue;

        const double others = (sum - double(e[label])) / sum;  // 1 - p of the label, exact where p is near 1
        const V inverse(1 / sum), weight(target);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V p = load(e + j, part) * inverse;
            if (y) store(y + j, p, part);
            if (dx) store(dx + j, scale * (t ? fma(p, weight, -load(t + j, part)) : p), part);
        });
        if (dx && !t) dx[label] = static_cast<T>(-a.scale * others);
    }
    *a.loss = loss;
}

// With q = x / sum(x) and `inside` where the clip left q alone, the gradient is
// (sum(t inside) - t inside / q) / sum(x).
inline void crossentropy(const LossArgs<T>& a) noexcept {
    double loss = 0;
    for (Index i = 0; i < a.rows && a.cols > 0; ++i) {
        const T* x = a.x.row(i);
        const T* t = a.labels ? nullptr : a.targets.row(i);
        T* dx = a.dx.data ? a.dx.row(i) : nullptr;
        Accumulator values;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { values.add(load(x + j, part)); });
        const double sum = values.total();
        const V total(sum), scale(a.scale / sum);
        if (!t) {
            const Index label = a.labels[i];
            const T q = static_cast<T>(double(x[label]) / sum);
            constexpr T lowest = static_cast<T>(probability_floor), highest = static_cast<T>(1 - probability_floor);
            loss -= __builtin_log(double(q < lowest ? lowest : q > highest ? highest : q));
            if (!dx) continue;
            const double inside = q < lowest || q > highest ? 0.0 : 1.0;
            const V others(a.scale / sum * inside);
            for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { store(dx + j, others, part); });
            if (inside > 0) dx[label] = static_cast<T>(a.scale / sum * (1 - 1 / double(q)));
            continue;
        }
        Accumulator inside, terms;
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = load(t + j, part), q = load(x + j, part) / total;
            terms.add(vt * vlog(clip_probability(q)));
            inside.add(inside_clip(q, vt));
        });
        loss -= terms.total();
        if (!dx) continue;
        const V weight(inside.total());
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V vt = load(t + j, part), q = load(x + j, part) / total;
            store(dx + j, scale * (weight - inside_clip(q, vt / q)), part);
        });
    }
    *a.loss = loss;
}
