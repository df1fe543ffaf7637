// Batch normalization over the rows of a batch.

// Of some rows of a column: how many, their mean, the sum of squared deviations from it.
struct Moments {
    double n, mean, squares;
    FUSEDNET_DEVICE static Moments none() { return {0, 0, 0}; }
    FUSEDNET_DEVICE void join(const Moments& other) {  // Chan, Golub and LeVeque 1979, eq. 2.1
        if (other.n == 0) return;
        const double total = n + other.n, delta = other.mean - mean, share = other.n / total;
        mean += delta * share;
        squares += other.squares + delta * delta * share * n;
        n = total;
    }
};

// Two passes over a few rows that stay in registers.
inline void batchnorm_statistics(const BatchNormStatistics<T>& a) noexcept {
    fold_columns<Moments>(
        "batchnorm_statistics", a.rows, a.cols,
        [a] FUSEDNET_DEVICE(Moments& moments, Index j, Index first, Index end, Index stride) {
            constexpr int most = 8;
            double x[most];
            for (Index i = first; i < end; i += most * stride) {
                double sum = 0, squares = 0;
                int n = 0;
                FUSEDNET_UNROLL
                for (int k = 0; k < most; ++k) {
                    const Index row = i + k * stride;
                    x[k] = row < end ? double(a.x.row(row)[j]) : 0.0;
                    sum += x[k];
                    n += row < end;
                }
                const double mean = sum / n;
                FUSEDNET_UNROLL
                for (int k = 0; k < most; ++k) squares += k < n ? (x[k] - mean) * (x[k] - mean) : 0.0;
                moments.join({double(n), mean, squares});
            }
        },
        [a] FUSEDNET_DEVICE(Index j, const Moments& moments) {
            a.mean[j] = T(moments.mean);
            a.variance[j] = T(moments.n > 0 ? moments.squares / moments.n : 0.0);
        });
}

// One column: x hat = (x - mean) inverse, u = (x - mean) scale + beta.
struct Normalized {
    V mean, inverse, scale, beta;
};

template <class Args>
FUSEDNET_DEVICE Normalized normalized(const Args& a, Index j) {
    const V inverse = V(1) / sqrt(a.variance[j] + V(a.epsilon));
    return {a.mean[j], inverse, a.gamma ? inverse * a.gamma[j] : inverse, a.beta ? a.beta[j] : V(0)};
}

template <class F>
void batchnorm_forward(const BatchNormForward<T>& a) noexcept {
    const F f(a.params);
    each("batchnorm_forward", a.rows, a.cols, [a, f] FUSEDNET_DEVICE(Index i, Index j) {
        const Normalized n = normalized(a, j);
        a.y.row(i)[j] = value_of(f, fma(a.x.row(i)[j] - n.mean, n.scale, n.beta), a.slope, i, j);
    });
}

// du = dy f' of one element.
template <class F>
FUSEDNET_DEVICE V batchnorm_gradient(const BatchNormBackward<T>& a, const F& f, const Normalized& n, V centered,
                                     Index i, Index j) {
    const V dy = a.dy.row(i)[j];
    if constexpr (!F::reads_saved)
        return dy * f.derivative(dy);
    else if constexpr (F::from_output)
        return dy * f.derivative(a.saved.row(i)[j]);
    else
        return dy * derivative_of(f, fma(centered, n.scale, n.beta), a.slope, i, j);
}

// dbeta = sum(du), dgamma = sum(du x hat), and with the batch's own statistics
// dx = scale (du - mean(du) - x hat mean(du x hat)). The second pass computes du again, from what it reads anyway.
template <class F>
void batchnorm_backward(const BatchNormBackward<T>& a) noexcept {
    const F f(a.params);
    double* means = nullptr;  // of du, then of du x hat, a number a column each
    if (a.training || a.dgamma || a.dbeta || a.dslope) {
        if (a.training) means = workspace<double>(Space::own, 2 * a.cols);
        sum_columns<3>(
            "batchnorm_backward", a.rows, a.cols,
            [a, f] FUSEDNET_DEVICE(Sums<3>& sums, Index i, Index j) {
                const Normalized n = normalized(a, j);
                const V centered = a.x.row(i)[j] - n.mean;
                const double du = double(batchnorm_gradient(a, f, n, centered, i, j));
                sums.v[0] += du;
                sums.v[1] += du * double(centered);
                if constexpr (F::slope_from == Slope::learned)
                    sums.v[2] += double(a.dy.row(i)[j]) * double(f.slope_gradient(fma(centered, n.scale, n.beta)));
            },
            [a, means] FUSEDNET_DEVICE(Index j, const Sums<3>& sums) {
                const double product = sums.v[1] * double(normalized(a, j).inverse);
                const double n = a.rows > 0 ? double(a.rows) : 1.0;
                if (means) {
                    means[j] = sums.v[0] / n;
                    means[a.cols + j] = product / n;
                }
                if (a.dbeta) a.dbeta[j] = T(sums.v[0]);
                if (a.dgamma) a.dgamma[j] = T(product);
                if (a.dslope) a.dslope[j] = T(sums.v[2]);
            });
    }
    each("batchnorm_backward", a.rows, a.cols, [a, f, means] FUSEDNET_DEVICE(Index i, Index j) {
        const Normalized n = normalized(a, j);
        const V centered = a.x.row(i)[j] - n.mean;
        V du = batchnorm_gradient(a, f, n, centered, i, j);
        if (means) du = fma(centered, -V(means[a.cols + j]) * n.inverse, du - V(means[j]));
        a.dx.row(i)[j] = n.scale * du;
    });
}
