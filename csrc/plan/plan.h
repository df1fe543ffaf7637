// A network compiled to steps over one arena. Built once; afterwards nothing is allocated and no address changes.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../base/judge.h"
#include "../base/table.h"
#include "../cpu/pool.h"
#include "../cpu/sharing.h"
#include "arena.h"
#include "on_device.h"
#include "spec.h"
#include "steps_dense.h"
#include "steps_gradient.h"
#include "steps_loss.h"
#include "steps_norm.h"
#include "steps_rows.h"

namespace fusednet {

// Asks whether to stop, every 20 ms, and only from the thread that made it; what runs then ends with nothing changed.
class Interrupt {
public:
    explicit Interrupt(bool (*asked)() = nullptr) : asked_(asked), last_(std::chrono::steady_clock::now()) {}
    bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }
    bool look();

private:
    bool (*asked_)();
    std::chrono::steady_clock::time_point last_;
    std::atomic<bool> stopped_{false};
};

// Time that a call may take.
class Budget {
public:
    explicit Budget(double ms)
        : end_(std::chrono::steady_clock::now() + std::chrono::duration<double, std::milli>(ms)) {}
    bool over() const { return std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::time_point<std::chrono::steady_clock, std::chrono::duration<double, std::nano>> end_;
};

struct Result {
    Index next = 0;  // position of the first row that was not used
    Index steps = 0;
    double loss = 0.0;           // sum over samples
    double weighted_loss = 0.0;  // sum over batches of (rows x the batch's sum)
    double penalty = 0.0;        // sum over batches of (rows x the penalties)
    Index samples = 0;
    std::vector<std::vector<double>> metrics;  // the sums of each
    Status status = Status::ok;
    std::string bad;   // the first layer or tensor that is not finite
    double value = 0;  // its loss, or the gradient's norm
    double norm =
        0;  // global norm of the gradient before clipping; without clipping by norm it may be a bound above it
};

struct TensorInfo {
    std::string name, layer, role;
    std::vector<Index> shape;
    bool trainable;
    std::vector<std::string> slots;
};

// The plan as bindings see it, for either scalar type. Arrays that cross here are contiguous, of the plan's type.
class PlanBase {
public:
    virtual ~PlanBase() = default;

    virtual std::vector<TensorInfo> tensors() const = 0;
    // The tensor or slot of that name (null: unknown) or, with `gradient`, the tensor's gradient.
    virtual bool read(const std::string& name, bool gradient, void* out) = 0;
    virtual bool write(const std::string& name, bool gradient, const void* values) = 0;
    virtual std::string describe() const = 0;
    virtual size_t nbytes() const = 0;
    virtual Index outputs() const = 0;

    virtual Result train(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end, Index batch,
                         double budget_ms, Interrupt& interrupt) = 0;
    virtual Result evaluate(const Rows& x, const Targets& y, Index begin, Index end, double budget_ms, bool training,
                            Interrupt& interrupt) = 0;
    virtual Index predict(const Rows& x, void* out, Index out_row_bytes, Index begin, Index end, double budget_ms,
                          Interrupt& interrupt) = 0;
    // Keeps rows that training is about to come back to in the device's memory, if they fit; they do not change
    // meanwhile. Nothing on the host.
    virtual void hold(const Rows& x, const Targets& y, Index rows) = 0;
    virtual void release() = 0;
    // Has Ctrl-C left part of an update to the next use of the state?
    virtual bool interrupted_update() const = 0;
    // Each BatchNormalization's moving statistics become those of its inputs over all rows, in inference mode.
    virtual Result recalibrate(const Rows& x, Index begin, Index end, Interrupt& interrupt) = 0;
    virtual Result compute_gradients(const Rows& x, const Targets& y, Index rows, void* input_gradient) = 0;
    virtual Result apply_gradients() = 0;
    // Two numbers an index: the derivative of the reduced loss (NaN at a kink) and the estimate of its own error.
    virtual Index differences(const Rows& x, const Targets& y, Index rows, const std::string* tensor,
                              const int64_t* indices, Index count, double step, double budget_ms, double* out,
                              Interrupt& interrupt) = 0;

