// The end of a step: gradients measured and clipped, parameters, averages and statistics updated. Nothing changes
// before all of them have been found fit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "plan.h"

namespace fusednet {
namespace {

// Runs f(i, scratch) for each i, by threads where there is enough to do; a device's queue belongs to one of them.
template <class T, class F>
void for_tasks(const Table<T>& table, Index tasks, double work, T* scratch, F f) noexcept {
    if (work >= worth_sharing && !table.device)
        run_tasks(
            tasks, [](void* context, Index i, void* own) { (*static_cast<F*>(context))(i, static_cast<T*>(own)); }, &f,
            scratch, flush<T>);
    else
        for (Index i = 0; i < tasks; ++i) f(i, scratch);
}

// Is a sum of products in T, of terms of this total size, good to five digits or so: none beyond T's range, no more
// than two digits lost to their signs?
bool holds(double sum, double size) noexcept {
    return std::isfinite(size) && size > 1e-24 && size <= 64.0 * sum;
}

}  // namespace

double PlanBase::current_learning_rate() const noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    if (!spec_.has_optimizer || !spec.scheduled) return learning_rate;
    return schedule_value(spec.schedule, double(step), spec.schedule_params.data(), int(spec.schedule_params.size()));
}

// On a device: the norms of all gradients that are asked for, and whether the batch's statistics are finite.
template <class T>
template <class Asked>
void Plan<T>::measure_at_once(const Asked& asked) noexcept {
    auto& all = asked_.measures;
    all.clear();
    for (const Tensor<T>* t : trained_)
        if (asked(*t)) all.push_back({t->rows, t->cols, readonly(t->gradient), t->norms});
    for (size_t i = 0; i < learning_norms_.size(); ++i) {
        const Index cols = learning_norms_[i]->moving_variance->cols;
        all.push_back({1, cols, {learning_norms_[i]->variance, cols}, sound_ + i, false});
    }
    table_.at_once->measure(all.data(), Index(all.size()));
}

// The norms of gradients that were set, joined at the end of an accumulation by those kept so far.
template <class T>
void Plan<T>::measure_gradients(double accumulated_scale) noexcept {
    if (table_.device && !(accumulated_scale > 0.0)) return measure_at_once([](const Tensor<T>&) { return true; });
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        for (Index i = 0; i < t->panels; ++i) {
            const Index c = i * t->panel(), cols = t->columns(i);
            const View<T> g = at_column(t->gradient, c);
            if (accumulated_scale > 0.0)
                table_.accumulate({t->rows, cols, at_column(t->accumulator, c), g, accumulated_scale}, t->norms + i);
            else
                table_.squared_norm(t->rows, cols, readonly(g), t->norms + i);
        }
    }
}

// What the end of the step is judged by.
template <class T>
Judgement Plan<T>::judgement(const Batch& batch) const noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    const bool penalises = std::any_of(trained_.begin(), trained_.end(), [](const auto* t) { return t->penalties; });
    return {.rows = batch.rows,
            .loss_scale = batch.loss_scale,
            .losses = int32_t(row_tasks(table_, batch.rows)),
            .penalties = penalises ? int32_t(trained_.size()) : 0,
            .activities = int32_t(activity_.size()),
            .tensors = int32_t(trained_.size()),
            .statistics = 0,
            .loss = losses_,
            .penalty = penalties_,
            .activity = activities_,
            .squares = squares_,
            .rules = table_.device ? device_rules_ : rules_.data(),
            .scales = scales_,
            .clipping = {spec.clip_value, spec.clip_norm, spec.global_clip_norm},
            .checks = true,
            .updates = spec_.has_optimizer,
            .learning_rate = &scalars_->learning_rate,
            .weight_decay = spec.weight_decay,
            .largest = double(std::numeric_limits<T>::max()),
            .sound = sound_,
            .verdict = verdict_,
            .totals = nullptr,
            .cursor = nullptr,
            .multipliers = 0,
            .ahead = nullptr,
            .now = nullptr};
}

