// The pieces a plan is made of. A step is a number of independent tasks, split by columns (a panel of features
// stays with one thread through matrix product, statistics, activation and gradient) or by rows. Sizes follow
// table.h: n rows of the batch, c columns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../base/at_once.h"
#include "../base/table.h"
#include "spec.h"

namespace fusednet {

constexpr Index divide_up(Index a, Index b) noexcept {
    return (a + b - 1) / b;
}

constexpr Index rows_a_task = 64;

// A device takes the whole of an array at once: its steps have one task.
template <class T>
Index row_tasks(const Table<T>& table, Index rows) noexcept {
    return table.device ? 1 : divide_up(rows, rows_a_task);
}

// Features with the same owner: wide enough for full register tiles, narrow enough to give every thread some.
constexpr Index panel_columns(Index cols) noexcept {
    return cols <= 32 ? 16 : cols < 512 ? 32 : cols < 2048 ? 64 : 256;
}
template <class T>
Index panel_columns(const Table<T>& table, Index cols) noexcept {
    return table.device ? (cols > 0 ? cols : 1) : panel_columns(cols);
}

// Samples in the caller's memory.
struct Rows {
    const void* data = nullptr;
    Index row_bytes = 0;
    Source source = Source::float32;
    bool there = false;  // that is the memory of the plan's device; labels and weights are the host's always
};

struct Targets {
    const int32_t* labels = nullptr;  // or:
    Rows values;
    const double* weights = nullptr;  // of the samples; null: 1
};

// What one pass over a batch tells its steps.
struct Batch {
    Index rows = 0;
    bool training = false;   // batch statistics and random layers
    bool gradients = false;  // a backward pass follows
    Rows x;
    Targets targets;
    const int64_t* order = nullptr;  // rows of x and targets, or null: the first `rows` rows
    double loss_scale = 1.0;
    uint64_t seed = 0, pass = 0;  // random layers draw by them
    // On a device that looks up where it stands: the row that it begins at, and what is added to `pass`.
    const Cursor* cursor = nullptr;
    const uint64_t* pass_at = nullptr;
    double accumulated_scale = 0.0;  // of the gradients kept from earlier batches and this one's; 0: this one's alone
};

// The draws of one layer in one pass. The streams below 2^44 are the shuffles' and the first weights'.
inline Draw draw_of(const Batch& b, uint64_t layer, Index row, Index column, Index width) noexcept {
    return {b.seed, ((layer + 1) << 44) + b.pass, row, column, width, b.pass_at};
}

// An array of the network's state.
template <class T>
struct Tensor {
    std::string name, layer;
    const char* role;
    Index rows, cols;
    bool vector, trainable;
    RoleSpec rules;
    View<T> value, gradient;
    T* slot[max_slots];
    View<T> average;      // moving average of the values, or null
    View<T> accumulator;  // sum of earlier batches' gradients, or null
    double* norms;        // squared norm of the gradient, a number a panel; of a measured one the first alone
    Index width;          // columns of a panel
    Index panels;
    double* penalties;      // a number a panel, or null
    double* scale;          // of the gradient in the next update: clipping by norm
    bool stored = false;    // its gradient has a place
    bool measured = false;  // what has to be known of its gradient is found by a step of its own, see steps_gradient.h
    int rate = 0;           // which of the step's scalars
    bool decays = false;

    Index panel() const noexcept { return width; }
    Index columns(Index task) const noexcept {
        return cols - task * panel() < panel() ? cols - task * panel() : panel();
    }
};

// What flows between layers, and the gradient of the loss with respect to it.
template <class T>
struct Value {
    Index cols;
    View<T> data, gradient;
};

// Where a pass finds the targets of its batch: labels, or rows of `cols` values; and the weights of its samples.
template <class T>
struct TargetRows {
    Index cols = 0;
    int32_t* labels = nullptr;
    View<T> values = {};
    T* weights = nullptr;  // null: there is no loss
};

enum class Split { rows, columns };

template <class T>
class Step {
public:
    Step(const Table<T>& table, std::string name, Split by, Index count, bool follows)
        : k(table),
          label(std::move(name)),
          split(by),
          cols(count),
          panel(panel_columns(table, count)),
          local(follows) {}
    virtual ~Step() = default;

