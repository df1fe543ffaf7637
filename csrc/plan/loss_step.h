// The end of the forward pass: targets fetched, loss, its gradient and the count of right answers in one pass.
#pragma once

#include "steps.h"

namespace fusednet {

template <class T>
struct LossStep final : Step<T> {
    Value<T> x;  // the network's last values: probabilities, logits or plain outputs
    View<T> targets;
    int32_t* labels;  // null where targets are rows
    Loss kind;
    double threshold;  // of a single output: what counts as a yes
    double* losses;    // one a task
    Index* correct;    // one a task

    LossStep(const Table<T>& table, std::string label, Value<T> x, View<T> targets, int32_t* labels, Loss kind,
             double threshold, double* losses, Index* correct)
        : Step<T>(table, std::move(label), Split::rows, x.cols, false),
          x(x),
          targets(targets),
          labels(labels),
          kind(kind),
          threshold(threshold),
          losses(losses),
          correct(correct) {}

    void run(const Batch& b, Index task, T*) const noexcept override {
        const Index row = task * rows_a_task;
        const Index rows = b.rows - row < rows_a_task ? b.rows - row : rows_a_task;
        const View<T> at{x.data.row(row), x.data.ld};
        int32_t* label = nullptr;
        View<T> target{};
        if (labels) {
            label = labels + row;
            for (Index i = 0; i < rows; ++i) label[i] = b.targets.labels[b.order ? b.order[row + i] : row + i];
        } else {
            target = {targets.row(row), targets.ld};
            const Rows& from = b.targets.values;
            this->k.gather[int(from.source)](
                {.rows = rows,
                 .cols = x.cols,
                 .src = static_cast<const char*>(from.data) + (b.order ? 0 : row * from.row_bytes),
                 .src_row_bytes = from.row_bytes,
                 .order = at_column(b.order, row),
                 .dst = target});
        }
        double sums[2] = {};
        this->k.metric[int(Metric::accuracy)](
            {rows, x.cols, readonly(at), label, readonly(target), {{threshold}}, sums});
        correct[task] = Index(sums[0]);
        this->k.loss[int(kind)]({.rows = rows,
                                 .cols = x.cols,
                                 .x = readonly(at),
                                 .labels = label,
                                 .targets = readonly(target),
                                 .y = {},
                                 .dx = b.gradients ? View<T>{x.gradient.row(row), x.gradient.ld} : View<T>{},
                                 .scale = b.loss_scale,
                                 .loss = losses + task});
    }
};

}  // namespace fusednet
