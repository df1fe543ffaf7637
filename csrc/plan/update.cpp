// The end of a step: gradients measured and clipped, parameters, averages and statistics updated. Nothing changes
// before all of them have been found fit.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "plan.h"

namespace fusednet {
namespace {

// Runs f(i) for each i, by threads where there is enough to do.
template <class T, class F>
void for_tasks(Index tasks, double work, T* scratch, F f) noexcept {
    if (work >= worth_sharing)
        run_tasks(
            tasks, [](void* context, Index i, void*) { (*static_cast<F*>(context))(i); }, &f, scratch,
            std::is_same_v<T, float>);
    else
        for (Index i = 0; i < tasks; ++i) f(i);
}

}  // namespace

double PlanBase::current_learning_rate() const noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    if (!spec_.has_optimizer || !spec.scheduled) return learning_rate;
    return schedule_value(spec.schedule, double(step), spec.schedule_params.data(), int(spec.schedule_params.size()));
}

// The norms of gradients that were set, joined at the end of an accumulation by those kept so far.
template <class T>
void Plan<T>::measure_gradients(double accumulated_scale) noexcept {
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        for (Index i = 0; i < t->panels; ++i) {
            const Index c = i * t->panel(), cols = t->columns(i);
            const View<T> g = at_column(t->gradient, c);
            if (accumulated_scale > 0.0)
                t->norms[i] = table_.accumulate({t->rows, cols, at_column(t->accumulator, c), g, accumulated_scale});
            else
                t->norms[i] = table_.squared_norm(t->rows, cols, readonly(g));
        }
    }
}

// Also sets each tensor's scale. What is not finite, and what would make weights or second moments infinite, is
// refused before anything has changed.
template <class T>
bool Plan<T>::finite_gradients(Result& result) const {
    const OptimizerSpec& spec = spec_.optimizer;
    const auto refuse = [&](const Tensor<T>& t, double norm) {
        result.status = Status::gradient;
        result.bad = t.name;
        result.value = result.norm = norm;
        return false;
    };
    const auto norm_of = [](const Tensor<T>& t) {
        double sum = 0;
        for (Index i = 0; i < t.panels; ++i) sum += t.norms[i];
        return std::sqrt(sum);
    };
    double total = 0;
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        const double norm = norm_of(*t);
        if (!std::isfinite(norm)) return refuse(*t, norm);
        total += norm * norm;
        *t->scale = norm > spec.clip_norm ? spec.clip_norm / norm : 1.0;
    }
    result.norm = std::sqrt(total);
    const bool clip = result.norm > spec.global_clip_norm;
    // squares of the gradient and steps along it stay far from the type's largest number
    const double largest = double(std::numeric_limits<T>::max());
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        const double rate = current_learning_rate() * rates_[size_t(t->rate)];
        const double limit = std::fmin(0.1 * std::sqrt(largest), 1e-3 * largest / std::fmax(rate, 1.0));
        const double decay = t->decays ? rate * spec.weight_decay : 0.0;
        if (clip) *t->scale = spec.global_clip_norm / result.norm;
        const double norm = norm_of(*t);
        const bool fits = std::fmin(norm * *t->scale, spec.clip_value) <= limit && rate <= largest;
        if (spec_.has_optimizer && !(fits && decay < std::sqrt(largest))) return refuse(*t, norm);
    }
    return true;
}

// A variance beyond the type would stay in the moving average for good.
template <class T>
bool Plan<T>::finite_statistics(const Batch& batch, Result& result) const {
    for (const auto& norm : norms_) {
        const Tensor<T>& moving = *norm->moving_variance;
        const View<const T> variance{norm->variance, moving.cols};
        if (!norm->by_batch(batch) || table_.first_nonfinite_row(1, moving.cols, variance) == 1) continue;
        result.status = Status::statistics;
        result.bad = moving.layer;
        result.value = std::numeric_limits<double>::infinity();
        return false;
    }
    return true;
}

template <class T>
void Plan<T>::update_chunk(const UpdateChunk& chunk) noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    const Tensor<T>& t = *chunk.tensor;
    const StepScalars& scalars = scalars_[t.rate];
    UpdateArgs<T> args{.n = chunk.count,
                       .w = t.value.data + chunk.begin,
                       .g = t.gradient.data + chunk.begin,
                       .slot = {},
                       .scalars = scalars.optimizer,
                       .scale = *t.scale,
                       .clip_value = spec.clip_value,
                       .decay = t.decays ? scalars.decay : 0.0,
                       .average = at_column(t.average.data, chunk.begin),
                       .average_momentum = step > 1 ? spec.average_momentum : 0.0};
    for (int s = 0; s < spec.slots; ++s) args.slot[s] = t.slot[s] + chunk.begin;
    table_.optimizer_update[int(spec.kind)](args);
    const size_t bytes = size_t(chunk.count) * sizeof(T);
    if (args.average && spec.overwrite > 0 && step % spec.overwrite == 0) std::memcpy(args.w, args.average, bytes);
}

template <class T>
void Plan<T>::update() noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    double hyper[max_hyper] = {};
    for (size_t i = 1; i < spec.hyper.size(); ++i) hyper[i] = spec.hyper[i];
    const double rate = current_learning_rate();
    ++step;
    for (size_t i = 0; i < rates_.size(); ++i) {
        hyper[0] = rate * rates_[i];
        formulas().optimizer_scalars[int(spec.kind)](double(step), hyper, scalars_[i].optimizer);
        scalars_[i].decay = hyper[0] * spec.weight_decay;
    }
    double work = 0;
    for (const UpdateChunk& chunk : chunks_) work += 16.0 * double(chunk.count);
    for_tasks(Index(chunks_.size()), work, scratch_, [&](Index i) { update_chunk(chunks_[size_t(i)]); });
    if (constrained_) constrain();
}

// A vector is one column: its norm is that of all of it.
template <class T>
void Plan<T>::constrain() noexcept {
    for (const auto& t : tensors_) {
        if (!t->trainable || !t->rules.constrained) continue;
        const auto kernel = table_.constrain[int(t->rules.constraint)];
        if (t->vector) {
            kernel({t->cols, 1, {t->value.data, 1}, t->rules.constraint_params});
            continue;
        }
        for_tasks(t->panels, 4.0 * double(t->rows) * double(t->cols), scratch_, [&](Index i) {
            kernel({t->rows, t->columns(i), at_column(t->value, i * t->panel()), t->rules.constraint_params});
        });
    }
}

// After the update that an accumulation ends with.
template <class T>
void Plan<T>::forget_gradients() noexcept {
    pending = 0;
    for (const auto& t : tensors_)
        if (t->accumulator.data) std::memset(t->accumulator.data, 0, size_t(t->rows * t->accumulator.ld) * sizeof(T));
}

// A batch of an accumulation that is not its last.
template <class T>
void Plan<T>::keep_gradients() noexcept {
    ++pending;
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        for_tasks(t->panels, 4.0 * double(t->rows) * double(t->cols), scratch_, [&](Index i) {
            const Index c = i * t->panel();
            table_.accumulate({t->rows, t->columns(i), at_column(t->accumulator, c), at_column(t->gradient, c), 0.0});
        });
    }
}

template <class T>
void Plan<T>::move_averages(const Batch& batch) noexcept {
    for (const Norm<T>* norm : norms_) {
        if (!norm->by_batch(batch)) continue;
        const Index cols = norm->moving_mean->cols;
        table_.moving_average(cols, norm->moving_mean->value.data, norm->mean, norm->momentum);
        table_.moving_average(cols, norm->moving_variance->value.data, norm->variance, norm->momentum);
    }
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
