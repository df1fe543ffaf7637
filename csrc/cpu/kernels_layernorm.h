// Layer normalization (Ba, Kiros and Hinton 2016, eq. 3): over the features of each sample. Sums are in float64.

template <class F>
FUSEDNET_INLINE void sum_row(Index cols, double& first, double& second, const F& terms) {
    Accumulator a, b;
    for_vectors(cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA { terms(j, part, a, b); });
    first = a.total();
    second = b.total();
}

// Deviations are taken from the rounded mean; the sum of them puts the rounding right.
inline void layernorm_forward(const LayerNormForward<T>& a) noexcept {
    const double n = a.cols > 0 ? double(a.cols) : 1.0;
    for (Index i = 0; i < a.rows; ++i) {
        const T* x = a.x.row(i);
        T* y = a.y.row(i);
        double sum, squares, unused;
        sum_row(a.cols, sum, unused, [&](Index j, auto part, Accumulator& s, Accumulator&) FUSEDNET_INLINE_LAMBDA {
            s.add(load(x + j, part));
        });
        const T center = static_cast<T>(sum / n);
        sum_row(a.cols, sum, squares, [&](Index j, auto part, Accumulator& s, Accumulator& q) FUSEDNET_INLINE_LAMBDA {
            const V d = keep(load(x + j, part) - broadcast(center), part, V(0));
            s.add(d);
            q.add_square(d);
        });
        const double spread = squares - sum * sum / n;
        const double variance = spread < 0 ? 0.0 : spread / n;
        a.mean[i] = center;
        a.inverse[i] = static_cast<T>(1 / __builtin_sqrt(variance + a.epsilon));
        const V mean = broadcast(center), inverse = broadcast(a.inverse[i]);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V normal = (load(x + j, part) - mean) * inverse;
            const V beta = a.beta ? load(a.beta + j, part) : V(0);
            store(y + j, a.gamma ? fma(normal, load(a.gamma + j, part), beta) : normal + beta, part);
        });
    }
}

// With g = dy gamma: dx = inverse (g - mean(g) - x hat mean(g x hat)).
inline void layernorm_backward(const LayerNormBackward<T>& a) noexcept {
    const double n = a.cols > 0 ? double(a.cols) : 1.0;
    for (Index i = 0; i < a.rows; ++i) {
        const T *dy = a.dy.row(i), *x = a.x.row(i);
        T* dx = a.dx.row(i);
        const V mean = broadcast(a.mean[i]), inverse = broadcast(a.inverse[i]);
        const auto weighted = [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            const V g = load(dy + j, part);
            return a.gamma ? g * load(a.gamma + j, part) : g;
        };
        const auto normal = [&](Index j, auto part)
                                FUSEDNET_INLINE_LAMBDA { return (load(x + j, part) - mean) * inverse; };
        double sum, product;
        sum_row(a.cols, sum, product, [&](Index j, auto part, Accumulator& s, Accumulator& p) FUSEDNET_INLINE_LAMBDA {
            const V g = weighted(j, part);
            s.add(g);
            p.add(keep(g * normal(j, part), part, V(0)));
        });
        const V mean_g(sum / n), mean_product(product / n);
        for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(dx + j, inverse * fma(-normal(j, part), mean_product, weighted(j, part) - mean_g), part);
        });
    }
}

// dbeta = sum(dy), dgamma = sum(dy x hat), down the columns: in T over a chunk of rows, then in float64.
inline void layernorm_gradients(const LayerNormGradients<T>& a) noexcept {
    for_groups(a.cols, [&](auto vectors, Index j, auto part) FUSEDNET_INLINE_LAMBDA {
        constexpr Index count = decltype(vectors)::count;
        double total[count * lanes] = {}, product[count * lanes] = {};
        for (Index first = 0; first < a.rows; first += chunk) {
            const Index end = a.rows - first < chunk ? a.rows : first + chunk;
            V sum[count], dot[count];
            for (Index v = 0; v < count; ++v) sum[v] = dot[v] = V(0);
            for (Index i = first; i < end; ++i) {
                const V mean = broadcast(a.mean[i]), inverse = broadcast(a.inverse[i]);
                for (Index v = 0; v < count; ++v) {
                    const Index col = j + v * lanes;
                    const V dy = load(a.dy.row(i) + col, part);
                    sum[v] = sum[v] + dy;
                    dot[v] = fma(dy, (load(a.x.row(i) + col, part) - mean) * inverse, dot[v]);
                }
            }
            join(total, sum);
            join(product, dot);
        }
        for (Index l = 0; l < columns(vectors, part); ++l) {
            if (a.dbeta) a.dbeta[j + l] = static_cast<T>(total[l]);
            if (a.dgamma) a.dgamma[j + l] = static_cast<T>(product[l]);
        }
    });
}