template <class T>
bool Plan<T>::accept(const Verdict& verdict, const Batch& batch, Result& result) const {
    result.norm = verdict.norm;
    if (verdict.status == Status::ok) return true;
    result.status = verdict.status;
    result.value = verdict.value;
    if (verdict.status == Status::loss)
        result.bad = first_nonfinite(batch);
    else if (verdict.status == Status::gradient)
        result.bad = trained_[size_t(verdict.index)]->name;
    else
        result.bad = learning_norms_[size_t(verdict.index)]->moving_variance->layer;
    return false;
}

// Also sets each tensor's scale. What is not finite, and what would make weights or second moments infinite, is
// refused before anything has changed.
template <class T>
bool Plan<T>::finite_gradients(Result& result) {
    for (size_t i = 0; !table_.device && i < trained_.size(); ++i) {
        squares_[i] = 0;
        for (Index panel = 0; panel < trained_[i]->panels; ++panel) squares_[i] += trained_[i]->norms[panel];
    }
    prepare_scalars();
    Judgement j = judgement({});
    if (!table_.device) return accept(judged_gradients(j), {}, result);
    j.checks = false;
    table_.device->judge(j);
    const Verdict verdict = fetched(verdict_);
    check_device();
    return accept(verdict, {}, result);
}

// A variance beyond the type would stay in the moving average for good.
template <class T>
bool Plan<T>::finite_statistics(const Batch& batch, Result& result) {
    for (size_t i = 0; i < learning_norms_.size(); ++i) {
        const Index cols = learning_norms_[i]->moving_variance->cols;
        Index row = 0;
        table_.first_nonfinite_row(1, cols, {learning_norms_[i]->variance, cols}, &row);
        sound_[i] = row < 1 ? std::numeric_limits<double>::infinity() : 0.0;
    }
    Judgement j = judgement(batch);
    j.tensors = 0;
    j.statistics = int32_t(learning_norms_.size());
    const double norm = result.norm;
    const bool sound = accept(judged_gradients(j), batch, result);
    result.norm = norm;
    return sound;
}

// The norms that steps of their own have measured. Where that cannot be relied on, the gradient itself is looked at.
template <class T>
void Plan<T>::settle_norms(const Batch& batch, Interrupt& interrupt) noexcept {
    if (table_.device)  // at the end of its backward pass; what is accumulated or penalised has been measured
        return measure_at_once([&](const Tensor<T>& t) { return !t.penalties && !(batch.accumulated_scale > 0.0); });
    const bool clips = spec_.optimizer.global_clip_norm < OptimizerSpec::none;
    for (const KernelGradient<T>* gradient : measured_) {
        const Tensor<T>& w = *gradient->w;
        if (clips && !gram_pays(batch.rows, w.rows, w.cols)) continue;
        double sum = 0, size = 0;
        for (Index i = 0; i < divide_up(batch.rows, clips ? GramNorm<T>::wide : rows_a_task); ++i) {
            sum += gradient->sums[i];
            size += gradient->sizes[i];
        }
        // a bound says enough of a gradient that is far from any limit; one that is not is looked at
        if (clips ? !holds(sum, size) : !(sum * size < 1e24)) {
            const double work = 2.0 * double(batch.rows) * double(w.rows) * double(w.cols);
            for_tasks(table_, w.panels, work, scratch_, [&](Index panel, T* scratch) {
                if (interrupt.stopped()) return;
                double squares = 0;
                gradient->for_blocks(
                    table_, batch, panel, scratch, [](Index, Index) {},
                    [&](Index, Index rows, View<T> g) {
                        double block = 0;
                        table_.squared_norm(rows, w.columns(panel), readonly(g), &block);
                        squares += block;
                    });
                w.norms[panel] = squares;
                if (scratch == scratch_) interrupt.look();
            });
            continue;
        }
        std::fill(w.norms, w.norms + w.panels, 0.0);
        w.norms[0] = clips ? sum : sum * size;
    }
}

