// One step after the other: forward, loss, backward, norms, update. The state changes only in `update`, after loss
// and gradients have been found finite.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "plan.h"

namespace fusednet {
namespace {

Rows from_row(const Rows& x, Index row) noexcept {
    return {static_cast<const char*>(x.data) + row * x.row_bytes, x.row_bytes, x.source, x.there};
}

// Scattered rows of the batch to come, on their way while this one trains. Long rows need no help.
void prefetch_rows(const Rows& x, Index features, const int64_t* order, Index begin, Index end) noexcept {
    constexpr Index line = 64, most = 32 * 1024;  // bytes: what the first-level cache can wait for
    constexpr Index sizes[] = {sizeof(uint8_t), sizeof(float), sizeof(double)};
    const Index bytes = features * sizes[int(x.source)];
    if (!order || bytes * (end - begin) > most) return;
    for (Index i = begin; i < end; ++i)
        for (Index at = 0; at < bytes; at += line)
            __builtin_prefetch(static_cast<const char*>(x.data) + order[i] * x.row_bytes + at);
}

}  // namespace

bool Interrupt::look() {
    const auto now = std::chrono::steady_clock::now();
    if (!asked_ || now - last_ < std::chrono::milliseconds(20)) return stopped();
    last_ = now;
    if (asked_()) stopped_.store(true, std::memory_order_relaxed);
    return stopped();
}

template <class T>
Batch Plan<T>::batch_at(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index rows) const noexcept {
    Batch batch;
    batch.rows = rows;
    batch.x = order ? x : from_row(x, begin);
    batch.order = order ? order + begin : nullptr;
    batch.targets = y;
    if (!order) {
        if (y.labels) batch.targets.labels = y.labels + begin;
        if (y.values.data) batch.targets.values = from_row(y.values, begin);
        if (y.weights) batch.targets.weights = y.weights + begin;
    }
    batch.loss_scale = spec_.has_loss && spec_.loss.mean ? 1.0 / double(rows) : 1.0;
    batch.seed = spec_.seed;
    batch.pass = uint64_t(passes);
    return batch;
}

template <class T>
void Plan<T>::run_stage(const Stage<T>& stage, const Batch& batch, Interrupt& interrupt) {
    struct Job {
        const Stage<T>& stage;
        const Batch& batch;
        Interrupt& interrupt;
        const void* looks;  // scratch of the thread that looks for an interrupt: the caller's, or nobody's
    } job{stage, batch, interrupt, nullptr};
    if (table_.device) {
        for (const auto& step : stage.steps) step->run(batch, 0, scratch_);
        return;
    }
    double work = 0;
    for (const auto& step : stage.steps) work += step->work(batch.rows);
    const Index tasks = stage.steps.front()->tasks(batch.rows);
    if (work >= worth_looking * double(tasks)) job.looks = scratch_;
    const Task task = [](void* context, Index i, void* scratch) {
        const auto& held = *static_cast<Job*>(context);
        if (held.interrupt.stopped()) return;
        for (const auto& step : held.stage.steps) step->run(held.batch, i, static_cast<T*>(scratch));
        if (scratch == held.looks) held.interrupt.look();
    };
    if (work >= worth_sharing)
        run_tasks(tasks, task, &job, scratch_, flush<T>);
    else
        for (Index i = 0; i < tasks; ++i) task(&job, i, scratch_);
}

// False if interrupted.
template <class T>
bool Plan<T>::run(const Stages& stages, const Batch& batch, Interrupt& interrupt) {
    for (const Stage<T>& stage : stages) run_stage(stage, batch, interrupt);
    return !interrupt.stopped();
}

// The state, whole. A fork leaves other threads behind, and with them the lock of a plan that they were using.
template <class T>
Turn Plan<T>::use() {
    const bool forked = forks_ != fork_generation();
    std::unique_lock lock = forked ? std::unique_lock(busy_, std::try_to_lock) : std::unique_lock(busy_);
    if (!lock)
        throw std::runtime_error(
            "[Plan] expects a state that is whole, got that of a process forked while another thread trained the "
            "model");
    forks_ = fork_generation();
    Turn turn{std::move(lock), Entered(table_.device, queue_.get())};
    if (interrupted_update_) finish_update();
    return turn;
}

template <class T>
double Plan<T>::loss_sum(Index rows) const noexcept {
    if (table_.device) return fetched(losses_);
    return sum_of(losses_, int32_t(divide_up(rows, rows_a_task)));
}

// Of the parameters and, the mean over the batch, of the activities.
template <class T>
double Plan<T>::penalty_sum(Index rows) const noexcept {
    double sum = 0;
    if (table_.device) {
        for (const auto& t : tensors_)
            if (t->penalties) sum += fetched(t->penalties);
        for (const ActivityPenalty<T>* penalty : activity_) sum += fetched(penalty->values);
        return sum;
    }
    for (const auto& t : tensors_)
        for (Index i = 0; t->penalties && i < t->panels; ++i) sum += t->penalties[i];
    for (const ActivityPenalty<T>* penalty : activity_)
        for (Index i = 0; i < divide_up(rows, rows_a_task); ++i) sum += penalty->values[i];
    return sum;
}

// What the gradients are of.
template <class T>
double Plan<T>::reduced_loss(const Batch& batch) const noexcept {
    return loss_sum(batch.rows) * batch.loss_scale + penalty_sum(batch.rows);
}

template <class T>
void Plan<T>::count(Index rows, Result& result) const {
    const double loss = loss_sum(rows);
    result.loss += loss;
    result.weighted_loss += loss * double(rows);
    result.penalty += penalty_sum(rows) * double(rows);
    result.samples += rows;
    result.next += rows;
    ++result.steps;
    result.metrics.resize(metrics_.size());
    for (size_t m = 0; m < metrics_.size(); ++m) {
        const MetricUse& metric = metrics_[m];
        result.metrics[m].resize(size_t(metric.width));
        for (Index task = 0; task < divide_up(rows, rows_a_task); ++task)
            for (Index i = 0; i < metric.width; ++i)
                result.metrics[m][size_t(i)] += metric.sums[task * metric.width + i];
    }
}

template <class T>
std::string Plan<T>::first_nonfinite(const Batch& batch) const {
    for (const Watch& watch : watches_) {
        Index row = 0;
        if (table_.device) {
            table_.first_nonfinite_row(batch.rows, watch.value.cols, readonly(watch.value.data), found_row_);
            row = fetched(found_row_);
        } else {
            table_.first_nonfinite_row(batch.rows, watch.value.cols, readonly(watch.value.data), &row);
        }
        if (row < batch.rows) return watch.layer;
    }
    for (const auto& t : tensors_)
        for (Index i = 0; t->penalties && i < t->panels; ++i)
            if (!std::isfinite(fetched(t->penalties + i))) return t->name;
    return "loss";
}

template <class T>
bool Plan<T>::finite_loss(const Batch& batch, Result& result) const {
    const double loss = reduced_loss(batch);
    if (std::isfinite(loss)) return true;
    result.status = Status::loss;
    result.bad = first_nonfinite(batch);
    result.value = loss;
    return false;
}

template <class T>
bool Plan<T>::take_step(const Batch& batch, Interrupt& interrupt, Result& result) {
    const auto stop = [&] {
        result.status = Status::interrupted;
        return false;
    };
    if (!run(forward_, batch, interrupt) || !run(loss_, batch, interrupt)) return stop();
    if (!finite_loss(batch, result)) return false;
    if (!run(backward_, batch, interrupt)) return stop();
    settle_norms(batch, interrupt);
    if (interrupt.stopped()) return stop();
    if (!finite_gradients(result) || !finite_statistics(batch, result)) return false;
    if (ends_accumulation()) {
        update(batch, interrupt);
        forget_gradients();
    } else {
        keep_gradients();
    }
    move_averages(batch);
    ++passes;
    return true;
}

template <class T>
Result Plan<T>::train(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end, Index size,
                      double budget_ms, Interrupt& interrupt) {
    const Turn turn = use();
    if (table_.device) return train_on_device(x, y, order, begin, end, size, budget_ms, interrupt);
    const FlushDenormals guard(flush<T>);
    const Budget budget(budget_ms);
    Result result;
    result.next = begin;
    while (result.next < end) {
        const Index rows = end - result.next < size ? end - result.next : size;
        Batch batch = batch_at(x, y, order, result.next, rows);
        batch.training = batch.gradients = true;
        if (spec_.optimizer.accumulate > 1 && ends_accumulation())
            batch.accumulated_scale = 1.0 / double(spec_.optimizer.accumulate);
        {
            const Sharing::Step step(training_, rows);
            prefetch_rows(x, input_.cols, order, result.next + rows, std::min(end, result.next + rows + size));
            if (!take_step(batch, interrupt, result)) break;
        }
        count(rows, result);
        if (budget.over() || interrupt.look()) break;
    }
    return result;
}

template <class T>
Result Plan<T>::evaluate(const Rows& x, const Targets& y, Index begin, Index end, double budget_ms, bool training,
                         Interrupt& interrupt) {
    const Turn turn = use();
    if (table_.device) return evaluate_on_device(x, y, begin, end, budget_ms, training, interrupt);
    const FlushDenormals guard(flush<T>);
    const Budget budget(budget_ms);
    Result result;
    result.next = begin;
    while (result.next < end) {
        const Index rows = end - result.next < spec_.batch ? end - result.next : spec_.batch;
        Batch batch = batch_at(x, y, nullptr, result.next, rows);
        batch.training = training;
        const Sharing::Step step(inference_, rows);
        if (!run(forward_, batch, interrupt) || !run(loss_, batch, interrupt)) {
            result.status = Status::interrupted;
            break;
        }
        count(rows, result);
        if (budget.over() || interrupt.look()) break;
    }
    return result;
}

template <class T>
Index Plan<T>::predict(const Rows& x, void* out, Index out_row_bytes, Index begin, Index end, double budget_ms,
                       Interrupt& interrupt) {
    const Turn turn = use();
    char* const first = static_cast<char*>(out) + begin * out_row_bytes;
    if (table_.device) {
        constexpr Source own = std::is_same_v<T, float> ? Source::float32 : Source::float64;
        const auto enqueue = [&](const Batch& batch, T* to) {
            Interrupt never;
            run(forward_, batch, never);
            run(head_, batch, never);
            table_.gather[int(own)]({batch.rows,
                                     output_.cols,
                                     output_.data.data,
                                     output_.data.ld * Index(sizeof(T)),
                                     nullptr,
                                     {to, output_.cols}});
        };
        const ResultRows results{first, out_row_bytes, size_t(output_.cols) * sizeof(T)};
        return in_slices(x, begin, end, results, true, enqueue, budget_ms, interrupt);
    }
    const FlushDenormals guard(flush<T>);
    const Budget budget(budget_ms);
    for (char* to = first; begin < end;) {
        const Index rows = end - begin < spec_.batch ? end - begin : spec_.batch;
        const Batch batch = batch_at(x, {}, nullptr, begin, rows);
        const Sharing::Step step(inference_, rows);
        if (!run(forward_, batch, interrupt) || !run(head_, batch, interrupt)) break;
        fetch_rows(readonly(output_.data), output_.cols, rows, to, out_row_bytes);
        begin += rows;
        to += rows * out_row_bytes;
        if (budget.over() || interrupt.look()) break;
    }
    return begin;
}

// Exact statistics of a data set: one pass a layer, since a layer's inputs follow from the statistics before it.
template <class T>
Result Plan<T>::recalibrate(const Rows& x, Index begin, Index end, Interrupt& interrupt) {
    const Turn turn = use();
    const FlushDenormals guard(flush<T>);
    Result result;
    std::vector<std::pair<std::vector<T>, std::vector<T>>> before;
    for (const Norm<T>* norm : norms_) {
        const auto held = [&](const Tensor<T>* t) {
            std::vector<T> values(size_t(t->cols));
            fetch(values.data(), t->value.data, t->cols);
            return values;
        };
        before.push_back({held(norm->moving_mean), held(norm->moving_variance)});
    }
    check_device();
    const auto restore = [&] {
        for (size_t i = 0; i < norms_.size(); ++i) {
            put(norms_[i]->moving_mean->value.data, before[i].first.data(), Index(before[i].first.size()));
            put(norms_[i]->moving_variance->value.data, before[i].second.data(), Index(before[i].second.size()));
        }
        check_device();
        return result;
    };
    try {
        for (const Norm<T>* norm : norms_) {
            const Index cols = norm->moving_mean->cols;
            std::vector<double> mean(size_t(cols), 0.0), squares(size_t(cols), 0.0);
            std::vector<T> batch_mean(mean.size()), batch_variance(mean.size());
            const auto measure = [&](const Batch& batch, T* to) {
                run(forward_, batch, interrupt);
                table_.batchnorm_statistics({batch.rows, cols, readonly(norm->input), to, to + cols});
            };
            const auto join = [&](Index row, const T* of_batch) {  // Chan, Golub and LeVeque 1979, eq. 2.1
                const double n = double(std::min(spec_.batch, end - row)), so_far = double(row - begin);
                const double share = n / (so_far + n);
                for (Index c = 0; c < cols; ++c) {
                    const double delta = double(of_batch[c]) - mean[size_t(c)];
                    mean[size_t(c)] += delta * share;
                    squares[size_t(c)] += n * double(of_batch[cols + c]) + delta * delta * share * so_far;
                }
            };
            const Index batches = table_.device ? divide_up(end - begin, spec_.batch) : 1;
            std::vector<T> of_batches(size_t(2 * cols * batches));  // means, then variances
            if (table_.device) {
                const Index bytes = 2 * cols * Index(sizeof(T));
                const ResultRows results{reinterpret_cast<char*>(of_batches.data()), bytes, size_t(bytes)};
                constexpr double no_end = std::numeric_limits<double>::infinity();
                in_slices(x, begin, end, results, false, measure, no_end, interrupt);
                const T* of_batch = of_batches.data();
                for (Index row = begin; row < end; row += spec_.batch, of_batch += 2 * cols) join(row, of_batch);
            } else {
                for (Index row = begin; row < end && !interrupt.look(); row += spec_.batch) {
                    measure(batch_at(x, {}, nullptr, row, std::min(spec_.batch, end - row)), of_batches.data());
                    join(row, of_batches.data());
                }
            }
            if (interrupt.stopped()) {
                result.status = Status::interrupted;
                return restore();
            }
            for (Index c = 0; c < cols; ++c) {
                batch_mean[size_t(c)] = T(mean[size_t(c)]);
                batch_variance[size_t(c)] = T(squares[size_t(c)] / double(end - begin));
            }
            put(norm->moving_mean->value.data, batch_mean.data(), cols);
            put(norm->moving_variance->value.data, batch_variance.data(), cols);
            if (!std::all_of(batch_variance.begin(), batch_variance.end(), [](T v) { return std::isfinite(v); })) {
                result.status = Status::statistics;
                result.bad = norm->moving_variance->layer;
                result.value = std::numeric_limits<double>::infinity();
                return restore();
            }
        }
        check_device();
    } catch (...) {
        restore();
        throw;
    }
    return result;
}

template <class T>
Result Plan<T>::compute_gradients(const Rows& x, const Targets& y, Index rows, void* input_gradient) {
    const Turn turn = use();
    const FlushDenormals guard(flush<T>);
    const Staged staged = table_.device ? stage(x, y, 0, rows) : Staged{x, y};
    Batch batch = batch_at(staged.x, staged.y, nullptr, 0, rows);
    batch.training = batch.gradients = true;
    Result result;
    Interrupt never;
    run(forward_, batch, never);
    run(loss_, batch, never);
    check_device();
    if (!finite_loss(batch, result)) {
        check_device();
        return result;
    }
    run(backward_, batch, never);
    settle_norms(batch, never);
    finite_gradients(result);
    result.loss = reduced_loss(batch);
    result.samples = rows;
    if (input_gradient)
        fetch_rows(readonly(input_.gradient), input_.cols, rows, static_cast<char*>(input_gradient),
                   input_.cols * Index(sizeof(T)));
    check_device();
    return result;
}

template <class T>
Result Plan<T>::apply_gradients() {
    const Turn turn = use();
    const FlushDenormals guard(flush<T>);
    Result result;
    const bool ends = ends_accumulation();
    measure_gradients(spec_.optimizer.accumulate > 1 && ends ? 1.0 / double(spec_.optimizer.accumulate) : 0.0);
    if (!finite_gradients(result)) return result;
    const int64_t step_before = step, pending_before = pending;
    try {
        if (ends) {
            Interrupt never;
            update(Batch{}, never);
            forget_gradients();
        } else {
            keep_gradients();
        }
        check_device();
    } catch (...) {
        step = step_before, pending = pending_before;
        throw;
    }
    ++passes;
    return result;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
