// The end of the forward pass: targets fetched (which a device has from the beginning of it), loss, its gradient and
// the metrics' sums in one pass; and penalties, which are part of the loss.
#pragma once

#include <algorithm>

#include "step.h"

namespace fusednet {

// A metric and its sums, `width` numbers a task.
struct MetricUse {
    MetricSpec spec;
    Index width;
    double* sums;
};

template <class T>
struct LossStep final : Step<T> {
    Value<T> x;       // the network's last values: probabilities, logits or plain outputs
    View<T> outputs;  // what metrics look at, where the loss computes it from x: null if x is it
    const TargetRows<T>* target_rows;
    View<T> smoothed;  // targets with label smoothing, or null
    LossSpec spec;
    Loss kind;    // spec's, or the one that contains the output activation
    bool binary;  // targets are smoothed towards one half, not towards the mean over the classes
    const std::vector<MetricUse>* metrics;
    double* losses;  // one a task

    LossStep(const Table<T>& table, std::string label, Value<T> x, View<T> outputs, const TargetRows<T>* target_rows,
             View<T> smoothed, LossSpec spec, Loss kind, bool binary, const std::vector<MetricUse>* metrics,
             double* losses)
        : Step<T>(table, std::move(label), Split::rows, x.cols, false),
          x(x),
          outputs(outputs),
          target_rows(target_rows),
          smoothed(smoothed),
          spec(spec),
          kind(kind),
          binary(binary),
          metrics(metrics),
          losses(losses) {}

    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        int32_t* const label = labels_of(part);
        const View<T> target = values_of(part);
        T* const weight = b.targets.weights ? target_rows->weights + part.row : nullptr;
        if (!this->k.device) fetch(b, part, label, target, weight);
        View<const T> wanted = readonly(target);
        if (smoothed.data) {
            const View<T> smooth = at(smoothed, part);
            if (!label) this->k.scaled_add({part.rows, part.cols, {}, wanted, nullptr, smooth});
            this->k.smooth_targets({part.rows, part.cols, label, smooth, spec.smoothing, binary});
            wanted = readonly(smooth);
        }
        const View<T> y = outputs.data && !metrics->empty() ? at(outputs, part) : View<T>{};
        this->k.loss[int(kind)]({.rows = part.rows,
                                 .cols = part.cols,
                                 .x = readonly(at(x.data, part)),
                                 .labels = smoothed.data ? nullptr : label,
                                 .targets = wanted,
                                 .y = y,
                                 .dx = b.gradients ? at(x.gradient, part) : View<T>{},
                                 .scale = b.loss_scale,
                                 .loss = losses + task,
                                 .params = spec.params,
                                 .weights = weight});
        if (!this->k.device || !b.gradients) measure(b, task);  // a device does not know yet whether the step counts
    }

    // The metrics of what `run` has left.
    void measure(const Batch& b, Index task) const noexcept {
        const Part part = part_of(*this, b, task);
        for (const MetricUse& metric : *metrics) {
            double* sums = metric.sums + task * metric.width;
            if (!this->k.device) std::fill(sums, sums + metric.width, 0.0);  // a device's grow with the batches
            this->k.metric[int(metric.spec.kind)]({part.rows, part.cols,
                                                   readonly(at(outputs.data ? outputs : x.data, part)), labels_of(part),
                                                   readonly(values_of(part)), metric.spec.params, sums});
        }
    }

private:
    int32_t* labels_of(const Part& part) const noexcept { return at_column(target_rows->labels, part.row); }
    View<T> values_of(const Part& part) const noexcept {
        return target_rows->values.data ? at(target_rows->values, part) : View<T>{};
    }
    void fetch(const Batch& b, const Part& part, int32_t* label, View<T> target, T* weight) const noexcept {
        const int64_t* const order = at_column(b.order, part.row);
        if (label) {
            this->k.gather_labels(part.rows, b.targets.labels + (order ? 0 : part.row), order, label);
        } else {
            const Rows& from = b.targets.values;
            this->k.gather[int(from.source)](
                {.rows = part.rows,
                 .cols = x.cols,
                 .src = static_cast<const char*>(from.data) + (b.order ? 0 : part.row * from.row_bytes),
                 .src_row_bytes = from.row_bytes,
                 .order = order,
                 .dst = target});
        }
        if (weight)
            this->k.gather[int(Source::float64)]({.rows = part.rows,
                                                  .cols = 1,
                                                  .src = b.targets.weights + (order ? 0 : part.row),
                                                  .src_row_bytes = sizeof(double),
                                                  .order = order,
                                                  .dst = {weight, 1}});
    }
};

// The penalty on a parameter; its gradient is added where that of the parameter is finished.
template <class T>
struct PenaltyStep final : Step<T> {
    const Tensor<T>* tensor;
    PenaltyStep(const Table<T>& table, std::string label, const Tensor<T>* tensor)
        : Step<T>(table, std::move(label), Split::columns, tensor->cols, false), tensor(tensor) {}
    double work(Index) const noexcept override { return 4.0 * double(tensor->rows) * double(tensor->cols); }
    void run(const Batch&, Index task, T*) const noexcept override {
        this->k.penalty_value(
            {tensor->rows, tensor->columns(task), readonly(at_column(tensor->value, this->first_column(task))),
             tensor->rules.l1, tensor->rules.l2},
            tensor->penalties + task);
    }
};

// The penalty on a layer's outputs, the mean over the batch.
template <class T>
struct ActivityPenalty {
    Value<T> y;
    double l1, l2;
    double* values;  // a number a task
};

template <class T>
struct ActivityPenaltyStep final : Step<T> {
    const ActivityPenalty<T>* penalty;
    ActivityPenaltyStep(const Table<T>& table, std::string label, const ActivityPenalty<T>* penalty)
        : Step<T>(table, std::move(label), Split::rows, penalty->y.cols, false), penalty(penalty) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.penalty_value({part.rows, part.cols, readonly(at(penalty->y.data, part)), penalty->l1 / double(b.rows),
                               penalty->l2 / double(b.rows)},
                              penalty->values + task);
    }
};

template <class T>
struct ActivityGradientStep final : Step<T> {
    const ActivityPenalty<T>* penalty;
    ActivityGradientStep(const Table<T>& table, std::string label, const ActivityPenalty<T>* penalty)
        : Step<T>(table, std::move(label), Split::columns, penalty->y.cols, true), penalty(penalty) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.penalty_gradient(
            {part.rows, part.cols, readonly(at(penalty->y.data, part)), at(penalty->y.gradient, part),
             penalty->l1 / double(b.rows), penalty->l2 / double(b.rows)},
            nullptr);
    }
};

}  // namespace fusednet