    // Where the loss has no derivative: names, and how many inputs there lie on a bend.
    virtual std::vector<std::pair<std::string, Index>> kinks(const Rows& x, const Targets& y, Index rows) = 0;

    const PlanSpec& spec() const noexcept { return spec_; }
    double current_learning_rate() const noexcept;

    int64_t step = 0;        // updates done
    int64_t passes = 0;      // batches trained on: what random layers draw by
    int64_t pending = 0;     // batches whose gradients wait in the accumulators
    int64_t programmed = 0;  // steps so far that were handed to launches of many
    int64_t kernels = 0;     // of the latest step that a device has kept
    double learning_rate = 0.0;

protected:
    explicit PlanBase(PlanSpec spec) : spec_(std::move(spec)) {
        if (spec_.has_optimizer) learning_rate = spec_.optimizer.hyper[0];
    }
    PlanSpec spec_;
};

std::unique_ptr<PlanBase> make_plan(PlanSpec spec);

// What products are made of: the table may have none of the precision asked for.
std::string product_text(const Table<float>& table, Precision precision);

constexpr Index most_rows_ahead = Index(1) << 20;
constexpr Index steps_ahead = 256;   // whose scalars a device gets at once
constexpr double work_ahead = 1e12;  // operations, about, until it is waited for: 20 ms at 50 TFLOP/s

// A task of so many operations takes long enough (about 10 µs) to read the clock after it.
constexpr double worth_looking = 1e6;

// float64 is the truth that others are held against: it keeps its denormals
template <class T>
constexpr bool flush = std::is_same_v<T, float>;

// Steps that run one after the other for each task, with no wait between them.
template <class T>
struct Stage {
    std::vector<std::unique_ptr<Step<T>>> steps;
    bool closed = false;  // no other step joins
};

template <class T>
class Plan final : public PlanBase {
public:
    Plan(PlanSpec spec, const Table<T>& table, const Table<T>* recorded = nullptr);
    ~Plan() override;

    std::vector<TensorInfo> tensors() const override;
    bool read(const std::string& name, bool gradient, void* out) override;
    bool write(const std::string& name, bool gradient, const void* values) override;
    std::string describe() const override;
    size_t nbytes() const override { return arena_.bytes(); }
    Index outputs() const override { return output_.cols; }
    bool interrupted_update() const override { return interrupted_update_; }

    Result train(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end, Index batch,
                 double budget_ms, Interrupt& interrupt) override;
    Result evaluate(const Rows& x, const Targets& y, Index begin, Index end, double budget_ms, bool training,
                    Interrupt& interrupt) override;
    Index predict(const Rows& x, void* out, Index out_row_bytes, Index begin, Index end, double budget_ms,
                  Interrupt& interrupt) override;
    void hold(const Rows& x, const Targets& y, Index rows) override;
    void release() override;
    Result compute_gradients(const Rows& x, const Targets& y, Index rows, void* input_gradient) override;
    Result apply_gradients() override;
    Result recalibrate(const Rows& x, Index begin, Index end, Interrupt& interrupt) override;
    Index differences(const Rows& x, const Targets& y, Index rows, const std::string* tensor, const int64_t* indices,
                      Index count, double step, double budget_ms, double* out, Interrupt& interrupt) override;
    std::vector<std::pair<std::string, Index>> kinks(const Rows& x, const Targets& y, Index rows) override;

private:
    using Stages = std::vector<Stage<T>>;

    // The same network over the same memory, but for what lies on the chip: a step of it can be recorded, which is all
    // that it is good for.
    Plan(const Plan& plan, const Table<T>& table, const OnChip& chip);

