// The steps that a plan is made of. A step is a number of independent tasks, split by columns (a panel of features
// stays with one thread through matrix product, statistics, activation and gradient) or by rows. Sizes follow
// table.h: n rows of the batch, c columns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../base/table.h"

namespace fusednet {

constexpr Index rows_a_task = 64;

// Features with the same owner: wide enough for full register tiles, narrow enough to give every thread some.
constexpr Index panel_columns(Index cols) noexcept {
    return cols <= 32 ? 16 : cols < 512 ? 32 : 64;
}

constexpr Index divide_up(Index a, Index b) noexcept {
    return (a + b - 1) / b;
}

// Samples in the caller's memory.
struct Rows {
    const void* data = nullptr;
    Index row_bytes = 0;
    Source source = Source::float32;
};

struct Targets {
    const int32_t* labels = nullptr;  // or:
    Rows values;
};

// What one pass over a batch tells its steps.
struct Batch {
    Index rows = 0;
    bool training = false;   // batch statistics
    bool gradients = false;  // a backward pass follows
    Rows x;
    Targets targets;
    const int64_t* order = nullptr;  // rows of x and targets, or null: the first `rows` rows
    double loss_scale = 1.0;
};

// An array of the network's state.
template <class T>
struct Tensor {
    std::string name, layer;
    const char* role;
    Index rows, cols;
    bool vector, trainable;
    View<T> value, gradient;
    T* slot[max_slots];
    double* norms;  // squared norm of the gradient, a number a panel
    Index panels;
    double* scale;  // of the gradient in the next update: clipping by norm
};

// What flows between layers, and the gradient of the loss with respect to it.
template <class T>
struct Value {
    Index cols;
    View<T> data, gradient;
};

enum class Split { rows, columns, chunks };

template <class T>
class Step {
public:
    Step(const Table<T>& table, std::string name, Split by, Index count, bool follows)
        : k(table), label(std::move(name)), split(by), cols(count), panel(panel_columns(count)), local(follows) {}
    virtual ~Step() = default;

    virtual void run(const Batch& batch, Index task, T* scratch) const noexcept = 0;
    virtual Index tasks(Index rows) const noexcept {
        return split == Split::rows ? divide_up(rows, rows_a_task) : divide_up(cols, panel);
    }
    virtual double work(Index rows) const noexcept { return 16.0 * double(rows) * double(cols); }  // about: flops

    const Table<T>& k;
    const std::string label;
    const Split split;
    const Index cols, panel;
    const bool local;  // task i reads only what task i of the step before it wrote

protected:
    Index first_column(Index task) const noexcept { return task * panel; }
    Index columns(Index task) const noexcept { return cols - task * panel < panel ? cols - task * panel : panel; }
};

template <class A>
View<A> at_column(View<A> v, Index column) noexcept {
    return {v.data + column, v.ld};
}
template <class A>
A* at_column(A* p, Index column) noexcept {
    return p ? p + column : nullptr;
}
template <class T>
View<const T> readonly(View<T> v) noexcept {
    return {v.data, v.ld};
}

// x (n, c) = the batch's rows of the caller's array.
template <class T>
struct GatherRows final : Step<T> {
    Value<T> x;
    GatherRows(const Table<T>& table, Value<T> x) : Step<T>(table, "gather", Split::rows, x.cols, false), x(x) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Index row = task * rows_a_task;
        const Index rows = b.rows - row < rows_a_task ? b.rows - row : rows_a_task;
        const auto* from = static_cast<const char*>(b.x.data) + (b.order ? 0 : row * b.x.row_bytes);
        this->k.gather[int(b.x.source)]({.rows = rows,
                                         .cols = x.cols,
                                         .src = from,
                                         .src_row_bytes = b.x.row_bytes,
                                         .order = at_column(b.order, row),
                                         .dst = {x.data.row(row), x.data.ld}});
    }
};

// z (n, c) = x (n, k) w (k, c) + bias; y = f(z), which may take z's place.
template <class T>
struct DenseForward final : Step<T> {
    Value<T> x;
    View<T> z, y;
    const Tensor<T>*w, *bias;
    Activation activation;
    Params params;

