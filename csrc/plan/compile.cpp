// From layers to steps: neighbours fused, buffers placed, backward written as the list reversed.
#include <cstring>
#include <stdexcept>

#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "plan.h"

namespace fusednet {
namespace {

constexpr Index update_chunk = 16 * 1024;  // elements a task of the update: its arrays stay in the second-level cache

bool elementwise(const ActivationSpec& a) {
    return !a.softmax && a.kind != Activation::linear;
}
bool identity(const ActivationSpec& a) {
    return !a.softmax && a.kind == Activation::linear;
}

// The loss that contains an output activation, so that both are one pass over logits.
struct HeadFusion {
    Loss loss, fused;
    bool softmax;
    Activation activation;
};
constexpr HeadFusion head_fusions[] = {
    {Loss::crossentropy, Loss::softmax_crossentropy, true, Activation::linear},
    {Loss::binary_crossentropy, Loss::sigmoid_crossentropy, false, Activation::sigmoid},
};

}  // namespace

template <class T>
std::string Plan<T>::Block::label() const {
    std::string label;
    for (const LayerSpec* layer : {dense, norm, act})
        if (layer) label += (label.empty() ? "" : "+") + layer->name;
    return label;
}

template <class T>
auto Plan<T>::group(const PlanSpec& spec) -> std::vector<Block> {
    std::vector<Block> blocks;
    const auto open = [&] { return !blocks.empty() && identity(blocks.back().activation); };
    for (const LayerSpec& layer : spec.layers) {
        switch (layer.kind) {
            case LayerSpec::Kind::dense:
                blocks.push_back({.dense = &layer});
                break;
            case LayerSpec::Kind::batch_normalization:
                if (open() && blocks.back().dense && !blocks.back().norm && !blocks.back().act)
                    blocks.back().norm = &layer;
                else
                    blocks.push_back({.norm = &layer});
                continue;
            case LayerSpec::Kind::activation:
                if (layer.activation.softmax || !open()) blocks.push_back({});
                blocks.back().act = &layer;
                break;
        }
        // a softmax looks at whole rows: it is a block of its own
        if (layer.activation.softmax && layer.kind == LayerSpec::Kind::dense) blocks.push_back({.act = &layer});
        blocks.back().activation = layer.activation;
    }
    return blocks;
}

// Takes off the output activation that the loss contains; it is computed for predictions only.
template <class T>
ActivationSpec Plan<T>::take_head(std::vector<Block>& blocks) {
    if (!spec_.has_loss || spec_.loss.from_logits || blocks.empty()) return {};
    Block& block = blocks.back();
    for (const HeadFusion& fusion : head_fusions) {
        if (fusion.loss != spec_.loss.kind || fusion.softmax != block.activation.softmax ||
            fusion.activation != block.activation.kind)
            continue;
        const ActivationSpec head = block.activation;
        block.activation = {};
        if (!block.dense && !block.norm) blocks.pop_back();
        return head;
    }
    return {};
}

template <class T>
Tensor<T>* Plan<T>::add_tensor(const LayerSpec& layer, const char* role, Index rows, Index cols, bool vector,
                               bool trains) {
    auto tensor = std::make_unique<Tensor<T>>();
    *tensor = {.name = layer.name + "/" + role,
               .layer = layer.name,
               .role = role,
               .rows = rows,
               .cols = cols,
               .vector = vector,
               .trainable = trains && layer.trainable,
               .value = arena_.template matrix<T>(rows, cols, Use::parameters),
               .gradient = {},
               .slot = {},
               .norms = nullptr,
               .panels = divide_up(cols, panel_columns(cols)),
               .scale = nullptr};
    if (tensor->trainable && spec_.has_loss) {
        tensor->gradient = arena_.template matrix<T>(rows, cols, Use::gradients);
        tensor->norms = arena_.template take<double>(tensor->panels, Use::scratch);
        tensor->scale = arena_.template take<double>(1, Use::scratch);
        for (int s = 0; spec_.has_optimizer && s < spec_.optimizer.slots; ++s)
            tensor->slot[s] = arena_.template take<T>(Arena::checked(rows, tensor->value.ld), Use::slots);
        trains_ = true;
    }
    tensors_.push_back(std::move(tensor));
    return tensors_.back().get();
}

template <class T>
Norm<T>* Plan<T>::add_norm(const LayerSpec& layer, const ActivationSpec& activation, Index cols) {
    auto norm = std::make_unique<Norm<T>>();
    norm->gamma = layer.scale ? add_tensor(layer, "gamma", 1, cols, true, true) : nullptr;
    norm->beta = layer.center ? add_tensor(layer, "beta", 1, cols, true, true) : nullptr;
    norm->moving_mean = add_tensor(layer, "moving_mean", 1, cols, true, false);
    norm->moving_variance = add_tensor(layer, "moving_variance", 1, cols, true, false);
    norm->mean = arena_.template take<T>(cols, Use::activations);
    norm->variance = arena_.template take<T>(cols, Use::activations);
    norm->momentum = layer.momentum;
    norm->epsilon = layer.epsilon;
    norm->trainable = layer.trainable;
    norm->activation = activation.kind;
    norm->params = activation.params;
    norms_.push_back(std::move(norm));
    return norms_.back().get();
}

template <class T>
void Plan<T>::append(Stages& stages, std::unique_ptr<Step<T>> step) {
    const bool follows = !stages.empty() && step->local && stages.back().steps.back()->split == step->split &&
                         stages.back().steps.back()->cols == step->cols;
    if (!follows) stages.emplace_back();
    stages.back().steps.push_back(std::move(step));
}

// Places one block after x; its forward steps are appended, its backward steps are kept for the reversal.
template <class T>
Value<T> Plan<T>::place_block(const Block& block, Value<T> x) {
    const bool differentiate_input = trains_ || spec_.input_gradient;
    const std::string label = block.label();
    const Index cols = block.dense ? block.dense->units : x.cols;
    auto& backward = backward_of_.emplace_back();
    const bool gradients = spec_.has_loss;

    Value<T> y{cols, add_matrix(cols), {}};
    if (gradients) y.gradient = add_matrix(cols);
    View<T> z = x.data;  // what the normalisation or the activation reads
    View<T> dz = y.gradient;

    const bool from_output = formulas().activation[int(block.activation.kind)].from_output;
    Tensor<T>*w = nullptr, *bias = nullptr;
    if (block.dense) {
        const bool keeps_input = block.norm || (elementwise(block.activation) && !from_output);
        z = keeps_input ? add_matrix(cols) : y.data;
        w = add_tensor(*block.dense, "kernel", x.cols, cols, false, true);
        bias = block.dense->use_bias ? add_tensor(*block.dense, "bias", 1, cols, true, true) : nullptr;
        append(forward_, std::make_unique<DenseForward<T>>(
                             table_, "dense_forward " + label, x, z, block.norm ? z : y.data, w, bias,
                             block.norm ? Activation::linear : block.activation.kind, block.activation.params));
        if (block.norm) watches_.push_back({block.dense->name, {cols, z, {}}});
    }
    if (block.norm) {
        const Norm<T>* norm = add_norm(*block.norm, block.activation, cols);
        append(forward_,
               std::make_unique<NormForward<T>>(table_, "batchnorm_forward " + label, true, cols, z, y.data, norm));
        if (gradients && (trains_ || spec_.input_gradient))
            backward.push_back(std::make_unique<NormBackward<T>>(table_, "batchnorm_backward " + label, true, cols,
                                                                 y.gradient, z, y.data,
                                                                 block.dense           ? dz
                                                                 : differentiate_input ? x.gradient
                                                                                       : y.gradient,
                                                                 norm));
    } else if (block.activation.softmax) {
        append(forward_, std::make_unique<ActivationForwardStep<T>>(
                             table_, "softmax_forward " + label, Split::rows, false, cols, z, y.data,
                             table_.row_activation_forward[int(RowActivation::softmax)], block.activation.params));
        if (gradients && differentiate_input)
            backward.push_back(std::make_unique<ActivationBackwardStep<T>>(
                table_, "softmax_backward " + label, Split::rows, true, cols, y.gradient, y.data, x.gradient,
                table_.row_activation_backward[int(RowActivation::softmax)], block.activation.params));
    } else if (elementwise(block.activation) || !block.dense) {
        const int row = int(block.activation.kind);
        if (!block.dense)
            append(forward_, std::make_unique<ActivationForwardStep<T>>(
                                 table_, "activation_forward " + label, Split::columns, true, cols, z, y.data,
                                 table_.activation_forward[row], block.activation.params));
        if (gradients && (trains_ || spec_.input_gradient))
            backward.push_back(std::make_unique<ActivationBackwardStep<T>>(
                table_, "activation_backward " + label, Split::columns, true, cols, y.gradient,
                from_output ? y.data : z, block.dense ? dz : x.gradient, table_.activation_backward[row],
                block.activation.params));
    }
    if (block.dense && gradients) {
        if (w->trainable)
            backward.push_back(std::make_unique<DenseBackwardWeights<T>>(table_, "dense_backward_weights " + label,
                                                                         true, x, dz, w, bias));
        if (differentiate_input)
            backward.push_back(
                std::make_unique<DenseBackwardInput<T>>(table_, "dense_backward_input " + label, dz, x.gradient, w));
    }
    const LayerSpec* last = block.act ? block.act : block.norm ? block.norm : block.dense;
    watches_.push_back({last->name, y});
    return y;
}

template <class T>
void Plan<T>::place_loss(const ActivationSpec& head) {
    Loss kind = spec_.loss.kind;
    bool logits = false;
    for (const HeadFusion& fusion : head_fusions)
        if (fusion.loss == kind && (spec_.loss.from_logits || !identity(head))) {
            kind = fusion.fused;
            logits = !identity(head);
            break;
        }
    const Index tasks = divide_up(spec_.batch, rows_a_task);
    losses_ = arena_.template take<double>(tasks, Use::scratch);
    correct_ = arena_.template take<Index>(tasks, Use::scratch);
    int32_t* labels = nullptr;
    View<T> targets{};
    if (spec_.loss.labels)
        labels = arena_.template take<int32_t>(spec_.batch, Use::activations);
    else
        targets = add_matrix(last_.cols);
    append(loss_, std::make_unique<LossStep<T>>(table_, identity(head) ? "loss" : "loss with its activation", last_,
                                                targets, labels, kind, logits ? 0.0 : 0.5, losses_, correct_));
}

template <class T>
void Plan<T>::place_update() {
    for (const auto& tensor : tensors_) {
        if (!tensor->trainable) continue;
        const Index count = tensor->rows * tensor->value.ld;
        for (Index begin = 0; begin < count; begin += update_chunk)
            chunks_.push_back({tensor.get(), begin, count - begin < update_chunk ? count - begin : update_chunk});
    }
}

template <class T>
void Plan<T>::compile() {
    tensors_.clear();
    norms_.clear();
    backward_of_.clear();
    watches_.clear();
    chunks_.clear();
    for (Stages* stages : {&forward_, &loss_, &backward_, &head_}) stages->clear();
    trains_ = false;

    scalars_ = arena_.template take<StepScalars>(1, Use::scratch);
    scratch_ = arena_.template take<T>(scratch_bytes / Index(sizeof(T)), Use::scratch);
    input_ = {spec_.features, add_matrix(spec_.features), {}};
    if (spec_.input_gradient) input_.gradient = add_matrix(spec_.features);
    append(forward_, std::make_unique<GatherRows<T>>(table_, input_));
    watches_.push_back({"input", input_});

    std::vector<Block> blocks = group(spec_);
    const ActivationSpec head = take_head(blocks);
    last_ = input_;
    for (const Block& block : blocks) last_ = place_block(block, last_);
    for (size_t i = blocks.size(); i-- > 0;)
        for (auto& step : backward_of_[i]) append(backward_, std::move(step));
    backward_of_.clear();

    output_ = last_;
    if (!identity(head)) {
        output_ = {last_.cols, add_matrix(last_.cols), {}};
        append(head_, std::make_unique<ActivationForwardStep<T>>(
                          table_, "output activation", Split::rows, true, last_.cols, last_.data, output_.data,
                          head.softmax ? table_.row_activation_forward[int(RowActivation::softmax)]
                                       : table_.activation_forward[int(head.kind)],
                          head.params));
    }
    if (spec_.has_loss) {
        if (blocks.empty() && !spec_.input_gradient) last_.gradient = add_matrix(last_.cols);
        place_loss(head);
        place_update();
    }
}

template <class T>
Plan<T>::Plan(PlanSpec spec, const Table<T>& table) : PlanBase(std::move(spec)), table_(table) {
    compile();
    arena_.allocate();
    compile();
    for (const auto& tensor : tensors_)
        if (!std::strcmp(tensor->role, "gamma") || !std::strcmp(tensor->role, "moving_variance"))
            for (Index c = 0; c < tensor->cols; ++c) tensor->value.data[c] = T(1);
}

std::unique_ptr<PlanBase> make_plan(PlanSpec spec) {
    if (spec.float64) return std::make_unique<Plan<double>>(std::move(spec), float64_table());
    return std::make_unique<Plan<float>>(std::move(spec), *picked_table());
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