    // One group of fused neighbours: Dense, BatchNormalization and activation, each of them optional; or one other
    // layer.
    struct Block {
        const LayerSpec *dense = nullptr, *norm = nullptr, *act = nullptr, *other = nullptr;
        ActivationSpec activation{};
        bool closed = false;
        const LayerSpec& last() const { return *(other ? other : act ? act : norm ? norm : dense); }
        std::string label() const;
    };
    // Where a layer's output lies, to find the first one that is not finite.
    struct Watch {
        std::string layer;
        Value<T> value;
    };
    // A piecewise step, to find inputs that lie on a bend: an activation behind its product and its normalisation, the
    // largest of several products, or a pooling layer.
    struct Bend {
        std::string layer;
        Value<T> x;
        Index cols = 0, pieces = 1;
        const DenseArrays<T>* dense = nullptr;
        const Norm<T>* norm = nullptr;
        ActivationUse<T> f{};
        const PoolRegions* regions = nullptr;
    };
    struct Difference {
        double slope, bend;
    };
    // Elements of a tensor from `begin` on or, where the gradient is not stored, the panel `begin`.
    struct UpdateChunk {
        const Tensor<T>* tensor;
        Index begin, count;
        const KernelGradient<T>* unstored;
    };
    using Steps = std::vector<std::unique_ptr<Step<T>>>;

    static std::vector<Block> group(const std::vector<LayerSpec>& layers);
    void compile();
    void fill();
    ActivationSpec take_head(std::vector<Block>& blocks);
    Tensor<T>* add_tensor(const LayerSpec& layer, const char* role, Index rows, Index cols, bool vector, bool trains);
    bool measures(const LayerSpec& layer, const Tensor<T>& tensor) const;
    void measure(const std::string& label, const DenseArrays<T>* dense, Value<T> x, View<T> dz);
    Norm<T>* add_norm(const LayerSpec& layer, View<T> input, Index cols);
    const SlopeSource<T>* add_slope(const LayerSpec& layer, const ActivationSpec& activation, Index cols);
    ActivationUse<T> use_of(const LayerSpec& layer, const ActivationSpec& activation, Index cols);
    View<T> add_matrix(Index cols) { return arena_.matrix<T>(spec_.batch, cols, Use::activations); }
    Value<T> add_value(Index cols) { return {cols, add_matrix(cols), spec_.has_loss ? add_matrix(cols) : View<T>{}}; }
    bool differentiates() const { return spec_.has_loss && (trains_ || spec_.input_gradient); }
    Value<T> place_chain(const std::vector<Block>& blocks, Value<T> x);
    Value<T> place(const Block& block, Value<T> x);
    Value<T> place_fused(const Block& block, Value<T> x, Steps& backward);
    Value<T> place_row_activation(const Block& block, Value<T> x, Steps& backward);
    Value<T> place_layer_norm(const LayerSpec& layer, Value<T> x, Steps& backward);
    Value<T> place_noise(const LayerSpec& layer, Value<T> x, Steps& backward);
    Value<T> place_pool(const LayerSpec& layer, Value<T> x, Steps& backward);
    Value<T> place_residual(const LayerSpec& layer, Value<T> x);
    void place_activity_penalty(const LayerSpec& layer, Value<T> y, Steps& backward);
    void place_loss(const ActivationSpec& head, TargetRows<T>* targets);
    void place_update();
    template <class A>
    A* keep(A description) {
        auto held = std::make_shared<A>(std::move(description));
        kept_.push_back(held);
        return held.get();
    }
    template <class S, class... Args>
    static void append(Stages& stages, Args&&... args) {
        append(stages, std::make_unique<S>(std::forward<Args>(args)...));
    }
    static void append(Stages& stages, std::unique_ptr<Step<T>> step);

