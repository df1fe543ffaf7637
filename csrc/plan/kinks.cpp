// Where a loss has no derivative: inputs of piecewise functions that lie on a bend, layer by layer. It allocates what
// it needs: no step of training asks for it.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "../cpu/pick.h"
#include "plan.h"

namespace fusednet {
namespace {

constexpr double reach = 1e-7;  // how close to a bend an input lies on it: differences see no slope beside it either
constexpr double jump = 1e-5;   // of a derivative, within twice that reach

template <class T>
struct Matrix {
    std::vector<T> values;
    View<T> view;
    Matrix(Index rows, Index cols, double value = 0.0)
        : values(size_t(rows * cols), T(value)), view{values.data(), cols} {}
};

template <class T, class S>
void run_all(const S& step, const Batch& batch, T* scratch) {
    for (Index task = 0; task < step.tasks(batch.rows); ++task) step.run(batch, task, scratch);
}

// x a little to one side.
template <class T>
void shift(Index rows, Index cols, View<const T> x, double side, View<T> out) {
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < cols; ++j) {
            const double value = double(x.row(i)[j]);
            out.row(i)[j] = T(value + side * reach * std::fmax(1.0, std::fabs(value)));
        }
}

template <class T>
Index jumps(const Matrix<T>& left, const Matrix<T>& right, double least) {
    Index count = 0;
    for (size_t i = 0; i < left.values.size(); ++i)
        count += std::fabs(double(left.values[i] - right.values[i])) > least;
    return count;
}

// Whether two of n values share the maximum; `at` gives them.
template <class F>
bool shared_maximum(Index n, F at) {
    double most = at(0), next = -INFINITY;
    for (Index i = 1; i < n; ++i) {
        const double value = at(i);
        next = std::fmax(next, std::fmin(most, value));
        most = std::fmax(most, value);
    }
    return next >= most - reach;
}

}  // namespace

template <class T>
Index Plan<T>::bends_of(const Bend& bend, const Batch& batch) {
    const Index rows = batch.rows, width = bend.cols * bend.pieces;
    Matrix<T> z(rows, width);
    View<const T> x = readonly(bend.x.data);
    if (bend.dense) {
        const DenseForward<T> dense(table_, "", bend.x, z.view, z.view, bend.dense, {});
        run_all(dense, batch, scratch_);
        x = readonly(z.view);
    }
    Index count = 0;
    if (bend.pieces > 1) {
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < bend.cols; ++j)
                count += shared_maximum(bend.pieces, [&](Index piece) { return x.row(i)[piece * bend.cols + j]; });
        return count;
    }
    if (bend.norm) {
        Norm<T> norm = *bend.norm;
        norm.f = {};
        const NormForward<T> forward(table_, "", false, width, View<T>{const_cast<T*>(x.data), x.ld}, z.view, &norm);
        run_all(forward, batch, scratch_);
        x = readonly(z.view);
    }
    Matrix<T> at(rows, width), y(rows, width), ones(rows, width, 1.0), left(rows, width), right(rows, width);
    const View<const T> slope = bend.f.slope ? bend.f.slope->current(batch, 0) : View<const T>{};
    const bool from_output = formulas().activation[int(bend.f.kind)].from_output;
    for (const double side : {-1.0, 1.0}) {
        shift(rows, width, x, side, at.view);
        table_.activation_forward[int(bend.f.kind)]({rows, width, readonly(at.view), y.view, bend.f.params, slope});
        table_.activation_backward[int(bend.f.kind)](
            {rows, width, readonly(ones.view), readonly(from_output ? y.view : at.view),
             side < 0 ? left.view : right.view, bend.f.params, slope, nullptr});
    }
    return jumps(left, right, jump);
}

template <class T>
Index Plan<T>::bends_of(const PoolRegions& r, View<const T> x, Index rows) const {
    Index count = 0;
    const auto in_region = [&](const T* image, Index i, Index j, Index channel) {
        const Index width = r.col_end[j] - r.col_begin[j];
        return shared_maximum((r.row_end[i] - r.row_begin[i]) * width, [&](Index k) {
            const Index row = r.row_begin[i] + k / width, col = r.col_begin[j] + k % width;
            return image[(row * r.spec.width + col) * r.spec.channels + channel];
        });
    };
    for (Index n = 0; n < rows; ++n)
        for (Index i = 0; i < r.spec.out_height; ++i)
            for (Index j = 0; j < r.spec.out_width; ++j)
                for (Index channel = 0; channel < r.spec.channels; ++channel)
                    count += in_region(x.row(n), i, j, channel);
    return count;
}

template <class T>
Index Plan<T>::bends_of_loss(Batch batch) {
    const auto& loss = static_cast<const LossStep<T>&>(*loss_.front().steps.front());
    Matrix<T> at(batch.rows, last_.cols), left(batch.rows, last_.cols), right(batch.rows, last_.cols);
    std::vector<double> sums(size_t(loss.tasks(batch.rows)));
    const std::vector<MetricUse> none;
    batch.gradients = true;
    for (const double side : {-1.0, 1.0}) {
        shift(batch.rows, last_.cols, readonly(last_.data), side, at.view);
        LossStep<T> moved = loss;
        moved.x = {last_.cols, at.view, side < 0 ? left.view : right.view};
        moved.outputs = {};
        moved.metrics = &none;
        moved.losses = sums.data();
        run_all(moved, batch, scratch_);
    }
    double largest = batch.loss_scale / double(last_.cols);
    for (const T value : left.values) largest = std::fmax(largest, std::fabs(double(value)));
    return jumps(left, right, jump * largest);
}

// The batch's inputs on a bend, by layer; parameters on the bend of their penalty, by name; "loss" for outputs on the
// loss's own.
template <class T>
std::vector<std::pair<std::string, Index>> Plan<T>::kinks(const Rows& x, const Targets& y, Index rows) {
    const Turn turn = use();
    if (table_.device) throw std::runtime_error("[kinks] expects a plan of the CPU, got one of a device");
    Batch batch = batch_at(x, y, nullptr, 0, rows);
    batch.training = true;
    Interrupt never;
    run(forward_, batch, never);
    std::vector<std::pair<std::string, Index>> found;
    const auto add = [&](const std::string& name, Index count) {
        if (count > 0) found.push_back({name, count});
    };
    for (const Bend& bend : bends_)
        add(bend.layer, bend.regions ? bends_of(*bend.regions, readonly(bend.x.data), rows) : bends_of(bend, batch));
    add("loss", bends_of_loss(batch));
    for (const auto& t : tensors_) {
        Index count = 0;
        for (Index i = 0; t->penalties && t->rules.l1 > 0.0 && i < t->rows; ++i)
            for (Index j = 0; j < t->cols; ++j) count += std::fabs(double(t->value.row(i)[j])) <= reach;
        add(t->name, count);
    }
    return found;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
