// What a plan is compiled from: plain descriptions, checked by whoever makes them.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "../base/table.h"

namespace fusednet {

struct ActivationSpec {
    Activation kind = Activation::linear;
    Params params;
    bool softmax = false;  // over the row; `kind` is linear then
};

struct LayerSpec {
    enum class Kind { dense, batch_normalization, activation };
    Kind kind;
    std::string name;
    bool trainable = true;
    ActivationSpec activation;  // dense, activation
    Index units = 0;            // dense
    bool use_bias = true;
    double momentum = 0.99;  // batch_normalization
    double epsilon = 1e-3;
    bool center = true, scale = true;
};

struct LossSpec {
    Loss kind;
    bool labels;       // integer labels, not one row of targets a sample
    bool from_logits;  // the network's output is logits already
    bool mean;         // over the batch, else the sum
};

struct OptimizerSpec {
    static constexpr double none = std::numeric_limits<double>::infinity();
    Optimizer kind;
    std::vector<double> hyper;  // learning rate first
    int slots = 0;
    std::vector<std::string> slot_names;
    double clip_value = none, clip_norm = none, global_clip_norm = none;
};

struct PlanSpec {
    bool float64 = false;
    Index batch = 0;  // rows that its buffers hold
    Index features = 0;
    bool input_gradient = false;  // also differentiate with respect to the input
    std::vector<LayerSpec> layers;
    bool has_loss = false, has_optimizer = false;
    LossSpec loss{};
    OptimizerSpec optimizer{};
};

}  // namespace fusednet
