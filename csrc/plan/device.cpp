// Plans whose arrays lie on a device. The host packs rows, enqueues steps and reads the outcome of many at once: it
// waits at the end of what it has sent, not within.
#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <tuple>

#include "plan.h"

namespace fusednet {
namespace {

constexpr Index staged_bytes = Index(32) << 20;  // of rows sent at once
constexpr Index brought_bytes = Index(8) << 20;  // of results: as much as there is room for on the way
constexpr Index narrow = 256;                    // the widest layer of a network whose steps one launch may run
constexpr double small_work = 6.4e7;             // and the most operations of such a step

}  // namespace

void Queue::open(const Device& device) {
    const char* why = "";
    queue_ = device.open(&why);
    if (!queue_) throw std::runtime_error(std::string("[Plan] device '") + device.name + "': " + why);
    device_ = &device;
}

template <class T>
Plan<T>::~Plan() {
    if (!queue_.get()) return;
    const Entered entered(table_.device, queue_.get());
    table_.device->wait(nullptr);
    let_go();
    for (const Captured& captured : captured_) table_.device->forget(captured.graph);
    staging_.reset();
}

template <class T>
void Plan<T>::start_device() {
    queue_.open(*table_.device);
    staging_ = std::make_unique<Staging>(*table_.device);
}

// Waits, and says what has failed.
template <class T>
void Plan<T>::check_device() const {
    if (!table_.device) return;
    size_t no_room = 0;
    const char* const failure = table_.device->wait(&no_room);
    if (failure && no_room > 0) throw DeviceMemoryError(*table_.device, no_room);
    if (failure) throw std::runtime_error(std::string("[Plan] device '") + table_.device->name + "': " + failure);
}

// Packed rows of a matrix of the plan to rows of the host, `row_bytes` apart.
template <class T>
void Plan<T>::fetch_rows(View<const T> from, Index cols, Index rows, char* to, Index row_bytes) const {
    std::vector<T> held;
    if (table_.device) {
        held.resize(size_t(rows * from.ld));
        fetch(held.data(), from.data, Index(held.size()));
        from.data = held.data();
    }
    for (Index i = 0; i < rows; ++i) std::memcpy(to + i * row_bytes, from.row(i), size_t(cols) * sizeof(T));
}

template <class T>
void Plan<T>::put_rows(View<T> to, Index cols, Index rows, const T* from) const {
    std::vector<T> held;
    View<T> written = to;
    if (table_.device) {  // what lies between the rows is zero there too
        held.resize(size_t(rows * to.ld));
        written.data = held.data();
    }
    for (Index i = 0; i < rows; ++i) std::memcpy(written.row(i), from + i * cols, size_t(cols) * sizeof(T));
    if (table_.device) put(to.data, held.data(), Index(held.size()));
}

// What take_step does on the host, but for the answer: the device keeps it, and does nothing more if it is a refusal.
// Rows, draws and scalars are those that the cursor points at: the same text serves every step.
template <class T>
void Plan<T>::enqueue_step(const Batch& batch) {
    Interrupt never;
    run(forward_, batch, never);
    run(loss_, batch, never);
    run(backward_, batch, never);
    settle_norms(batch, never);
    Judgement j = judgement(batch);
    j.statistics = int32_t(learning_norms_.size());
    j.totals = totals_;
    j.cursor = cursor_;
    j.multipliers = int32_t(rates_.size());
    j.ahead = scalars_ahead_;
    j.now = scalars_;
    table_.device->judge(j);
    loss_step_->measure(batch, 0);
    if (ends_accumulation()) {
        update(batch, never);
        forget_gradients();
    } else {
        keep_gradients();
        move_averages(batch);
    }
    ++passes;
}

// Counters as they are after so many of the steps that were enqueued.
template <class T>
void Plan<T>::count_steps(int64_t steps) noexcept {
    for (int64_t i = 0; i < steps; ++i, ++passes) {
        const bool ends = ends_accumulation();
        step += ends;
        pending = ends ? 0 : pending + 1;
    }
}

template <class T>
void Plan<T>::clear_totals() const {
    const Device& device = *table_.device;
    device.clear(verdict_, sizeof(Verdict));
    device.clear(totals_, sizeof(Totals));
    for (const MetricUse& metric : metrics_) device.clear(metric.sums, size_t(metric.width) * sizeof(double));
}

// The steps of a slice.
template <class T>
int64_t Plan<T>::add_totals(Result& result) const {
    const Totals totals = fetched(totals_);
    std::vector<std::vector<double>> sums(metrics_.size());
    for (size_t m = 0; m < metrics_.size(); ++m) {
        sums[m].resize(size_t(metrics_[m].width));
        fetch(sums[m].data(), metrics_[m].sums, metrics_[m].width);
    }
    check_device();
    result.loss += totals.loss;
    result.weighted_loss += totals.weighted_loss;
    result.penalty += totals.penalty;
    result.samples += totals.samples;
    result.next += totals.samples;
    result.steps += totals.steps;
    result.metrics.resize(metrics_.size());
    for (size_t m = 0; m < metrics_.size(); ++m) {
        result.metrics[m].resize(sums[m].size());
        for (size_t i = 0; i < sums[m].size(); ++i) result.metrics[m][i] += sums[m][i];
    }
    return totals.steps;
}

// As many as there is room for, and as end soon enough for those who wait: signals are looked for in between.
template <class T>
Index Plan<T>::steps_staged(const Rows& x, Index size, bool held) const noexcept {
    constexpr double paces[] = {1.0, 2.0, 5.0};  // of large products, by their precision
    const double soon = work_ahead * paces[int(spec_.precision)] / std::max(1.0, step_work(size));
    const Index most = soon < double(steps_ahead) ? std::max<Index>(1, Index(soon)) : steps_ahead;
    const Index bytes = std::max<Index>(1, input_.cols * bytes_of(x.source) * size);
    return held ? most : std::clamp<Index>(staged_bytes / bytes, 1, most);
}

// Is every step the same but for what the device looks up?
template <class T>
bool Plan<T>::capturable() const noexcept {
    return spec_.optimizer.accumulate == 1 && spec_.optimizer.overwrite == 0 && !draws_regions_;
}

// Its operations, about, if the step is so small that launches would be most of it; else 0. float64 is not in a hurry.
template <class T>
double Plan<T>::small_step(Index rows) const noexcept {
    if (!spec_.programs || spec_.float64 || spec_.features > narrow) return 0.0;
    for (const Stages* stages : {&forward_, &loss_, &backward_})
        for (const Stage<T>& stage : *stages)
            for (const auto& step : stage.steps)
                if (step->cols > narrow) return 0.0;
    const double work = step_work(rows);
    return work <= small_work ? work : 0.0;
}

template <class T>
double Plan<T>::step_work(Index rows) const noexcept {
    double work = 0;
    for (const Stages* stages : {&forward_, &loss_, &backward_})
        for (const Stage<T>& stage : *stages)
            for (const auto& step : stage.steps) work += step->work(rows);
    return work;
}

// What a program of so many operations keeps on the chip: activations if all of them fit, and gradients if both do.
// Blocks do not see each other's.
template <class T>
OnChip Plan<T>::on_chip(double operations) const noexcept {
    if (!chip_.memory || !(operations > 0) || table_.device->blocks(operations) > 1) return {};
    for (const bool gradients : {true, false})
        if (const size_t bytes = arena_.chip_bytes(gradients); bytes <= chip_.bytes)
            return {chip_.memory, gradients, bytes};
    return {};
}

// The step as the device keeps it, or null.
template <class T>
void* Plan<T>::capture(const Staged& staged, const Batch& batch, Captured& captured) {
    Captured wanted;
    wanted.rows = batch.rows;
    wanted.x = staged.x;
    wanted.y = staged.y.values;
    wanted.labels = staged.y.labels;
    wanted.weights = staged.y.weights;
    wanted.order = batch.order;
    const auto key = [](const Captured& c) {
        return std::tie(c.rows, c.x.data, c.x.row_bytes, c.x.source, c.y.data, c.y.row_bytes, c.y.source, c.labels,
                        c.weights, c.order);
    };
    if (captured.rows > 0 && key(captured) == key(wanted)) return captured.graph;
    if (!table_.device->brought(0)) return nullptr;  // after a failure there is nothing to keep
    table_.device->forget(captured.graph);
    captured = {};
    const auto captured_as = [&](const Table<T>& table, double small) {
        const OnChip chip = on_chip(small);
        Plan twin(*this, table, chip);  // whose counters nobody looks at
        table_.device->begin_capture(small, chip.memory, chip.bytes);
        twin.enqueue_step(batch);
        return table_.device->end_capture();
    };
    try {
        const double small = small_step(batch.rows);
        if (small > 0) wanted.graph = captured_as(recorded_ ? *recorded_ : table_, small);
        if (!wanted.graph) wanted.graph = captured_as(table_, 0);
    } catch (const std::bad_alloc&) {  // no room for the twin: the step goes kernel by kernel
        return nullptr;
    }
    captured = wanted;
    return captured.graph;
}

// Steps are enqueued for many batches, the rows of the next ones are packed meanwhile, then the outcome is waited for.
template <class T>
Result Plan<T>::train_on_device(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end,
                                Index size, double budget_ms, Interrupt& interrupt) {
    const Budget budget(budget_ms);
    const Device& device = *table_.device;
    // rows that lie there cannot be packed in an order: what goes with them is sent for this call
    const auto done_with = [](Plan* plan) { plan->let_go(); };
    std::unique_ptr<Plan, decltype(done_with)> keeps;
    if (x.there && order && begin < end && !is_held(x, y, order, begin, end)) {
        keeps.reset(this);
        keep_there(x, y, 1 + Index(*std::max_element(order + begin, order + end)));
    }
    const bool held = is_held(x, y, order, begin, end);
    const Index ahead = std::min(rows_ahead(size), steps_staged(x, size, held) * size);
    const auto rows_from = [&](Index row) { return std::min(ahead, end - row); };
    const auto staged_from = [&](Index row, int side) {
        return held ? held_.there : send_rows(x, y, order, row, rows_from(row), side);
    };
    Result result;
    result.next = begin;
    Staged staged;
    if (begin < end) staged = staged_from(begin, 0);
    for (int side = 0; result.next < end; side = 1 - side) {
        const Index first = result.next, count = rows_from(first);
        const int64_t step_before = step, passes_before = passes, pending_before = pending;
        device.receive();
        const Index steps = divide_up(count, size), multipliers = Index(rates_.size());
        for (Index i = 0; i < steps; ++i) {
            set_scalars(host_scalars_.data() + i * multipliers);
            count_steps(1);
        }
        step = step_before, passes = passes_before, pending = pending_before;
        put(scalars_ahead_, host_scalars_.data(), steps * multipliers);
        if (held && order) put(order_, order + first, count);
        const Cursor start{held && !order ? first : 0, 0, uint64_t(passes)};
        put(cursor_, &start, 1);
        clear_totals();
        const bool counts = device.brought(0);  // nothing has failed so far
        device.guard(reinterpret_cast<const int32_t*>(&verdict_->status));
        Batch batch;
        for (Index i = 0, taken = 1; i < steps; i += taken) {
            batch = batch_at(staged.x, staged.y, held && order ? order_ : nullptr, 0, std::min(size, count - i * size));
            batch.training = batch.gradients = true;
            batch.cursor = cursor_;
            batch.pass = uint64_t(draws_regions_ ? passes : 0);
            batch.pass_at = draws_regions_ ? nullptr : &cursor_->pass;
            if (spec_.optimizer.accumulate > 1 && ends_accumulation())
                batch.accumulated_scale = 1.0 / double(spec_.optimizer.accumulate);
            Captured& captured = captured_[held ? 0 : side];
            void* const same =
                batch.rows == size && size <= warm_rows_ && capturable() ? capture(staged, batch, captured) : nullptr;
            taken = same ? count / size - i : 1;
            if (same) {
                device.replay(same, taken);
                count_steps(taken);
                programmed += device.places(same) > 0 ? taken : 0;
                kernels = device.kernels(same);
            } else {
                enqueue_step(batch);
                warm_rows_ = std::max(warm_rows_, batch.rows);
            }
        }
        device.guard(nullptr);
        step = step_before, passes = passes_before, pending = pending_before;
        std::exception_ptr no_room;  // for the next rows; what is under way counts first
        try {
            if (first + count < end) staged = staged_from(first + count, 1 - side);
        } catch (const std::bad_alloc&) {
            no_room = std::current_exception();
        }
        Verdict verdict;
        int64_t done = 0;
        try {
            check_device();
            verdict = fetched(verdict_);
            done = add_totals(result);
        } catch (...) {  // what was done before counts, if the device still says how much
            const Totals totals = counts ? fetched(totals_) : Totals{};
            if (!device.wait(nullptr)) count_steps(totals.steps);
            throw;
        }
        count_steps(done);
        if (no_room) std::rethrow_exception(no_room);
        if (verdict.status == Status::loss) {
            // The refused step's layers are about to be looked at. Of a program they were on the chip, and the
            // library's products do not look at the guard: they are made again.
            const Cursor refused{start.row + done * size, done, uint64_t(passes)};
            put(cursor_, &refused, 1);
            batch.rows = std::min(size, count - done * size);
            batch.pass = uint64_t(draws_regions_ ? passes : 0);
            Interrupt never;
            run(forward_, batch, never);
        }
        if (!accept(verdict, batch, result) || budget.over() || interrupt.look()) break;
    }
    check_device();
    return result;
}

template <class T>
Result Plan<T>::evaluate_on_device(const Rows& x, const Targets& y, Index begin, Index end, double budget_ms,
                                   bool training, Interrupt& interrupt) {
    const Budget budget(budget_ms);
    const Index size = spec_.batch, ahead = steps_staged(x, size, false) * size;
    const auto staged_from = [&](Index row, int side) {
        return send_rows(x, y, nullptr, row, std::min(ahead, end - row), side);
    };
    Result result;
    result.next = begin;
    Staged next;
    if (begin < end) next = staged_from(begin, 0);
    for (int side = 0; result.next < end; side = 1 - side) {
        const Index first = result.next, count = std::min(ahead, end - first);
        const Staged staged = next;
        table_.device->receive();
        clear_totals();
        for (Index row = 0; row < count; row += size) {
            Batch batch = batch_at(staged.x, staged.y, nullptr, row, std::min(size, count - row));
            batch.training = training;
            run(forward_, batch, interrupt);
            run(loss_, batch, interrupt);
            Judgement j = judgement(batch);
            j.tensors = 0;
            j.checks = false;
            j.totals = totals_;
            table_.device->judge(j);
        }
        std::exception_ptr no_room;  // the rows of this side are waited for first
        try {
            if (first + count < end) next = staged_from(first + count, 1 - side);
        } catch (const std::bad_alloc&) {
            no_room = std::current_exception();
        }
        check_device();
        if (no_room) std::rethrow_exception(no_room);
        add_totals(result);
        if (budget.over() || interrupt.look()) break;
    }
    return result;
}

// `enqueue` leaves what follows from a batch where it is told, a row for each of the batch's or one for all of them.
// The device works on one slice of batches while the rows of the next are packed and sent, and the results of the one
// before, which is waited for, are handed out. The row that is next: all before it are done.
template <class T>
Index Plan<T>::in_slices(const Rows& x, Index begin, Index end, const ResultRows& results, bool a_row_each,
                         const std::function<void(const Batch&, T*)>& enqueue, double budget_ms, Interrupt& interrupt) {
    const Budget budget(budget_ms);
    const Device& device = *table_.device;
    const Index size = spec_.batch;
    const auto results_of = [&](Index rows) { return a_row_each ? rows : divide_up(rows, size); };
    const Index most = brought_bytes / (results_of(size) * Index(results.bytes));
    const Index ahead = std::clamp<Index>(most, 1, steps_staged(x, size, false)) * size;
    const auto staged_from = [&](Index row, int side) {
        return send_rows(x, {}, nullptr, row, std::min(ahead, end - row), side);
    };
    ResultRows brought[2];
    const auto waits = [](const Device* d) { d->wait(nullptr); };
    const std::unique_ptr<const Device, decltype(waits)> under_way(&device, waits);  // what is thrown leaves nothing so
    Staged next;
    if (begin < end) next = staged_from(begin, 0);
    Index first = begin;
    for (int side = 0; first < end; side = 1 - side) {
        const Index count = std::min(ahead, end - first);
        const size_t bytes = size_t(results_of(count)) * results.bytes;
        char* const there = static_cast<char*>(staging_->results(side, bytes));
        const Staged staged = next;
        device.receive();
        for (Index row = 0; row < count; row += size)
            enqueue(batch_at(staged.x, {}, nullptr, row, std::min(size, count - row)),
                    reinterpret_cast<T*>(there + results_of(row) * Index(results.bytes)));
        brought[side] = results;
        brought[side].to += results_of(first - begin) * results.stride;
        device.bring(there, bytes, unpack_rows, &brought[side]);
        first += count;
        if (!device.brought(1) || budget.over() || interrupt.look()) break;
        if (first < end) next = staged_from(first, 1 - side);
    }
    check_device();
    return first;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
