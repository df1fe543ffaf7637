// The end of a step, before anything changes: is the loss finite, are gradients and statistics fit for an update, and
// what clipping by norm makes of them? Numbers only, so that a device can decide without its host. Compiled for both.
#pragma once

#include <stdint.h>

namespace fusednet {

enum class Status : int32_t { ok, loss, gradient, statistics, interrupted };

struct Verdict {
    Status status;
    int32_t index;  // of the tensor or of the statistics that are not fit
    double value;   // the loss, or that gradient's norm
    double norm;    // global norm of the gradient before clipping; without clipping by norm it may be a bound above it
};

// Of the steps so far.
struct Totals {
    double loss;           // sum over samples
    double weighted_loss;  // sum over batches of (rows x the batch's sum)
    double penalty;        // sum over batches of (rows x the penalties)
    int64_t samples, steps;
};

// What one parameter's update goes by.
struct TensorRule {
    double rate;  // the optimizer's is multiplied by it
    bool decays;
};

struct Clipping {
    double value, norm, global_norm;  // infinity: none
};

struct StepScalars;

// Where a device stands in what the host has sent it for many steps.
struct Cursor {
    int64_t row, step;
    uint64_t pass;
};

struct Judgement {
    int64_t rows;
    double loss_scale;
    int32_t losses, penalties, activities, tensors, statistics;  // how many numbers there are of each
    const double *loss, *penalty, *activity;                     // sums over parts of the batch or of the network
    const double* squares;                                       // of each gradient's elements
    const TensorRule* rules;
    double* scales;  // out: of each gradient in the update
    Clipping clipping;
    bool checks;   // the loss has to be finite
    bool updates;  // gradients have to be fit for an update
    const double* learning_rate;
    double weight_decay, largest;
    const double* sound;  // of each statistics: 0 where all are finite
    Verdict* verdict;
    Totals* totals;  // null: not counted
    // Where it stands, or null. `now` is taken from `ahead` before anything is judged by it; then the cursor moves on.
    Cursor* cursor;
    int32_t multipliers;  // scalars a step
    const StepScalars* ahead;
    StepScalars* now;
};

constexpr bool finite(double x) noexcept {
    return x - x == 0.0;
}

constexpr double sum_of(const double* x, int32_t n) noexcept {
    double sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += x[i];
    return sum;
}

// What an update multiplies a gradient of this norm with, given that of all of them.
constexpr double scale_of(const Judgement& j, double norm, double global) noexcept {
    if (global > j.clipping.global_norm) return j.clipping.global_norm / global;
    return norm > j.clipping.norm ? j.clipping.norm / norm : 1.0;
}

// Do squares of the gradient and steps along it stay far from the type's largest number?
constexpr bool is_fit(const Judgement& j, int32_t i, double norm, double scale) noexcept {
    const double rate = *j.learning_rate * j.rules[i].rate, root = __builtin_sqrt(j.largest);
    const double by_rate = 1e-3 * j.largest / (rate > 1.0 ? rate : 1.0);
    const double limit = 0.1 * root < by_rate ? 0.1 * root : by_rate;
    const double decay = j.rules[i].decays ? rate * j.weight_decay : 0.0;
    const double scaled = norm * scale, most = scaled < j.clipping.value ? scaled : j.clipping.value;
    return !j.updates || (most <= limit && rate <= j.largest && decay < root);
}

// Where all gradients are fit.
constexpr Verdict judged_statistics(const Judgement& j, double global) noexcept {
    for (int32_t i = 0; i < j.statistics; ++i)
        if (!(j.sound[i] == 0)) return {Status::statistics, i, __builtin_inf(), global};
    return {Status::ok, 0, 0.0, global};
}

// Also sets each gradient's scale. What is not finite, and what would make weights or second moments infinite, is
// refused.
constexpr Verdict judged_gradients(const Judgement& j) noexcept {
    double total = 0;
    for (int32_t i = 0; i < j.tensors; ++i) {
        const double norm = __builtin_sqrt(j.squares[i]);
        if (!finite(norm)) return {Status::gradient, i, norm, norm};
        total += norm * norm;
    }
    const double global = __builtin_sqrt(total);
    for (int32_t i = 0; i < j.tensors; ++i) {
        const double norm = __builtin_sqrt(j.squares[i]);
        j.scales[i] = scale_of(j, norm, global);
        if (!is_fit(j, i, norm, j.scales[i])) return {Status::gradient, i, norm, norm};
    }
    return judged_statistics(j, global);
}

// The whole of it. gradients() is the verdict on them, which a device finds with many threads.
template <class Gradients>
constexpr void judge(const Judgement& j, const Gradients& gradients) noexcept {
    const double loss = sum_of(j.loss, j.losses);
    const double penalty = sum_of(j.penalty, j.penalties) + sum_of(j.activity, j.activities);
    const double reduced = loss * j.loss_scale + penalty;
    const Verdict verdict = finite(reduced) || !j.checks ? gradients() : Verdict{Status::loss, 0, reduced, 0.0};
    *j.verdict = verdict;
    if (!j.totals || verdict.status != Status::ok) return;
    Totals totals = *j.totals;
    totals.loss += loss;
    totals.weighted_loss += loss * double(j.rows);
    totals.penalty += penalty * double(j.rows);
    totals.samples += j.rows;
    ++totals.steps;
    *j.totals = totals;
}

}  // namespace fusednet
