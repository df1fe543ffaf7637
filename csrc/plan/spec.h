// What a plan is compiled from: plain descriptions, checked by whoever makes them.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "../base/schedules.h"
#include "../base/table.h"

namespace fusednet {

struct ActivationSpec {
    Activation kind = Activation::linear;
    Params params;
    bool by_row = false;  // over whole rows: `row` says which, and `kind` is linear
    RowActivation row = RowActivation::softmax;
    bool shared = false;  // a learned slope: one for all features
};

// What training does to the array of one role, beside following its gradient.
struct RoleSpec {
    double l1 = 0.0, l2 = 0.0;
    bool constrained = false;
    Constraint constraint{};
    Params constraint_params;
};

struct PoolSpec {
    Index height = 0, width = 0, channels = 0, out_height = 0, out_width = 0;
    std::vector<int32_t> row_begin, row_end, col_begin, col_end;  // of fixed regions
    bool fractional = false, overlapping = false, pseudo_random = false;
};

struct LayerSpec {
    enum class Kind {
        dense,
        batch_normalization,
        normalization,
        activation,
        layer_normalization,
        noise,
        pool,
        residual
    };
    Kind kind;
    std::string name;
    bool trainable = true;
    double learning_rate = 1.0;  // multiplies the optimizer's
    std::map<std::string, RoleSpec> roles;
    double activity_l1 = 0.0, activity_l2 = 0.0;
    ActivationSpec activation;  // dense, activation
    Index units = 0;            // dense
    Index pieces = 1;
    bool use_bias = true;
    double drop_rate = 0.0;
    double momentum = 0.99;  // batch_normalization; epsilon, center and scale of layer_normalization too
    double epsilon = 1e-3;
    bool center = true, scale = true;
    Noise noise{};  // noise
    Params noise_params;
    PoolSpec pool;                  // pool
    std::vector<LayerSpec> layers;  // residual
    double survival = 1.0;
    bool per_sample = false;

    bool active() const noexcept { return activity_l1 > 0.0 || activity_l2 > 0.0; }
};

struct LossSpec {
    Loss kind;
    Params params;
    bool labels;       // integer labels, not one row of targets a sample
    bool from_logits;  // the network's output is logits already
    bool mean;         // over the batch, else the sum
    double smoothing = 0.0;
};

struct MetricSpec {
    Metric kind;
    Params params;
    Index fixed, per_output;  // numbers it sums
};

struct OptimizerSpec {
    static constexpr double none = std::numeric_limits<double>::infinity();
    Optimizer kind;
    std::vector<double> hyper;  // learning rate first
    int slots = 0;
    std::vector<std::string> slot_names;
    std::vector<double> slot_values;  // before the first step
    double clip_value = none, clip_norm = none, global_clip_norm = none;
    double weight_decay = 0.0;
    std::vector<std::string> undecayed;  // arrays whose name contains one of these keep their weights
    bool averages = false;
    double average_momentum = 0.0;
    Index overwrite = 0;   // updates after which the averages become the weights; 0: never
    Index accumulate = 1;  // batches an update
    bool scheduled = false;
    Schedule schedule{};
    std::vector<double> schedule_params;
};

struct PlanSpec {
    bool float64 = false;
    std::string device = "cpu";
    Precision precision = Precision::highest;  // of products, where not float64
    Index batch = 0;                           // rows that its buffers hold
    Index features = 0;
    uint64_t seed = 0;            // of random layers
    bool input_gradient = false;  // also differentiate with respect to the input
    bool programs = false;        // a device may run many small steps in one launch
    bool gradients = true;        // store all gradients; else not those that the update can do without
    std::vector<LayerSpec> layers;
    bool has_loss = false, has_optimizer = false;
    LossSpec loss{};
    std::vector<MetricSpec> metrics;
    OptimizerSpec optimizer{};
};

}  // namespace fusednet