    virtual void run(const Batch& batch, Index task, T* scratch) const noexcept = 0;
    virtual Index tasks(Index rows) const noexcept {
        return split == Split::rows ? row_tasks(k, rows) : divide_up(cols, panel);
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

// The part of a matrix that one task works on.
struct Part {
    Index row, col, rows, cols;
};

template <class T>
Part part_of(const Step<T>& step, const Batch& b, Index task) noexcept {
    if (step.split == Split::columns) {
        const Index col = task * step.panel;
        return {0, col, b.rows, step.cols - col < step.panel ? step.cols - col : step.panel};
    }
    if (step.k.device) return {0, 0, b.rows, step.cols};
    const Index row = task * rows_a_task;
    return {row, 0, b.rows - row < rows_a_task ? b.rows - row : rows_a_task, step.cols};
}

template <class A>
View<A> at_column(View<A> v, Index column) noexcept {
    return {v.data + column, v.ld};
}
template <class A>
A* at_column(A* p, Index column) noexcept {
    return p ? p + column : nullptr;
}
template <class A>
View<A> at(View<A> v, const Part& part) noexcept {
    return {v.row(part.row) + part.col, v.ld};
}
template <class T>
View<const T> readonly(View<T> v) noexcept {
    return {v.data, v.ld};
}

// The gradient of a panel is complete: penalties are added, earlier batches' gradients, and its norm is taken while it
// is in the cache.
template <class T>
void finish_gradient(const Table<T>& k, const Tensor<T>& t, const Batch& b, Index task) noexcept {
    const Index c = task * t.panel(), cols = t.columns(task);
    const View<T> g = at_column(t.gradient, c);
    if (t.penalties)
        k.penalty_gradient({t.rows, cols, readonly(at_column(t.value, c)), g, t.rules.l1, t.rules.l2}, t.norms + task);
    if (b.accumulated_scale > 0.0)
        k.accumulate({t.rows, cols, at_column(t.accumulator, c), g, b.accumulated_scale}, t.norms + task);
    else if (!t.penalties && !k.device)  // a device takes those of all gradients at once
        k.squared_norm(t.rows, cols, readonly(g), t.norms + task);
}

// Where the negative slope of an activation comes from (PReLU, RReLU); nothing for other activations.
template <class T>
struct SlopeSource {
    Slope from = Slope::none;
    const Tensor<T>* alpha = nullptr;  // learned
    bool shared = false;
    View<T> draws;      // (n, c), random
    T* row = nullptr;   // (c): a shared slope, or the mean of the random ones, spread out
    T* sums = nullptr;  // (c): gradients of a shared slope, a column each
    double low = 0.0, high = 0.0;
    uint64_t layer = 0;

    // The slopes of some columns; a forward pass draws them.
    View<const T> forward(const Table<T>& k, const Batch& b, Index cols_of_layer, Index c, Index cols) const noexcept {
        if (from == Slope::random && b.training)
            k.uniform({b.rows, cols, at_column(draws, c), low, high, draw_of(b, layer, 0, c, cols_of_layer)});
        if (row && !(from == Slope::random && b.training))
            k.fill({cols, row + c, alpha ? alpha->value.data : nullptr, 0.5 * (low + high)});
        return current(b, c);
    }
    View<const T> current(const Batch& b, Index c) const noexcept {
        if (from == Slope::none) return {};
        if (from == Slope::random && b.training) return readonly(at_column(draws, c));
        return {row ? row + c : alpha->value.data + c, 0};
    }
    T* gradient(Index c) const noexcept {
        if (!alpha || !alpha->trainable) return nullptr;
        return shared ? sums + c : alpha->gradient.data + c;
    }
    // Of one panel; a shared slope is finished by a step of its own.
    void finish(const Table<T>& k, const Batch& b, Index task) const noexcept {
        if (alpha && alpha->trainable && !shared) finish_gradient(k, *alpha, b, task);
    }
};

// An activation with its parameters and slopes, as steps need it.
template <class T>
struct ActivationUse {
    Activation kind = Activation::linear;
    Params params;
    const SlopeSource<T>* slope = nullptr;
};

}  // namespace fusednet