// The rows and columns of a tensor that lie `offset` behind its first element.
template <class T>
void Plan<T>::update_part(const Tensor<T>& t, Index offset, Index rows, Index cols, Index ld,
                          View<const T> gradient) noexcept {
    const UpdateArgs<T> args = update_args(t, offset, rows, cols, ld, gradient);
    const OptimizerSpec& spec = spec_.optimizer;
    table_.optimizer_update[int(spec.kind)](args);
    if (args.average && spec.overwrite > 0 && step % spec.overwrite == 0)
        table_.scaled_add({rows, cols, {}, {args.average, ld}, nullptr, {args.w, ld}});
}

template <class T>
UpdateArgs<T> Plan<T>::update_args(const Tensor<T>& t, Index offset, Index rows, Index cols, Index ld,
                                   View<const T> gradient) const noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    UpdateArgs<T> args{.rows = rows,
                       .cols = cols,
                       .ld = ld,
                       .w = t.value.data + offset,
                       .g = gradient,
                       .slot = {},
                       .scalars = scalars_ + t.rate,
                       .scale = t.scale,
                       .clip_value = spec.clip_value,
                       .decays = t.decays,
                       .average = at_column(t.average.data, offset)};
    for (int s = 0; s < spec.slots; ++s) args.slot[s] = t.slot[s] + offset;
    return args;
}

template <class T>
void Plan<T>::update_chunk(const UpdateChunk& chunk, const Batch& batch, T* scratch) noexcept {
    const Tensor<T>& t = *chunk.tensor;
    if (!chunk.unstored)
        return update_part(t, chunk.begin, 1, chunk.count, chunk.count, {t.gradient.data + chunk.begin, chunk.count});
    const Index panel = chunk.begin, cols = t.columns(panel), ld = t.value.ld;
    const auto offset = [&](Index row) { return row * ld + panel * t.panel(); };
    // Short rows far apart are a pattern that no hardware foresees; the product hides the wait for them.
    const auto fetch = [&](Index row, Index rows) {
        constexpr Index line = 64 / sizeof(T);
        for (Index i = row; i < row + rows; ++i)
            for (Index j = offset(i); j < offset(i) + cols; j += line) {
                __builtin_prefetch(t.value.data + j, 0, 2);
                for (int s = 0; s < spec_.optimizer.slots; ++s) __builtin_prefetch(t.slot[s] + j, 0, 2);
            }
    };
    chunk.unstored->for_blocks(table_, batch, panel, scratch, fetch, [&](Index row, Index rows, View<T> g) {
        update_part(t, offset(row), rows, cols, ld, readonly(g));
    });
}

// What the next update derives from its number, for each multiplier of the learning rate.
template <class T>
void Plan<T>::set_scalars(StepScalars* scalars) const noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    double hyper[max_hyper] = {};
    for (size_t i = 1; i < spec.hyper.size(); ++i) hyper[i] = spec.hyper[i];
    const double rate = current_learning_rate();
    for (size_t i = 0; i < rates_.size(); ++i) {
        hyper[0] = rate * rates_[i];
        if (spec_.has_optimizer)
            formulas().optimizer_scalars[int(spec.kind)](double(step + 1), hyper, scalars[i].optimizer);
        scalars[i].learning_rate = hyper[0];
        scalars[i].decay = hyper[0] * spec.weight_decay;
        scalars[i].average_momentum = step > 0 ? spec.average_momentum : 0.0;
    }
}

// Those of the next update, where it looks for them.
template <class T>
void Plan<T>::prepare_scalars() {
    set_scalars(host_scalars_.data());
    put(scalars_, host_scalars_.data(), Index(rates_.size()));
}

template <class T>
void Plan<T>::update(const Batch& batch, Interrupt& interrupt) noexcept {
    ++step;
    if (table_.device) return update_at_once(batch);
    std::fill(updated_.begin(), updated_.end(), uint8_t{0});
    update_chunks(batch.rows, interrupt);
}

