// What each kind of layer becomes: its arrays and buffers, its forward steps, and its backward steps kept for the
// reversal.
#include <algorithm>

#include "../cpu/pick.h"
#include "plan.h"

namespace fusednet {
namespace {

bool elementwise(const ActivationSpec& a) {
    return !a.by_row && a.kind != Activation::linear;
}

}  // namespace

template <class T>
const SlopeSource<T>* Plan<T>::add_slope(const LayerSpec& layer, const ActivationSpec& activation, Index cols) {
    const Slope from = formulas().activation[int(activation.kind)].slope;
    if (from == Slope::none) return nullptr;
    SlopeSource<T> slope;
    slope.from = from;
    slope.shared = activation.shared;
    if (from == Slope::learned) slope.alpha = add_tensor(layer, "alpha", 1, slope.shared ? 1 : cols, true, true);
    if (from == Slope::random) {
        slope.low = activation.params.p[0];
        slope.high = activation.params.p[1];
        slope.layer = random_layers_++;
        slope.draws = add_matrix(cols);
    }
    if (from == Slope::random || slope.shared) slope.row = arena_.template take<T>(cols, Use::activations);
    if (slope.shared) slope.sums = arena_.template take<T>(cols, Use::activations);
    return keep(slope);
}

template <class T>
ActivationUse<T> Plan<T>::use_of(const LayerSpec& layer, const ActivationSpec& activation, Index cols) {
    return {activation.kind, activation.params, add_slope(layer, activation, cols)};
}

template <class T>
Norm<T>* Plan<T>::add_norm(const LayerSpec& layer, View<T> input, Index cols) {
    Norm<T>* norm = keep(Norm<T>{});
    norm->input = input;
    if (layer.kind == LayerSpec::Kind::normalization) {
        norm->moving_mean = add_tensor(layer, "mean", 1, cols, true, false);
        norm->moving_variance = add_tensor(layer, "variance", 1, cols, true, false);
        return norm;
    }
    norm->gamma = layer.scale ? add_tensor(layer, "gamma", 1, cols, true, true) : nullptr;
    norm->beta = layer.center ? add_tensor(layer, "beta", 1, cols, true, true) : nullptr;
    norm->moving_mean = add_tensor(layer, "moving_mean", 1, cols, true, false);
    norm->moving_variance = add_tensor(layer, "moving_variance", 1, cols, true, false);
    norm->mean = arena_.template take<T>(cols, Use::activations);
    norm->variance = arena_.template take<T>(cols, Use::activations);
    norm->momentum = layer.momentum;
    norm->epsilon = layer.epsilon;
    norm->learns = layer.trainable;
    norms_.push_back(norm);
    return norm;
}

template <class T>
Value<T> Plan<T>::place(const Block& block, Value<T> x) {
    if (block.other && block.other->kind == LayerSpec::Kind::residual) return place_residual(*block.other, x);
    const LayerSpec& last = block.last();
    Steps backward;
    Value<T> y;
    if (!block.other)
        y = block.activation.by_row ? place_row_activation(block, x, backward) : place_fused(block, x, backward);
    else if (last.kind == LayerSpec::Kind::layer_normalization)
        y = place_layer_norm(last, x, backward);
    else if (last.kind == LayerSpec::Kind::noise)
        y = place_noise(last, x, backward);
    else
        y = place_pool(last, x, backward);
    const bool continues = !block.act && !block.norm && block.dense && block.dense->activation.by_row;
    Steps first;
    if (last.active() && spec_.has_loss && !continues) place_activity_penalty(last, y, first);
    for (auto& step : backward) first.push_back(std::move(step));
    backward_of_.push_back(std::move(first));
    watches_.push_back({last.name, y});
    return y;
}

template <class T>
Value<T> Plan<T>::place_fused(const Block& block, Value<T> x, Steps& backward) {
    const bool through = differentiates();  // the gradient goes on to x
    const std::string label = block.label();
    const Index cols = block.dense ? block.dense->units : x.cols;
    const Index pieces = block.dense ? block.dense->pieces : 1;
    const bool from_output = formulas().activation[int(block.activation.kind)].from_output;
    const bool active = elementwise(block.activation);

    const Value<T> y = add_value(cols);
    View<T> z = x.data;  // what the normalisation or the activation reads
    View<T> dz = y.gradient;
    const DenseArrays<T>* dense = nullptr;
    if (block.dense) {
        const LayerSpec& layer = *block.dense;
        const bool keeps_input = block.norm || pieces > 1 || (active && !from_output);
        const Index width = Arena::checked(cols, pieces);
        z = keeps_input ? add_matrix(width) : y.data;
        if (pieces > 1 && spec_.has_loss) dz = add_matrix(width);
        DenseArrays<T> arrays;
        arrays.w = add_tensor(layer, "kernel", x.cols, width, false, true);
        if (layer.use_bias) arrays.bias = add_tensor(layer, "bias", 1, width, true, true);
        if (layer.drop_rate > 0.0) {
            arrays.masked = arena_.template matrix<T>(x.cols, width, Use::activations);
            arrays.drop.p[0] = layer.drop_rate;
            arrays.layer = random_layers_++;
        }
        dense = keep(arrays);
    }
    Norm<T>* norm = block.norm ? add_norm(*block.norm, z, cols) : nullptr;
    const ActivationUse<T> f =
        active ? use_of(block.act ? *block.act : *block.dense, block.activation, cols) : ActivationUse<T>{};

    const bool at_once = table_.device && dense && norm && pieces == 1;
    if (at_once) {
        norm->f = f;
        append<DenseNormForward<T>>(forward_, table_, label, x, z, y.data, dense, norm);
        watches_.push_back({block.dense->name, {cols, z, {}}});
    } else if (dense) {
        const bool last = !norm && pieces == 1;
        append<DenseForward<T>>(forward_, table_, "dense_forward " + label, x, z, last ? y.data : z, dense,
                                last ? f : ActivationUse<T>{});
        if (norm) watches_.push_back({block.dense->name, {cols, z, {}}});
        if (pieces > 1)
            append<MaxoutForwardStep<T>>(forward_, table_, "maxout_forward " + label, cols, pieces, z, y.data);
    }
    if (norm && !at_once) {
        norm->f = f;
        append<NormForward<T>>(forward_, table_, "batchnorm_forward " + label, true, cols, z, y.data, norm);
    } else if (!norm && !dense) {
        append<ActivationForwardStep<T>>(forward_, table_, "activation_forward " + label, Split::columns, true, cols, z,
                                         y.data, f);
    }

    if (active || pieces > 1)
        bends_.push_back({.layer = active && block.act ? block.act->name : block.dense->name,
                          .x = x,
                          .cols = cols,
                          .pieces = pieces,
                          .dense = dense,
                          .norm = norm,
                          .f = f});
    if (!differentiates()) return y;
    const View<T> dx = dense ? dz : through ? x.gradient : y.gradient;
    if (norm)
        backward.push_back(std::make_unique<NormBackward<T>>(table_, "batchnorm_backward " + label, true, cols,
                                                             y.gradient, z, y.data, dx, norm));
    else if (active || !dense)
        backward.push_back(std::make_unique<ActivationBackwardStep<T>>(table_, "activation_backward " + label, cols,
                                                                       y.gradient, from_output ? y.data : z, dx, f));
    if (f.slope && f.slope->alpha && f.slope->shared && f.slope->alpha->trainable)
        backward.push_back(std::make_unique<SharedSlopeGradient<T>>(table_, "shared slope " + label, cols, f.slope));
    if (!dense) return y;
    if (pieces > 1)
        backward.push_back(std::make_unique<MaxoutBackwardStep<T>>(table_, "maxout_backward " + label, cols, pieces,
                                                                   y.gradient, z, y.data, dz));
    if (table_.device && dense->w->trainable) {
        backward.push_back(std::make_unique<DenseBackward<T>>(table_, label, x, dz, through, dense));
        return y;
    }
    if (dense->w->trainable) {
        if (dense->bias || dense->w->stored)
            backward.push_back(std::make_unique<DenseBackwardWeights<T>>(
                table_, (dense->w->stored ? "dense_backward_weights " : "dense_backward_bias ") + label, true, x, dz,
                dense));
        if (dense->w->measured) measure(label, dense, x, dz);
    }
    if (through)
        backward.push_back(
            std::make_unique<DenseBackwardInput<T>>(table_, "dense_backward_input " + label, dz, x.gradient, dense));
    return y;
}

// The steps that find the norm of a kernel's gradient without it; they come last, when all of dz is there.
template <class T>
void Plan<T>::measure(const std::string& label, const DenseArrays<T>* dense, Value<T> x, View<T> dz) {
    const bool clips = spec_.optimizer.global_clip_norm < OptimizerSpec::none;
    const Index tasks = divide_up(spec_.batch, clips ? GramNorm<T>::wide : rows_a_task);
    const KernelGradient<T>* gradient =
        keep(KernelGradient<T>{dense->w, x, dz, arena_.template take<double>(tasks, Use::scratch),
                               arena_.template take<double>(tasks, Use::scratch)});
    measured_.push_back(gradient);
    if (clips)
        measures_of_.push_back(std::make_unique<GramNorm<T>>(table_, "gradient_norm " + label, gradient));
    else
        measures_of_.push_back(std::make_unique<GradientBound<T>>(table_, "gradient_bound " + label, gradient));
}

template <class T>
Value<T> Plan<T>::place_row_activation(const Block& block, Value<T> x, Steps& backward) {
    const Value<T> y = add_value(x.cols);
    const std::string label = block.label();
    const RowActivation kind = block.activation.row;
    append<RowActivationForwardStep<T>>(forward_, table_, "row_activation_forward " + label, x.cols, x.data, y.data,
                                        kind);
    if (differentiates())
        backward.push_back(std::make_unique<RowActivationBackwardStep<T>>(
            table_, "row_activation_backward " + label, x.cols, y.gradient, y.data, x.gradient, kind));
    return y;
}

template <class T>
Value<T> Plan<T>::place_layer_norm(const LayerSpec& layer, Value<T> x, Steps& backward) {
    const bool through = differentiates();
    const Value<T> y = add_value(x.cols);
    RowNorm<T> arrays;
    arrays.gamma = layer.scale ? add_tensor(layer, "gamma", 1, x.cols, true, true) : nullptr;
    arrays.beta = layer.center ? add_tensor(layer, "beta", 1, x.cols, true, true) : nullptr;
    arrays.mean = arena_.template take<T>(spec_.batch, Use::activations);
    arrays.inverse = arena_.template take<T>(spec_.batch, Use::activations);
    arrays.epsilon = layer.epsilon;
    const RowNorm<T>* norm = keep(arrays);
    append<LayerNormForwardStep<T>>(forward_, table_, "layernorm_forward " + layer.name, x.cols, x.data, y.data, norm);
    if (!differentiates()) return y;
    if (layer.trainable && (norm->gamma || norm->beta))
        backward.push_back(std::make_unique<LayerNormGradientsStep<T>>(table_, "layernorm_gradients " + layer.name,
                                                                       x.cols, y.gradient, x.data, norm));
    if (through)
        backward.push_back(std::make_unique<LayerNormBackwardStep<T>>(table_, "layernorm_backward " + layer.name,
                                                                      x.cols, y.gradient, x.data, x.gradient, norm));
    return y;
}

template <class T>
Value<T> Plan<T>::place_noise(const LayerSpec& layer, Value<T> x, Steps& backward) {
    const Value<T> y = add_value(x.cols);
    const NoiseUse<T> noise{layer.noise, layer.noise_params, random_layers_++};
    append<NoiseForwardStep<T>>(forward_, table_, "noise_forward " + layer.name, x.cols, x.data, y.data, noise);
    if (differentiates())
        backward.push_back(std::make_unique<NoiseBackwardStep<T>>(table_, "noise_backward " + layer.name, x.cols,
                                                                  y.gradient, x.gradient, noise));
    return y;
}

template <class T>
Value<T> Plan<T>::place_pool(const LayerSpec& layer, Value<T> x, Steps& backward) {
    const PoolSpec& spec = layer.pool;
    const Index cols = Arena::checked(Arena::checked(spec.out_height, spec.out_width), spec.channels);
    const Value<T> y = add_value(cols);
    const View<int32_t> argmax =
        differentiates() ? arena_.template matrix<int32_t>(spec_.batch, cols, Use::activations) : View<int32_t>{};
    int32_t* const drawn = keep(std::vector<int32_t>(size_t(2 * std::max(spec.out_height, spec.out_width))))->data();
    PoolRegions* regions = keep(PoolRegions{spec, {}, {}, {}, {}, 0, drawn});
    regions->row_begin = arena_.template take<int32_t>(spec.out_height, Use::scratch);
    regions->row_end = arena_.template take<int32_t>(spec.out_height, Use::scratch);
    regions->col_begin = arena_.template take<int32_t>(spec.out_width, Use::scratch);
    regions->col_end = arena_.template take<int32_t>(spec.out_width, Use::scratch);
    draws_regions_ = draws_regions_ || spec.fractional;
    if (spec.fractional) {  // a number for each axis
        regions->layer = random_layers_;
        random_layers_ += 2;
    }
    append<PoolRegionsStep<T>>(forward_, table_, "pool_regions " + layer.name, regions);
    bends_.push_back({.layer = layer.name, .x = x, .regions = regions});
    append<PoolForwardStep<T>>(forward_, table_, "pool_forward " + layer.name, cols, x.data, y.data, argmax, regions);
    if (differentiates())
        backward.push_back(std::make_unique<PoolBackwardStep<T>>(table_, "pool_backward " + layer.name, cols,
                                                                 y.gradient, argmax, x.gradient, x.cols));
    return y;
}

// y = x + scale branch(x). Backward: the branch gets scale dy, and what it hands down to x is joined by dy.
template <class T>
Value<T> Plan<T>::place_residual(const LayerSpec& layer, Value<T> x) {
    const bool through = differentiates();
    const size_t join = backward_of_.size();
    backward_of_.emplace_back();
    const T* scale = nullptr;
    if (layer.survival < 1.0) {
        T* drawn = arena_.template take<T>(spec_.batch, Use::activations);
        append<SurvivalStep<T>>(forward_, table_, "stochastic depth " + layer.name, drawn, layer.survival,
                                layer.per_sample, random_layers_++);
        scale = drawn;
    }
    const std::vector<Block> blocks = group(layer.layers);
    const Value<T> branch = place_chain(blocks, x);
    const Value<T> y = add_value(x.cols);
    append<AddStep<T>>(forward_, table_, "residual_forward " + layer.name, x.cols, x.data, branch.data, scale, y.data);
    Steps split;
    if (layer.active() && spec_.has_loss) place_activity_penalty(layer, y, split);
    if (differentiates() && (through || !blocks.empty()))
        split.push_back(std::make_unique<AddStep<T>>(table_, "residual_backward " + layer.name, x.cols, View<T>{},
                                                     y.gradient, scale, branch.gradient));
    backward_of_.push_back(std::move(split));
    if (through)
        backward_of_[join].push_back(std::make_unique<AddStep<T>>(table_, "residual_join " + layer.name, x.cols,
                                                                  x.gradient, y.gradient, nullptr, x.gradient));
    watches_.push_back({layer.name, y});
    return y;
}

template <class T>
void Plan<T>::place_activity_penalty(const LayerSpec& layer, Value<T> y, Steps& backward) {
    ActivityPenalty<T>* penalty =
        keep(ActivityPenalty<T>{y, layer.activity_l1, layer.activity_l2,
                                arena_.template take<double>(row_tasks(table_, spec_.batch), Use::scratch)});
    activity_.push_back(penalty);
    if (differentiates())
        backward.push_back(
            std::make_unique<ActivityGradientStep<T>>(table_, "activity penalty " + layer.name, penalty));
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
