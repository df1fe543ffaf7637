// Batch normalization by columns, with the activation that follows it, and layer normalization by rows.
#pragma once

#include "steps_dense.h"

namespace fusednet {

// The arrays of one BatchNormalization with the activation that follows it. Without statistics of its own (a
// Normalization) it infers from `moving_mean` and `moving_variance` alone.
template <class T>
struct Norm {
    const Tensor<T>*gamma = nullptr, *beta = nullptr;  // null where switched off
    const Tensor<T>*moving_mean = nullptr, *moving_variance = nullptr;
    T *mean = nullptr, *variance = nullptr;  // of the batch
    double momentum = 0.0, epsilon = 0.0;
    bool learns = false;  // frozen, it infers
    ActivationUse<T> f;
    View<T> input;
    bool by_batch(const Batch& b) const noexcept { return b.training && learns; }
};

template <class T>
const T* values(const Tensor<T>* tensor, Index column) noexcept {
    return tensor ? tensor->value.data + column : nullptr;
}
template <class T>
T* gradients(const Tensor<T>* tensor, Index column) noexcept {
    return tensor && tensor->trainable ? tensor->gradient.data + column : nullptr;
}

// y = f(gamma xhat + beta), xhat from the batch's statistics while training, else from the moving ones.
template <class T>
struct NormForward final : Step<T> {
    View<T> x, y;
    const Norm<T>* norm;

    NormForward(const Table<T>& table, std::string label, bool local, Index cols, View<T> x, View<T> y,
                const Norm<T>* norm)
        : Step<T>(table, std::move(label), Split::columns, cols, local), x(x), y(y), norm(norm) {}

    void run(const Batch& b, Index task, T*) const noexcept override {
        const Index c = this->first_column(task);
        const BatchNormForward<T> args = arguments(b, task);
        const bool by_batch = norm->by_batch(b);
        if (by_batch && this->k.at_once)
            return this->k.at_once->batchnorm_by_batch[int(norm->f.kind)](args, norm->mean + c, norm->variance + c);
        if (by_batch) this->k.batchnorm_statistics({args.rows, args.cols, args.x, norm->mean + c, norm->variance + c});
        this->k.batchnorm_forward[int(norm->f.kind)](args);
    }
    BatchNormForward<T> arguments(const Batch& b, Index task) const noexcept {
        const Index c = this->first_column(task), cols = this->columns(task);
        const bool by_batch = norm->by_batch(b);
        const SlopeSource<T>* slope = norm->f.slope;
        return {.rows = b.rows,
                .cols = cols,
                .x = readonly(at_column(x, c)),
                .y = at_column(y, c),
                .mean = by_batch ? norm->mean + c : values(norm->moving_mean, c),
                .variance = by_batch ? norm->variance + c : values(norm->moving_variance, c),
                .gamma = values(norm->gamma, c),
                .beta = values(norm->beta, c),
                .epsilon = norm->epsilon,
                .params = norm->f.params,
                .slope = slope ? slope->forward(this->k, b, this->cols, c, cols) : View<const T>{}};
    }
};

// A dense layer and its normalization on a device, which is asked for both at once.
template <class T>
struct DenseNormForward final : Step<T> {
    DenseForward<T> dense;
    NormForward<T> norm;

    DenseNormForward(const Table<T>& table, const std::string& label, Value<T> x, View<T> z, View<T> y,
                     const DenseArrays<T>* arrays, const Norm<T>* norm)
        : Step<T>(table, "dense_forward " + label, Split::columns, arrays->w->cols, false),
          dense(table, "", x, z, z, arrays, {}),
          norm(table, "", true, arrays->w->cols, z, y, norm) {}

    double work(Index rows) const noexcept override { return dense.work(rows); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        const Norm<T>& arrays = *norm.norm;
        if (arrays.by_batch(b))
            return this->k.at_once->dense_by_batch[int(arrays.f.kind)](
                dense.product(b, task, scratch), norm.arguments(b, task), arrays.mean, arrays.variance, this->k.gemm);
        dense.run(b, task, scratch);
        norm.run(b, task, scratch);
    }
};

template <class T>
struct NormBackward final : Step<T> {
    View<T> dy, x, y, dx;
    const Norm<T>* norm;

    NormBackward(const Table<T>& table, std::string label, bool local, Index cols, View<T> dy, View<T> x, View<T> y,
                 View<T> dx, const Norm<T>* norm)
        : Step<T>(table, std::move(label), Split::columns, cols, local), dy(dy), x(x), y(y), dx(dx), norm(norm) {}