// A device's chunks are whole arrays, and nothing interrupts it. Moving averages go with them.
template <class T>
void Plan<T>::update_at_once(const Batch& batch) noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    auto& all = asked_.updates;
    all.clear();
    for (const UpdateChunk& chunk : chunks_) {
        const Tensor<T>& t = *chunk.tensor;
        all.push_back(
            update_args(t, chunk.begin, 1, chunk.count, chunk.count, {t.gradient.data + chunk.begin, chunk.count}));
    }
    const auto& averages = averages_asked(batch);
    table_.at_once->optimizer_updates[int(spec.kind)](all.data(), Index(all.size()), averages.data(),
                                                      Index(averages.size()));
    for (const UpdateArgs<T>& args : all)
        if (args.average && spec.overwrite > 0 && step % spec.overwrite == 0)
            table_.scaled_add({args.rows, args.cols, {}, {args.average, args.ld}, nullptr, {args.w, args.ld}});
    if (constrained_) constrain();
}

// Those that are still to do. Large ones take long: an interrupt leaves them to the next use of the state.
template <class T>
void Plan<T>::update_chunks(Index rows, Interrupt& interrupt) noexcept {
    Batch batch;
    batch.rows = rows;
    double work = 0;
    for (const UpdateChunk& chunk : chunks_)
        work += chunk.unstored
                    ? 2.0 * double(batch.rows + 8) * double(chunk.tensor->rows) * double(chunk.tensor->panel())
                    : 16.0 * double(chunk.count);
    const bool looks = work >= worth_looking;
    for_tasks(table_, Index(chunks_.size()), work, scratch_, [&](Index i, T* scratch) {
        if (updated_[size_t(i)] || interrupt.stopped()) return;
        update_chunk(chunks_[size_t(i)], batch, scratch);
        updated_[size_t(i)] = 1;
        if (looks && scratch == scratch_) interrupt.look();
    });
    interrupted_update_ = !std::all_of(updated_.begin(), updated_.end(), [](uint8_t done) { return done != 0; });
    interrupted_rows_ = rows;
    if (constrained_ && !interrupted_update_) constrain();
}

// The rest of an update that an interrupt cut short. All that it needs is still in the arena.
template <class T>
void Plan<T>::finish_update() noexcept {
    const FlushDenormals guard(flush<T>);
    Interrupt never;
    update_chunks(interrupted_rows_, never);
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
        for_tasks(table_, t->panels, 4.0 * double(t->rows) * double(t->cols), scratch_, [&](Index i, T*) {
            kernel({t->rows, t->columns(i), at_column(t->value, i * t->panel()), t->rules.constraint_params});
        });
    }
}

// After the update that an accumulation ends with.
template <class T>
void Plan<T>::forget_gradients() noexcept {
    pending = 0;
    for (const auto& t : tensors_)
        if (t->accumulator.data) table_.fill({t->rows * t->accumulator.ld, t->accumulator.data, nullptr, 0.0});
}

// A batch of an accumulation that is not its last.
template <class T>
void Plan<T>::keep_gradients() noexcept {
    ++pending;
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        for_tasks(table_, t->panels, 4.0 * double(t->rows) * double(t->cols), scratch_, [&](Index i, T*) {
            const Index c = i * t->panel();
            table_.accumulate({t->rows, t->columns(i), at_column(t->accumulator, c), at_column(t->gradient, c), 0.0},
                              nullptr);
        });
    }
}

template <class T>
auto Plan<T>::averages_asked(const Batch& batch) noexcept -> const std::vector<MovingAverage<T>>& {
    auto& all = asked_.averages;
    all.clear();
    for (const Norm<T>* norm : norms_) {
        if (!norm->by_batch(batch)) continue;
        const Index cols = norm->moving_mean->cols;
        all.push_back({cols, norm->moving_mean->value.data, norm->mean, norm->momentum});
        all.push_back({cols, norm->moving_variance->value.data, norm->variance, norm->momentum});
    }
    return all;
}

template <class T>
void Plan<T>::move_averages(const Batch& batch) noexcept {
    const auto& all = averages_asked(batch);
    if (table_.device)
        return table_.at_once->optimizer_updates[int(spec_.optimizer.kind)](nullptr, 0, all.data(), Index(all.size()));
    for (const MovingAverage<T>& a : all) table_.moving_average(a.n, a.moving, a.value, a.momentum);
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