    DenseForward(const Table<T>& table, std::string label, Value<T> x, View<T> z, View<T> y, const Tensor<T>* w,
                 const Tensor<T>* bias, const Activation activation, const Params params)
        : Step<T>(table, std::move(label), Split::columns, w->cols, false),
          x(x),
          z(z),
          y(y),
          w(w),
          bias(bias),
          activation(activation),
          params(params) {}

    double work(Index rows) const noexcept override { return 2.0 * double(rows) * double(x.cols) * double(w->cols); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        const Index c = this->first_column(task);
        this->k.gemm({.m = b.rows,
                      .n = this->columns(task),
                      .k = x.cols,
                      .a = x.data.data,
                      .a_row = x.data.ld,
                      .a_col = 1,
                      .b = w->value.data + c,
                      .b_row = w->value.ld,
                      .b_col = 1,
                      .c = at_column(z, c),
                      .bias = bias ? bias->value.data + c : nullptr,
                      .accumulate = false,
                      .epilogue = activation == Activation::linear && y.data == z.data
                                      ? nullptr
                                      : this->k.activation_forward[int(activation)],
                      .y = at_column(y, c),
                      .params = params,
                      .scratch = scratch});
    }
};

template <class T>
struct ActivationForwardStep final : Step<T> {
    View<T> x, y;
    void (*kernel)(const ActivationForward<T>&) noexcept;
    Params params;

    ActivationForwardStep(const Table<T>& table, std::string label, Split split, bool local, Index cols, View<T> x,
                          View<T> y, void (*kernel)(const ActivationForward<T>&) noexcept, Params params)
        : Step<T>(table, std::move(label), split, cols, local), x(x), y(y), kernel(kernel), params(params) {}

    void run(const Batch& b, Index task, T*) const noexcept override {
        if (this->split == Split::columns) {
            const Index c = this->first_column(task);
            kernel({b.rows, this->columns(task), readonly(at_column(x, c)), at_column(y, c), params});
        } else {
            const Index row = task * rows_a_task;
            const Index rows = b.rows - row < rows_a_task ? b.rows - row : rows_a_task;
            kernel({rows, this->cols, {x.row(row), x.ld}, {y.row(row), y.ld}, params});
        }
    }
};

// dx = dy f'(saved); dx may be dy.
template <class T>
struct ActivationBackwardStep final : Step<T> {
    View<T> dy, saved, dx;
    void (*kernel)(const ActivationBackward<T>&) noexcept;
    Params params;

    ActivationBackwardStep(const Table<T>& table, std::string label, Split split, bool local, Index cols, View<T> dy,
                           View<T> saved, View<T> dx, void (*kernel)(const ActivationBackward<T>&) noexcept,
                           Params params)
        : Step<T>(table, std::move(label), split, cols, local),
          dy(dy),
          saved(saved),
          dx(dx),
          kernel(kernel),
          params(params) {}

    void run(const Batch& b, Index task, T*) const noexcept override {
        if (this->split == Split::columns) {
            const Index c = this->first_column(task);
            kernel({b.rows, this->columns(task), readonly(at_column(dy, c)), readonly(at_column(saved, c)),
                    at_column(dx, c), params});
        } else {
            const Index row = task * rows_a_task;
            const Index rows = b.rows - row < rows_a_task ? b.rows - row : rows_a_task;
            kernel({rows, this->cols, {dy.row(row), dy.ld}, {saved.row(row), saved.ld}, {dx.row(row), dx.ld}, params});
        }
    }
};

// The arrays of one BatchNormalization with the activation that follows it.
template <class T>
struct Norm {
    const Tensor<T>*gamma, *beta, *moving_mean, *moving_variance;  // gamma, beta: null where switched off
    T *mean, *variance;                                            // of the batch
    double momentum, epsilon;
    bool trainable;  // frozen, it infers
    Activation activation;
    Params params;
    bool by_batch(const Batch& b) const noexcept { return b.training && trainable; }
};