    void run(const Batch& b, Index task, T*) const noexcept override {
        const Index c = this->first_column(task), cols = this->columns(task);
        const bool by_batch = norm->by_batch(b);
        const SlopeSource<T>* slope = norm->f.slope;
        this->k.batchnorm_backward[int(norm->f.kind)](
            {.rows = b.rows,
             .cols = cols,
             .dy = readonly(at_column(dy, c)),
             .x = readonly(at_column(x, c)),
             .saved = readonly(at_column(y, c)),
             .dx = at_column(dx, c),
             .mean = by_batch ? norm->mean + c : values(norm->moving_mean, c),
             .variance = by_batch ? norm->variance + c : values(norm->moving_variance, c),
             .gamma = values(norm->gamma, c),
             .beta = values(norm->beta, c),
             .dgamma = gradients(norm->gamma, c),
             .dbeta = gradients(norm->beta, c),
             .epsilon = norm->epsilon,
             .params = norm->f.params,
             .training = by_batch,
             .slope = slope ? slope->current(b, c) : View<const T>{},
             .dslope = slope ? slope->gradient(c) : nullptr});
        for (const Tensor<T>* t : {norm->gamma, norm->beta})
            if (t && t->trainable) finish_gradient(this->k, *t, b, task);
        if (slope) slope->finish(this->k, b, task);
    }
};

// The arrays of one LayerNormalization.
template <class T>
struct RowNorm {
    const Tensor<T>*gamma = nullptr, *beta = nullptr;
    T *mean = nullptr, *inverse = nullptr;  // (n)
    double epsilon = 0.0;
};

// It is not local: beside the gather, in one stage with it, `difference` would leave it out.
template <class T>
struct LayerNormForwardStep final : Step<T> {
    View<T> x, y;
    const RowNorm<T>* norm;
    LayerNormForwardStep(const Table<T>& table, std::string label, Index cols, View<T> x, View<T> y,
                         const RowNorm<T>* norm)
        : Step<T>(table, std::move(label), Split::rows, cols, false), x(x), y(y), norm(norm) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.layernorm_forward({.rows = part.rows,
                                   .cols = part.cols,
                                   .x = readonly(at(x, part)),
                                   .y = at(y, part),
                                   .gamma = values(norm->gamma, 0),
                                   .beta = values(norm->beta, 0),
                                   .mean = norm->mean + part.row,
                                   .inverse = norm->inverse + part.row,
                                   .epsilon = norm->epsilon});
    }
};

// dgamma and dbeta, by columns.
template <class T>
struct LayerNormGradientsStep final : Step<T> {
    View<T> dy, x;
    const RowNorm<T>* norm;
    LayerNormGradientsStep(const Table<T>& table, std::string label, Index cols, View<T> dy, View<T> x,
                           const RowNorm<T>* norm)
        : Step<T>(table, std::move(label), Split::columns, cols, true), dy(dy), x(x), norm(norm) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Index c = this->first_column(task);
        this->k.layernorm_gradients({.rows = b.rows,
                                     .cols = this->columns(task),
                                     .dy = readonly(at_column(dy, c)),
                                     .x = readonly(at_column(x, c)),
                                     .mean = norm->mean,
                                     .inverse = norm->inverse,
                                     .dgamma = gradients(norm->gamma, c),
                                     .dbeta = gradients(norm->beta, c)});
        for (const Tensor<T>* t : {norm->gamma, norm->beta})
            if (t && t->trainable) finish_gradient(this->k, *t, b, task);
    }
};

template <class T>
struct LayerNormBackwardStep final : Step<T> {
    View<T> dy, x, dx;
    const RowNorm<T>* norm;
    LayerNormBackwardStep(const Table<T>& table, std::string label, Index cols, View<T> dy, View<T> x, View<T> dx,
                          const RowNorm<T>* norm)
        : Step<T>(table, std::move(label), Split::rows, cols, false), dy(dy), x(x), dx(dx), norm(norm) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.layernorm_backward({.rows = part.rows,
                                    .cols = part.cols,
                                    .dy = readonly(at(dy, part)),
                                    .x = readonly(at(x, part)),
                                    .dx = at(dx, part),
                                    .gamma = values(norm->gamma, 0),
                                    .mean = norm->mean + part.row,
                                    .inverse = norm->inverse + part.row});
    }
};

}  // namespace fusednet
