// From layers to steps: neighbours fused, buffers placed, backward written as the list reversed.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "../cuda/pick.h"
#include "plan.h"

namespace fusednet {
namespace {

constexpr Index update_chunk_size =
    16 * 1024;  // elements a task of the update: its arrays stay in the second-level cache

bool identity(const ActivationSpec& a) {
    return !a.by_row && a.kind == Activation::linear;
}

// The loss that contains an output activation, so that both are one pass over logits.
struct HeadFusion {
    Loss loss, fused;
    bool softmax;  // else sigmoid
    bool of(const ActivationSpec& a) const noexcept {
        return softmax ? a.by_row && a.row == RowActivation::softmax : !a.by_row && a.kind == Activation::sigmoid;
    }
};
// The steps' products go through `gemm`, but for those that norms are made of.
template <class T>
Table<T> at_precision(Table<T> table, Precision precision) noexcept {
    table.reduced[int(Precision::highest)] = table.gemm;
    table.gemm = table.product(precision);
    return table;
}

constexpr HeadFusion head_fusions[] = {
#define FUSEDNET_ROW(loss, fused, softmax) {Loss::loss, Loss::fused, softmax},
    FUSEDNET_LOSS_FUSIONS(FUSEDNET_ROW)
#undef FUSEDNET_ROW
};

}  // namespace

template <class T>
std::string Plan<T>::Block::label() const {
    std::string label;
    for (const LayerSpec* layer : {dense, norm, act, other})
        if (layer) label += (label.empty() ? "" : "+") + layer->name;
    return label;
}

template <class T>
auto Plan<T>::group(const std::vector<LayerSpec>& layers) -> std::vector<Block> {
    std::vector<Block> blocks;
    const auto open = [&] {
        return !blocks.empty() && !blocks.back().other && !blocks.back().closed && identity(blocks.back().activation);
    };
    for (const LayerSpec& layer : layers) {
        switch (layer.kind) {
            case LayerSpec::Kind::dense:
                blocks.push_back({.dense = &layer});
                if (!layer.activation.by_row) blocks.back().activation = layer.activation;
                // a row activation looks at whole rows: it is a block of its own
                if (layer.activation.by_row) blocks.push_back({.act = &layer, .activation = layer.activation});
                blocks.back().closed = layer.pieces > 1;
                break;
            case LayerSpec::Kind::batch_normalization:
            case LayerSpec::Kind::normalization:
                if (open() && blocks.back().dense && !blocks.back().norm && !blocks.back().act)
                    blocks.back().norm = &layer;
                else
                    blocks.push_back({.norm = &layer});
                break;
            case LayerSpec::Kind::activation:
                if (layer.activation.by_row || !open()) blocks.push_back({});
                blocks.back().act = &layer;
                blocks.back().activation = layer.activation;
                break;
            default:
                blocks.push_back({.other = &layer});
        }
        // a penalty on a layer's outputs wants to see them
        blocks.back().closed = blocks.back().closed || layer.active();
    }
    return blocks;
}

// Takes off the output activation that the loss contains; it is computed for predictions and metrics only.
template <class T>
ActivationSpec Plan<T>::take_head(std::vector<Block>& blocks) {
    if (!spec_.has_loss || spec_.loss.from_logits || blocks.empty()) return {};
    Block& block = blocks.back();
    if (block.other || block.last().active()) return {};
    for (const HeadFusion& fusion : head_fusions) {
        if (fusion.loss != spec_.loss.kind || !fusion.of(block.activation)) continue;
        const ActivationSpec head = block.activation;
        block.activation = {};
        if (!block.dense && !block.norm) blocks.pop_back();
        return head;
    }
    return {};
}

// Can the norm of this tensor's gradient be known before the gradient? A kernel's, where nothing but its own product
// adds to it. float64 plans store all: they are what others are held against.
template <class T>
bool Plan<T>::measures(const LayerSpec& layer, const Tensor<T>& tensor) const {
    // An update by panels reads short rows where one of a stored gradient streams: with slots it costs more time than
    // the gradient's own traffic, up to sizes that no cache holds (Zen 4, one core: 0.9 of the speed at 4 M elements
    // and batch 128, 0.97 at 17 M and batch 512). Without slots it wins from where the gradient leaves the
    // first-level cache.
    const OptimizerSpec& optimizer = spec_.optimizer;
    const double worth_measuring = optimizer.slots > 0 ? 8.0 * 1024.0 * 1024.0 : 16.0 * 1024.0;
    return std::is_same_v<T, float> && !table_.device && spec_.has_optimizer && layer.kind == LayerSpec::Kind::dense &&
           !tensor.vector && layer.drop_rate == 0.0 && double(tensor.rows) * double(tensor.cols) >= worth_measuring &&
           tensor.rules.l1 == 0.0 && tensor.rules.l2 == 0.0 && optimizer.accumulate == 1 &&
           optimizer.clip_norm == OptimizerSpec::none;
}

template <class T>
Tensor<T>* Plan<T>::add_tensor(const LayerSpec& layer, const char* role, Index rows, Index cols, bool vector,
                               bool trains) {
    auto tensor = std::make_unique<Tensor<T>>();
    const auto rules = layer.roles.find(role);
    *tensor = {.name = layer.name + "/" + role,
               .layer = layer.name,
               .role = role,
               .rows = rows,
               .cols = cols,
               .vector = vector,
               .trainable = trains && layer.trainable,
               .rules = rules == layer.roles.end() ? RoleSpec{} : rules->second,
               .value = arena_.template matrix<T>(rows, cols, Use::parameters),
               .gradient = {},
               .slot = {},
               .average = {},
               .accumulator = {},
               .norms = nullptr,
               .width = panel_columns(table_, cols),
               .panels = divide_up(cols, panel_columns(table_, cols)),
               .penalties = nullptr,
               .scale = nullptr};
    if (!std::strcmp(role, "gamma") || !std::strcmp(role, "moving_variance") || !std::strcmp(role, "variance"))
        first_values_.push_back({tensor->value.data, {cols, 1.0}});
    if (tensor->trainable && spec_.has_loss) {
        const OptimizerSpec& optimizer = spec_.optimizer;
        const Index size = Arena::checked(rows, tensor->value.ld);
        const auto more = [&](Use use) { return View<T>{arena_.template take<T>(size, use), tensor->value.ld}; };
        const bool clips = optimizer.global_clip_norm < OptimizerSpec::none, measurable = measures(layer, *tensor);
        // without clipping by norm no gradient is asked for before the update
        tensor->stored = !measurable || spec_.gradients || (clips && !gram_pays(spec_.batch, rows, cols));
        if (tensor->stored) tensor->gradient = more(Use::gradients);
        tensor->measured = measurable && (clips || !tensor->stored);
        tensor->norms = arena_.template take<double>(tensor->panels, Use::scratch);
        if (tensor->rules.l1 > 0.0 || tensor->rules.l2 > 0.0)
            tensor->penalties = arena_.template take<double>(tensor->panels, Use::scratch);
        for (int s = 0; spec_.has_optimizer && s < optimizer.slots; ++s) {
            tensor->slot[s] = more(Use::slots).data;
            if (optimizer.slot_values[size_t(s)] != 0.0)
                first_values_.push_back({tensor->slot[s], {size, optimizer.slot_values[size_t(s)]}});
        }
        if (spec_.has_optimizer && optimizer.averages) tensor->average = more(Use::slots);
        if (spec_.has_optimizer && optimizer.accumulate > 1) tensor->accumulator = more(Use::slots);
        const auto rate = std::find(rates_.begin(), rates_.end(), layer.learning_rate);
        tensor->rate = int(rate - rates_.begin());
        if (rate == rates_.end()) rates_.push_back(layer.learning_rate);
        tensor->decays = optimizer.weight_decay > 0.0 &&
                         std::none_of(optimizer.undecayed.begin(), optimizer.undecayed.end(),
                                      [&](const auto& part) { return tensor->name.find(part) != std::string::npos; });
        constrained_ = constrained_ || tensor->rules.constrained;
        trains_ = true;
    }
    tensors_.push_back(std::move(tensor));
    return tensors_.back().get();
}

// A step joins the stage before it where it needs only what its own task wrote there.
template <class T>
void Plan<T>::append(Stages& stages, std::unique_ptr<Step<T>> step) {
    const bool follows = !stages.empty() && !stages.back().closed && step->local &&
                         stages.back().steps.back()->split == step->split &&
                         stages.back().steps.back()->cols == step->cols;
    if (!follows) stages.emplace_back();
    stages.back().steps.push_back(std::move(step));
}

template <class T>
Value<T> Plan<T>::place_chain(const std::vector<Block>& blocks, Value<T> x) {
    for (const Block& block : blocks) x = place(block, x);
    return x;
}

template <class T>
void Plan<T>::place_loss(const ActivationSpec& head, TargetRows<T>* targets) {
    Loss kind = spec_.loss.kind;
    bool binary = false;
    for (const HeadFusion& fusion : head_fusions) {
        if (fusion.loss != spec_.loss.kind) continue;
        if (spec_.loss.from_logits || !identity(head)) kind = fusion.fused;
        binary = !fusion.softmax;
    }
    const Index tasks = row_tasks(table_, spec_.batch);
    losses_ = arena_.template take<double>(tasks, Use::scratch);
    View<T> smoothed{};
    targets->cols = last_.cols;
    if (spec_.loss.labels)
        targets->labels = arena_.template take<int32_t>(spec_.batch, Use::activations);
    else
        targets->values = add_matrix(last_.cols);
    if (spec_.loss.smoothing > 0.0) smoothed = add_matrix(last_.cols);
    targets->weights = arena_.template take<T>(spec_.batch, Use::activations);
    for (const MetricSpec& metric : spec_.metrics) {
        const Index width = metric.fixed + Arena::checked(metric.per_output, last_.cols);
        metrics_.push_back({metric, width, arena_.template take<double>(Arena::checked(tasks, width), Use::scratch)});
    }
    append<LossStep<T>>(loss_, table_, identity(head) ? "loss" : "loss with its activation", last_,
                        identity(head) ? View<T>{} : output_.data, targets, smoothed, spec_.loss, kind, binary,
                        &metrics_, losses_);
    loss_step_ = static_cast<const LossStep<T>*>(loss_.back().steps.back().get());
    for (const auto& tensor : tensors_)
        if (tensor->penalties) append<PenaltyStep<T>>(loss_, table_, "penalty " + tensor->name, tensor.get());
    for (const ActivityPenalty<T>* penalty : activity_)
        append<ActivityPenaltyStep<T>>(loss_, table_, "activity penalty", penalty);
}

template <class T>
void Plan<T>::place_update() {
    for (const auto& tensor : tensors_)
        if (tensor->trainable) trained_.push_back(tensor.get());
    const Index count = Index(trained_.size());
    squares_ = arena_.template take<double>(count, Use::scratch);
    scales_ = arena_.template take<double>(count, Use::scratch);
    penalties_ = arena_.template take<double>(count, Use::scratch);
    device_rules_ = arena_.template take<TensorRule>(count, Use::scratch);
    activities_ = arena_.template take<double>(Index(activity_.size()), Use::scratch);
    for (Norm<T>* norm : norms_)
        if (norm->learns) learning_norms_.push_back(norm);
    sound_ = arena_.template take<double>(Index(learning_norms_.size()), Use::scratch);
    verdict_ = arena_.template take<Verdict>(1, Use::scratch);
    totals_ = arena_.template take<Totals>(1, Use::scratch);
    for (size_t i = 0; i < trained_.size(); ++i) {
        Tensor<T>& t = *trained_[i];
        t.scale = scales_ + i;
        rules_.push_back({rates_[size_t(t.rate)], t.decays});
        if (!table_.device) continue;  // one task each: the device finds all of them side by side
        t.norms = squares_ + i;
        if (t.penalties) t.penalties = penalties_ + i;
    }
    for (size_t i = 0; table_.device && i < activity_.size(); ++i) activity_[i]->values = activities_ + i;
    // the longest first
    for (const KernelGradient<T>* gradient : measured_) {
        if (gradient->w->stored) continue;
        for (Index panel = 0; panel < gradient->w->panels; ++panel)
            chunks_.push_back({gradient->w, panel, 1, gradient});
    }
    for (const auto& tensor : tensors_) {
        if (!tensor->trainable || !tensor->stored) continue;
        const Index size = tensor->rows * tensor->value.ld, most = table_.device ? size : update_chunk_size;
        for (Index begin = 0; begin < size; begin += most)
            chunks_.push_back({tensor.get(), begin, size - begin < most ? size - begin : most, nullptr});
    }
    updated_.assign(chunks_.size(), 0);
    asked_.averages.reserve(2 * norms_.size());
    if (!table_.device) return;
    asked_.measures.reserve(trained_.size() + learning_norms_.size());
    asked_.updates.reserve(chunks_.size());
}

template <class T>
void Plan<T>::compile() {
    tensors_.clear();
    norms_.clear();
    learning_norms_.clear();
    activity_.clear();
    metrics_.clear();
    backward_of_.clear();
    measures_of_.clear();
    watches_.clear();
    bends_.clear();
    chunks_.clear();
    measured_.clear();
    trained_.clear();
    rules_.clear();
    first_values_.clear();
    for (Stages* stages : {&forward_, &loss_, &backward_, &head_}) stages->clear();
    kept_.clear();
    rates_ = {1.0};
    trains_ = constrained_ = draws_regions_ = false;
    random_layers_ = 0;

    scratch_ = arena_.template take<T>(scratch_bytes / Index(sizeof(T)), Use::scratch);
    input_ = {spec_.features, add_matrix(spec_.features), {}};
    if (spec_.input_gradient) input_.gradient = add_matrix(spec_.features);
    TargetRows<T>* const targets = keep(TargetRows<T>{});
    append<GatherRows<T>>(forward_, table_, input_, targets);
    forward_.back().closed = true;  // differences put values where the gather has put them
    watches_.push_back({"input", input_});

    std::vector<Block> blocks = group(spec_.layers);
    const ActivationSpec head = take_head(blocks);
    last_ = place_chain(blocks, input_);
    for (size_t i = backward_of_.size(); i-- > 0;)
        for (auto& step : backward_of_[i]) append(backward_, std::move(step));
    for (auto& step : measures_of_) append(backward_, std::move(step));
    backward_of_.clear();
    measures_of_.clear();

    output_ = last_;
    if (!identity(head)) {
        output_ = {last_.cols, add_matrix(last_.cols), {}};
        if (head.by_row)
            append<RowActivationForwardStep<T>>(head_, table_, "output activation", last_.cols, last_.data,
                                                output_.data, head.row);
        else
            append<ActivationForwardStep<T>>(head_, table_, "output activation", Split::rows, true, last_.cols,
                                             last_.data, output_.data, ActivationUse<T>{head.kind, head.params});
    }
    if (spec_.has_loss) {
        if (blocks.empty() && !spec_.input_gradient) last_.gradient = add_matrix(last_.cols);
        place_loss(head, targets);
        place_update();
    }
    found_row_ = arena_.template take<int64_t>(1, Use::scratch);
    host_scalars_.resize(rates_.size() * size_t(table_.device ? steps_ahead : 1));
    scalars_ = arena_.template take<StepScalars>(Index(rates_.size()), Use::scratch);
    if (!table_.device) return;
    scalars_ahead_ = arena_.template take<StepScalars>(Index(host_scalars_.size()), Use::scratch);
    cursor_ = arena_.template take<Cursor>(1, Use::scratch);
    if (spec_.has_optimizer)  // as many as rows_ahead, of batches of any size up to the plan's
        order_ = arena_.template take<int64_t>(
            std::min(std::max(most_rows_ahead, spec_.batch), Arena::checked(spec_.batch, steps_ahead)), Use::scratch);
}

// What is not zero before training begins.
template <class T>
void Plan<T>::fill() {
    for (const auto& [data, what] : first_values_) table_.fill({what.first, data, nullptr, what.second});
}

template <class T>
Plan<T>::Plan(PlanSpec spec, const Table<T>& table, const Table<T>* recorded)
    : PlanBase(std::move(spec)), table_(at_precision(table, spec_.precision)), recorded_(recorded) {
    if (table_.device) start_device();
    const Entered entered(table_.device, queue_.get());
    try {
        compile();
    } catch (const TooLarge&) {
        if (table_.device) throw DeviceMemoryError(*table_.device, countless);
        throw;
    }
    arena_.allocate(table_.device);
    compile();
    fill();
    if (!table_.device) return;
    if (spec_.programs) chip_.memory = table_.device->chip(&chip_.bytes);
    put(device_rules_, rules_.data(), Index(rules_.size()));
    for (const Stage<T>& stage : forward_)
        for (const auto& step : stage.steps)
            if (const auto* regions = dynamic_cast<const PoolRegionsStep<T>*>(step.get()))
                if (!regions->regions->spec.fractional) regions->place_fixed();
    check_device();
}

template <class T>
Plan<T>::Plan(const Plan& plan, const Table<T>& table, const OnChip& chip)
    : PlanBase(plan.spec_), table_(table), recorded_(nullptr), arena_(plan.arena_, chip) {
    compile();
}

std::unique_ptr<PlanBase> make_plan(PlanSpec spec) {
    if (spec.device != "cpu") {
        const char* why = nullptr;
        const DeviceTables tables = device_tables(spec.device.c_str(), &why);
        if (!tables.float32) throw std::runtime_error("[Plan] device '" + spec.device + "': " + why);
        if (spec.float64) return std::make_unique<Plan<double>>(std::move(spec), *tables.float64);
        return std::make_unique<Plan<float>>(std::move(spec), *tables.float32, tables.recorded);
    }
    if (spec.float64) return std::make_unique<Plan<double>>(std::move(spec), float64_table());
    return std::make_unique<Plan<float>>(std::move(spec), *picked_table());
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