template <class T>
const T* values(const Tensor<T>* tensor, Index column) noexcept {
    return tensor ? tensor->value.data + column : nullptr;
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
        const Index c = this->first_column(task), cols = this->columns(task);
        const bool by_batch = norm->by_batch(b);
        if (by_batch)
            this->k.batchnorm_statistics({b.rows, cols, readonly(at_column(x, c)), norm->mean + c, norm->variance + c});
        this->k.batchnorm_forward[int(norm->activation)](
            {.rows = b.rows,
             .cols = cols,
             .x = readonly(at_column(x, c)),
             .y = at_column(y, c),
             .mean = by_batch ? norm->mean + c : values(norm->moving_mean, c),
             .variance = by_batch ? norm->variance + c : values(norm->moving_variance, c),
             .gamma = values(norm->gamma, c),
             .beta = values(norm->beta, c),
             .epsilon = norm->epsilon,
             .params = norm->params});
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
        const auto gradient = [&](const Tensor<T>* t) { return t && t->trainable ? t->gradient.data + c : nullptr; };
        this->k.batchnorm_backward[int(norm->activation)](
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
             .dgamma = gradient(norm->gamma),
             .dbeta = gradient(norm->beta),
             .epsilon = norm->epsilon,
             .params = norm->params,
             .training = by_batch});
        for (const Tensor<T>* t : {norm->gamma, norm->beta})
            if (t && t->trainable) t->norms[task] = this->k.squared_norm(1, cols, {t->gradient.data + c, cols});
    }
};

// dw (k, c) = x' dz, dbias (c) = the column sums of dz, and their squared norms while the panel is in the cache.
template <class T>
struct DenseBackwardWeights final : Step<T> {
    Value<T> x;
    View<T> dz;
    const Tensor<T>*w, *bias;

    DenseBackwardWeights(const Table<T>& table, std::string label, bool local, Value<T> x, View<T> dz,
                         const Tensor<T>* w, const Tensor<T>* bias)
        : Step<T>(table, std::move(label), Split::columns, w->cols, local), x(x), dz(dz), w(w), bias(bias) {}

    double work(Index rows) const noexcept override { return 2.0 * double(rows) * double(x.cols) * double(w->cols); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        const Index c = this->first_column(task), cols = this->columns(task);
        this->k.gemm({.m = x.cols,
                      .n = cols,
                      .k = b.rows,
                      .a = x.data.data,
                      .a_row = 1,
                      .a_col = x.data.ld,
                      .b = dz.data + c,
                      .b_row = dz.ld,
                      .b_col = 1,
                      .c = at_column(w->gradient, c),
                      .bias = nullptr,
                      .accumulate = false,
                      .epilogue = nullptr,
                      .y = {},
                      .params = {},
                      .scratch = scratch});
        w->norms[task] = this->k.squared_norm(w->rows, cols, readonly(at_column(w->gradient, c)));
        if (!bias) return;
        this->k.column_sums(b.rows, cols, readonly(at_column(dz, c)), bias->gradient.data + c);
        bias->norms[task] = this->k.squared_norm(1, cols, {bias->gradient.data + c, cols});
    }
};

// dx (n, k) = dz (n, c) w'.
template <class T>
struct DenseBackwardInput final : Step<T> {
    View<T> dz, dx;
    const Tensor<T>* w;

    DenseBackwardInput(const Table<T>& table, std::string label, View<T> dz, View<T> dx, const Tensor<T>* w)
        : Step<T>(table, std::move(label), Split::columns, w->rows, false), dz(dz), dx(dx), w(w) {}

    double work(Index rows) const noexcept override { return 2.0 * double(rows) * double(w->rows) * double(w->cols); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        const Index c = this->first_column(task);
        this->k.gemm({.m = b.rows,
                      .n = this->columns(task),
                      .k = w->cols,
                      .a = dz.data,
                      .a_row = dz.ld,
                      .a_col = 1,
                      .b = w->value.row(c),
                      .b_row = 1,
                      .b_col = w->value.ld,
                      .c = at_column(dx, c),
                      .bias = nullptr,
                      .accumulate = false,
                      .epilogue = nullptr,
                      .y = {},
                      .params = {},
                      .scratch = scratch});
    }
};

}  // namespace fusednet