    bool run(const Stages& stages, const Batch& batch, Interrupt& interrupt);
    void run_stage(const Stage<T>& stage, const Batch& batch, Interrupt& interrupt);
    Turn use();
    double loss_sum(Index rows) const noexcept;
    double penalty_sum(Index rows) const noexcept;
    double reduced_loss(const Batch& batch) const noexcept;
    void count(Index rows, Result& result) const;
    void start_device();
    void check_device() const;
    std::string first_nonfinite(const Batch& batch) const;
    Judgement judgement(const Batch& batch) const noexcept;
    bool accept(const Verdict& verdict, const Batch& batch, Result& result) const;
    bool finite_gradients(Result& result);
    bool finite_statistics(const Batch& batch, Result& result);
    void set_scalars(StepScalars* scalars) const noexcept;
    Staged send_rows(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index rows, int side);
    Staged stage(const Rows& x, const Targets& y, Index begin, Index rows);
    void enqueue_step(const Batch& batch);
    bool capturable() const noexcept;
    double small_step(Index rows) const noexcept;
    double step_work(Index rows) const noexcept;
    OnChip on_chip(double operations) const noexcept;
    void* capture(const Staged& staged, const Batch& batch, Captured& captured);
    bool is_held(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end) const noexcept;
    void keep_there(const Rows& x, const Targets& y, Index rows);
    void let_go() noexcept;
    Index rows_ahead(Index size) const noexcept { return std::max<Index>(1, most_rows_ahead / size) * size; }
    void prepare_scalars();
    void count_steps(int64_t steps) noexcept;
    void clear_totals() const;
    int64_t add_totals(Result& result) const;
    Index steps_staged(const Rows& x, Index size, bool held) const noexcept;
    Result train_on_device(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end, Index size,
                           double budget_ms, Interrupt& interrupt);
    Result evaluate_on_device(const Rows& x, const Targets& y, Index begin, Index end, double budget_ms, bool training,
                              Interrupt& interrupt);
    Index in_slices(const Rows& x, Index begin, Index end, const ResultRows& results, bool a_row_each,
                    const std::function<void(const Batch&, T*)>& enqueue, double budget_ms, Interrupt& interrupt);
    // Between the plan's memory and the host's.
    template <class A>
    void fetch(A* to, const A* from, Index count) const {
        if (table_.device)
            table_.device->download(to, from, size_t(count) * sizeof(A));
        else
            std::copy(from, from + count, to);
    }
    template <class A>
    void put(A* to, const A* from, Index count) const {
        if (table_.device)
            table_.device->upload(to, from, size_t(count) * sizeof(A));
        else
            std::copy(from, from + count, to);
    }
    void fetch_rows(View<const T> from, Index cols, Index rows, char* to, Index row_bytes) const;
    void put_rows(View<T> to, Index cols, Index rows, const T* from) const;
    template <class A>
    A fetched(const A* from) const {
        A value{};
        fetch(&value, from, 1);
        return value;
    }
    void measure_gradients(double accumulated_scale) noexcept;
    void update(const Batch& batch, Interrupt& interrupt) noexcept;
    void update_chunks(Index rows, Interrupt& interrupt) noexcept;
    void finish_update() noexcept;
    void update_chunk(const UpdateChunk& chunk, const Batch& batch, T* scratch) noexcept;
    template <class Asked>
    void measure_at_once(const Asked& asked) noexcept;
    void update_at_once(const Batch& batch) noexcept;
    UpdateArgs<T> update_args(const Tensor<T>& t, Index offset, Index rows, Index cols, Index ld,
                              View<const T> gradient) const noexcept;
    void update_part(const Tensor<T>& t, Index offset, Index rows, Index cols, Index ld,
                     View<const T> gradient) noexcept;
    void settle_norms(const Batch& batch, Interrupt& interrupt) noexcept;
    void constrain() noexcept;
    void keep_gradients() noexcept;
    void forget_gradients() noexcept;
    const std::vector<MovingAverage<T>>& averages_asked(const Batch& batch) noexcept;
    void move_averages(const Batch& batch) noexcept;
    bool ends_accumulation() const noexcept { return pending + 1 >= spec_.optimizer.accumulate; }
    bool finite_loss(const Batch& batch, Result& result) const;
    bool take_step(const Batch& batch, Interrupt& interrupt, Result& result);
    Difference difference(const Batch& batch, T* element, double value, double h, double at_value,
                          Interrupt& interrupt);
    Index bends_of(const Bend& bend, const Batch& batch);
    Index bends_of(const PoolRegions& regions, View<const T> x, Index rows) const;
    Index bends_of_loss(Batch batch);
    View<T> find(const std::string& name, bool gradient, const Tensor<T>** tensor) const;
    Batch batch_at(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index rows) const noexcept;

