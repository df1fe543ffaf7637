// Dense layers: products with the weights and with their transpose. DropConnect masks the weights of a pass; Maxout
// takes the largest of several products.
#pragma once

#include "step.h"

namespace fusednet {

// The arrays of one Dense layer.
template <class T>
struct DenseArrays {
    const Tensor<T>*w = nullptr, *bias = nullptr;  // (k, c), (c) or null
    View<T> masked;                                // (k, c): w with this pass's connections dropped, or null
    Params drop;
    uint64_t layer = 0;

    bool drops(const Batch& b) const noexcept { return masked.data && b.training; }
    View<T> used(const Batch& b) const noexcept { return drops(b) ? masked : w->value; }
};

// z (n, c) = x (n, k) w (k, c) + bias; y = f(z), which may take z's place.
template <class T>
struct DenseForward final : Step<T> {
    Value<T> x;
    View<T> z, y;
    const DenseArrays<T>* dense;
    ActivationUse<T> f;

    DenseForward(const Table<T>& table, std::string label, Value<T> x, View<T> z, View<T> y,
                 const DenseArrays<T>* dense, ActivationUse<T> f)
        : Step<T>(table, std::move(label), Split::columns, dense->w->cols, false),
          x(x),
          z(z),
          y(y),
          dense(dense),
          f(f) {}

    double work(Index rows) const noexcept override { return 2.0 * double(rows) * double(x.cols) * double(this->cols); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        const Gemm<T> g = product(b, task, scratch);
        if (g.epilogue && this->k.at_once) return this->k.at_once->dense_forward[int(f.kind)](g, this->k.gemm);
        this->k.gemm(g);
    }
    // The weights are masked already.
    Gemm<T> product(const Batch& b, Index task, T* scratch) const noexcept {
        const Index c = this->first_column(task), cols = this->columns(task);
        if (dense->drops(b))
            this->k.noise_forward[int(Noise::dropout)]({x.cols, cols, readonly(at_column(dense->w->value, c)),
                                                        at_column(dense->masked, c), dense->drop,
                                                        draw_of(b, dense->layer, 0, c, this->cols)});
        const View<T> w = dense->used(b);
        return {.m = b.rows,
                .n = cols,
                .k = x.cols,
                .a = x.data.data,
                .a_row = x.data.ld,
                .a_col = 1,
                .b = w.data + c,
                .b_row = w.ld,
                .b_col = 1,
                .c = at_column(z, c),
                .bias = dense->bias ? dense->bias->value.data + c : nullptr,
                .epilogue = f.kind == Activation::linear && y.data == z.data ? nullptr
                                                                             : this->k.activation_forward[int(f.kind)],
                .y = at_column(y, c),
                .params = f.params,
                .slope = f.slope ? f.slope->forward(this->k, b, this->cols, c, cols) : View<const T>{},
                .scratch = scratch};
    }
};

// Is |dw|^2 = sum (x x') o (dz dz') cheap beside the product x' dz? Half of the two symmetric matrices is computed:
// n^2 (k + c) operations, at most one in six of the product's own 2 n k c or, for small batches, 16 an element.
inline bool gram_pays(Index n, Index k, Index c) noexcept {
    const double most = n > 48 ? double(n) / 3.0 : 16.0;
    return double(n) * double(n) * double(k + c) <= most * double(k) * double(c);
}

// dw (k, c) = x' dz where it is stored, dbias (c) = the column sums of dz, and their squared norms while the panel is
// in the cache.
template <class T>
struct DenseBackwardWeights final : Step<T> {
    Value<T> x;
    View<T> dz;
    const DenseArrays<T>* dense;

    DenseBackwardWeights(const Table<T>& table, std::string label, bool local, Value<T> x, View<T> dz,
                         const DenseArrays<T>* dense)
        : Step<T>(table, std::move(label), Split::columns, dense->w->cols, local), x(x), dz(dz), dense(dense) {}

