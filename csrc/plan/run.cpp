// One step after the other: forward, loss, backward, norms, update. The state changes only in `update`, after loss
// and gradients have been found finite.
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "plan.h"

namespace fusednet {
namespace {

// Below this many operations a stage is over before another thread has heard of it (about 2 µs).
constexpr double worth_sharing = 200e3;

// A task of so many operations takes long enough (about 10 µs) to read the clock after it.
constexpr double worth_looking = 1e6;

class Budget {
public:
    explicit Budget(double ms)
        : end_(std::chrono::steady_clock::now() + std::chrono::duration<double, std::milli>(ms)) {}
    bool over() const { return std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::time_point<std::chrono::steady_clock, std::chrono::duration<double, std::nano>> end_;
};

Rows from_row(const Rows& x, Index row) noexcept {
    return {static_cast<const char*>(x.data) + row * x.row_bytes, x.row_bytes, x.source};
}

// float64 is the truth that others are held against: it keeps its denormals
template <class T>
constexpr bool flush = std::is_same_v<T, float>;

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
    }
    batch.loss_scale = spec_.has_loss && spec_.loss.mean ? 1.0 / double(rows) : 1.0;
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

// A fork leaves other threads behind, and with them the lock of a plan that they were using.
template <class T>
std::unique_lock<std::mutex> Plan<T>::use() {
    if (forks_ == fork_generation()) return std::unique_lock(busy_);
    std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock)
        throw std::runtime_error(
            "[Plan] expects a state that is whole, got that of a process forked while another thread trained the "
            "model");
    forks_ = fork_generation();
    return lock;
}

template <class T>
double Plan<T>::loss_sum(Index rows) const noexcept {
    double sum = 0;
    for (Index i = 0; i < divide_up(rows, rows_a_task); ++i) sum += losses_[i];
    return sum;
}

template <class T>
Index Plan<T>::correct_count(Index rows) const noexcept {
    Index sum = 0;
    for (Index i = 0; i < divide_up(rows, rows_a_task); ++i) sum += correct_[i];
    return sum;
}

template <class T>
void Plan<T>::count(Index rows, Result& result) const noexcept {
    const double loss = loss_sum(rows);
    result.loss += loss;
    result.weighted_loss += loss * double(rows);
    result.correct += correct_count(rows);
    result.samples += rows;
    result.next += rows;
    ++result.steps;
}

template <class T>
std::string Plan<T>::first_nonfinite(const Batch& batch) const {
    for (const Watch& watch : watches_)
        if (table_.first_nonfinite_row(batch.rows, watch.value.cols, readonly(watch.value.data)) < batch.rows)
            return watch.layer;
    return "loss";
}

template <class T>
bool Plan<T>::finite_loss(const Batch& batch, Result& result) const {
    const double loss = loss_sum(batch.rows);
    if (std::isfinite(loss)) return true;
    result.status = Status::loss;
    result.bad = first_nonfinite(batch);
    result.value = loss * batch.loss_scale;
    return false;
}

template <class T>
void Plan<T>::measure_gradients() noexcept {
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        const Index width = panel_columns(t->cols);
        for (Index i = 0; i < t->panels; ++i) {
            const Index cols = t->cols - i * width < width ? t->cols - i * width : width;
            t->norms[i] = table_.squared_norm(t->rows, cols, readonly(at_column(t->gradient, i * width)));
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
    const double limit = std::fmin(0.1 * std::sqrt(largest), 1e-3 * largest / std::fmax(learning_rate, 1.0));
    for (const auto& t : tensors_) {
        if (!t->trainable) continue;
        if (clip) *t->scale = spec.global_clip_norm / result.norm;
        const double norm = norm_of(*t);
        if (spec_.has_optimizer && std::fmin(norm * *t->scale, spec.clip_value) > limit) return refuse(*t, norm);
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
void Plan<T>::update(const Batch& batch) noexcept {
    const OptimizerSpec& spec = spec_.optimizer;
    double hyper[max_hyper] = {learning_rate};
    for (size_t i = 1; i < spec.hyper.size(); ++i) hyper[i] = spec.hyper[i];
    formulas().optimizer_scalars[int(spec.kind)](double(++step), hyper, scalars_->optimizer);
    scalars_->clip_value = spec.clip_value;
    struct Job {
        const Plan& plan;
        const Batch& batch;
    } job{*this, batch};
    const Task task = [](void* context, Index i, void*) {
        const auto& [plan, rows] = *static_cast<Job*>(context);
        const auto chunks = Index(plan.chunks_.size());
        if (i < chunks) {
            const UpdateChunk& chunk = plan.chunks_[size_t(i)];
            UpdateArgs<T> args{.n = chunk.count,
                               .w = chunk.tensor->value.data + chunk.begin,
                               .g = chunk.tensor->gradient.data + chunk.begin,
                               .slot = {},
                               .scalars = plan.scalars_->optimizer,
                               .scale = *chunk.tensor->scale,
                               .clip_value = plan.scalars_->clip_value};
            for (int s = 0; s < plan.spec_.optimizer.slots; ++s) args.slot[s] = chunk.tensor->slot[s] + chunk.begin;
            plan.table_.optimizer_update[int(plan.spec_.optimizer.kind)](args);
            return;
        }
        const Norm<T>& norm = *plan.norms_[size_t(i - chunks)];
        if (!norm.by_batch(rows)) return;
        const Index cols = norm.moving_mean->cols;
        plan.table_.moving_average(cols, norm.moving_mean->value.data, norm.mean, norm.momentum);
        plan.table_.moving_average(cols, norm.moving_variance->value.data, norm.variance, norm.momentum);
    };
    double work = 0;
    for (const UpdateChunk& chunk : chunks_) work += 16.0 * double(chunk.count);
    const auto tasks = Index(chunks_.size() + norms_.size());
    if (work >= worth_sharing)
        run_tasks(tasks, task, &job, scratch_, flush<T>);
    else
        for (Index i = 0; i < tasks; ++i) task(&job, i, scratch_);
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
    if (!finite_gradients(result) || !finite_statistics(batch, result)) return false;
    update(batch);
    return true;
}

template <class T>
Result Plan<T>::train(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end, Index size,
                      double budget_ms, Interrupt& interrupt) {
    const std::unique_lock lock = use();
    const FlushDenormals guard(flush<T>);
    const Budget budget(budget_ms);
    Result result;
    result.next = begin;
    while (result.next < end) {
        const Index rows = end - result.next < size ? end - result.next : size;
        Batch batch = batch_at(x, y, order, result.next, rows);
        batch.training = batch.gradients = true;
        if (!take_step(batch, interrupt, result)) break;
        count(rows, result);
        if (budget.over() || interrupt.look()) break;
    }
    return result;
}

template <class T>
Result Plan<T>::evaluate(const Rows& x, const Targets& y, Index begin, Index end, double budget_ms, bool training,
                         Interrupt& interrupt) {
    const std::unique_lock lock = use();
    const FlushDenormals guard(flush<T>);
    const Budget budget(budget_ms);
    Result result;
    result.next = begin;
    while (result.next < end) {
        const Index rows = end - result.next < spec_.batch ? end - result.next : spec_.batch;
        Batch batch = batch_at(x, y, nullptr, result.next, rows);
        batch.training = training;
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
    const std::unique_lock lock = use();
    const FlushDenormals guard(flush<T>);
    const Budget budget(budget_ms);
    while (begin < end) {
        const Index rows = end - begin < spec_.batch ? end - begin : spec_.batch;
        const Batch batch = batch_at(x, {}, nullptr, begin, rows);
        if (!run(forward_, batch, interrupt) || !run(head_, batch, interrupt)) break;
        for (Index i = 0; i < rows; ++i)
            std::memcpy(static_cast<char*>(out) + (begin + i) * out_row_bytes, output_.data.row(i),
                        size_t(output_.cols) * sizeof(T));
        begin += rows;
        if (budget.over() || interrupt.look()) break;
    }
    return begin;
}

template <class T>
Result Plan<T>::compute_gradients(const Rows& x, const Targets& y, Index rows, void* input_gradient) {
    const std::unique_lock lock = use();
    const FlushDenormals guard(flush<T>);
    Batch batch = batch_at(x, y, nullptr, 0, rows);
    batch.training = batch.gradients = true;
    Result result;
    Interrupt never;
    run(forward_, batch, never);
    run(loss_, batch, never);
    if (!finite_loss(batch, result)) return result;
    run(backward_, batch, never);
    finite_gradients(result);
    result.loss = loss_sum(rows) * batch.loss_scale;
    result.correct = correct_count(rows);
    result.samples = rows;
    if (input_gradient)
        for (Index i = 0; i < rows; ++i)
            std::memcpy(static_cast<T*>(input_gradient) + i * input_.cols, input_.gradient.row(i),
                        size_t(input_.cols) * sizeof(T));
    return result;
}

template <class T>
Result Plan<T>::apply_gradients() {
    const std::unique_lock lock = use();
    const FlushDenormals guard(flush<T>);
    Result result;
    measure_gradients();
    if (finite_gradients(result)) update(Batch{});
    return result;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