    Table<T> table_;            // whose gemm is the product of the plan's precision
    const Table<T>* recorded_;  // takes its place while a small step is captured, or null
    Arena arena_;
    Queue queue_;  // ends first: what it has under way may use the arena

    std::vector<std::unique_ptr<Tensor<T>>> tensors_;
    std::vector<Norm<T>*> norms_;              // those with statistics of their own
    std::vector<Norm<T>*> learning_norms_;     // and not frozen
    std::vector<std::shared_ptr<void>> kept_;  // what steps refer to
    std::vector<Steps> backward_of_;           // a block each, until they are put in reverse
    Steps measures_of_;                        // until they are put behind them
    std::vector<Watch> watches_;
    std::vector<Bend> bends_;
    std::vector<UpdateChunk> chunks_;
    std::vector<uint8_t> updated_;                  // chunks of the latest update, each by one thread
    std::atomic<bool> interrupted_update_ = false;  // some of them are left to do
    Index interrupted_rows_ = 0;                    // of its batch
    std::vector<const KernelGradient<T>*> measured_;
    std::vector<double> rates_;  // the multipliers of the learning rate that layers use
    std::vector<std::pair<T*, std::pair<Index, double>>> first_values_;  // what is not zero before training
    std::vector<ActivityPenalty<T>*> activity_;
    std::vector<MetricUse> metrics_;
    const LossStep<T>* loss_step_ = nullptr;
    Stages forward_, loss_, backward_, head_;

    Value<T> input_, last_, output_;  // last_: before a head that the loss contains
    bool trains_ = false;             // some parameter placed so far is trainable
    bool constrained_ = false;
    uint64_t random_layers_ = 0;
    double* losses_ = nullptr;
    std::vector<Tensor<T>*> trained_;  // and a number of each of them:
    double *squares_ = nullptr, *scales_ = nullptr, *penalties_ = nullptr;
    std::vector<TensorRule> rules_;
    TensorRule* device_rules_ = nullptr;  // the same in the device's memory
    double* activities_ = nullptr;        // on a device: the values of activity_
    double* sound_ = nullptr;             // of each of learning_norms_: 0 where its statistics are finite
    Verdict* verdict_ = nullptr;
    Totals* totals_ = nullptr;
    StepScalars* scalars_ = nullptr;  // one a multiplier
    std::vector<StepScalars> host_scalars_;
    // On a device: where it stands, and what it finds there.
    Cursor* cursor_ = nullptr;
    StepScalars* scalars_ahead_ = nullptr;
    int64_t* order_ = nullptr;  // of the rows of many steps
    Captured captured_[2];
    OnChip chip_;  // the most that a program may keep there
    Index warm_rows_ =
        0;  // of the largest step so far that was run without a capture: it made room for partial results
    Held held_;
    bool draws_regions_ = false;  // on the host, anew for each batch
    // What a device is asked for all at once: room for it, so that nothing is allocated within a step.
    struct {
        std::vector<Measure<T>> measures;
        std::vector<UpdateArgs<T>> updates;
        std::vector<MovingAverage<T>> averages;
    } asked_;
    int64_t* found_row_ = nullptr;  // on a device: by a search
    std::unique_ptr<Staging> staging_;
    T* scratch_ = nullptr;
    Sharing training_, inference_;
    std::mutex busy_;  // one thread at a time
    int forks_ = 0;
};

extern template class Plan<float>;
extern template class Plan<double>;

}  // namespace fusednet