    double work(Index rows) const noexcept override {
        return (dense->w->stored ? 2.0 * double(x.cols) : 1.0) * double(rows) * double(this->cols);
    }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        if (dense->bias) {
            const ColumnSums<T> sums = bias_sums(b, task);
            this->k.column_sums(sums.rows, sums.cols, sums.x, sums.sums);
        }
        if (dense->w->stored) this->k.gemm(product(b, task, scratch));
        finish(b, task);
    }
    ColumnSums<T> bias_sums(const Batch& b, Index task) const noexcept {
        const Index c = this->first_column(task);
        return {b.rows, this->columns(task), readonly(at_column(dz, c)), dense->bias->gradient.data + c};
    }
    Gemm<T> product(const Batch& b, Index task, T* scratch) const noexcept {
        const Index c = this->first_column(task);
        return {.m = x.cols,
                .n = this->columns(task),
                .k = b.rows,
                .a = x.data.data,
                .a_row = 1,
                .a_col = x.data.ld,
                .b = dz.data + c,
                .b_row = dz.ld,
                .b_col = 1,
                .c = at_column(dense->w->gradient, c),
                .scratch = scratch};
    }
    void finish(const Batch& b, Index task) const noexcept {
        const Index c = this->first_column(task);
        if (dense->bias) finish_gradient(this->k, *dense->bias, b, task);
        if (!dense->w->stored) return;
        const View<T> dw = at_column(dense->w->gradient, c);
        if (dense->drops(b))
            this->k.noise_backward[int(Noise::dropout)]({x.cols, this->columns(task), readonly(dw), dw, dense->drop,
                                                         draw_of(b, dense->layer, 0, c, this->cols)});
        if (!dense->w->measured || !gram_pays(b.rows, dense->w->rows, dense->w->cols))
            finish_gradient(this->k, *dense->w, b, task);
    }
};

// dx (n, k) = dz (n, c) w'.
template <class T>
struct DenseBackwardInput final : Step<T> {
    View<T> dz, dx;
    const DenseArrays<T>* dense;

    DenseBackwardInput(const Table<T>& table, std::string label, View<T> dz, View<T> dx, const DenseArrays<T>* dense)
        : Step<T>(table, std::move(label), Split::columns, dense->w->rows, false), dz(dz), dx(dx), dense(dense) {}

    double work(Index rows) const noexcept override {
        return 2.0 * double(rows) * double(dense->w->rows) * double(dense->w->cols);
    }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        this->k.gemm(product(b, task, scratch));
    }
    Gemm<T> product(const Batch& b, Index task, T* scratch) const noexcept {
        const Index c = this->first_column(task);
        const View<T> w = dense->used(b);
        return {.m = b.rows,
                .n = this->columns(task),
                .k = dense->w->cols,
                .a = dz.data,
                .a_row = dz.ld,
                .a_col = 1,
                .b = w.row(c),
                .b_row = 1,
                .b_col = w.ld,
                .c = at_column(dx, c),
                .scratch = scratch};
    }
};

// Both of them on a device, which is asked for all that reads dz at once.
template <class T>
struct DenseBackward final : Step<T> {
    DenseBackwardWeights<T> weights;
    std::unique_ptr<DenseBackwardInput<T>> input;  // null: dx is not wanted

    DenseBackward(const Table<T>& table, const std::string& label, Value<T> x, View<T> dz, bool through,
                  const DenseArrays<T>* dense)
        : Step<T>(table, "dense_backward " + label, Split::columns, dense->w->cols, true),
          weights(table, "", true, x, dz, dense),
          input(through ? std::make_unique<DenseBackwardInput<T>>(table, "", dz, x.gradient, dense) : nullptr) {}

    double work(Index rows) const noexcept override { return weights.work(rows) + (input ? input->work(rows) : 0.0); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        const bool biased = weights.dense->bias != nullptr;
        const Gemm<T> products[] = {weights.product(b, task, scratch),
                                    input ? input->product(b, task, scratch) : Gemm<T>{}};
        const ColumnSums<T> sums = biased ? weights.bias_sums(b, task) : ColumnSums<T>{};
        this->k.at_once->products(products, input ? 2 : 1, biased ? &sums : nullptr, this->k.gemm);
        weights.finish(b, task);
    }
};

// y (n, c) = the largest of the pieces of z (n, pieces c).
template <class T>
struct MaxoutForwardStep final : Step<T> {
    View<T> z, y;
    Index pieces;
    MaxoutForwardStep(const Table<T>& table, std::string label, Index cols, Index pieces, View<T> z, View<T> y)
        : Step<T>(table, std::move(label), Split::rows, cols, false), z(z), y(y), pieces(pieces) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.maxout_forward({part.rows, part.cols, pieces, readonly(at(z, part)), at(y, part)});
    }
};

template <class T>
struct MaxoutBackwardStep final : Step<T> {
    View<T> dy, z, y, dz;
    Index pieces;
    MaxoutBackwardStep(const Table<T>& table, std::string label, Index cols, Index pieces, View<T> dy, View<T> z,
                       View<T> y, View<T> dz)
        : Step<T>(table, std::move(label), Split::rows, cols, true), dy(dy), z(z), y(y), dz(dz), pieces(pieces) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.maxout_backward({part.rows, part.cols, pieces, readonly(at(dy, part)), readonly(at(z, part)),
                                 readonly(at(y, part)), at(dz, part)});
    }
};

}  // namespace fusednet
