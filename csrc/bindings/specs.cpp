// Dictionaries of layers, losses, metrics and optimizers turned into the plan's descriptions.
#include "specs.h"

#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "names.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

// The value of a key, or `otherwise` where it is absent or None.
template <class A>
A get(const py::dict& d, const char* key, A otherwise) {
    if (!d.contains(key) || d[key].is_none()) return otherwise;
    return d[key].cast<A>();
}

Params params_of(const py::dict& d) {
    Params params;
    const auto values = get(d, "params", std::vector<double>{});
    if (values.size() > max_params)
        Argument{"Plan", "params"}.bad_value("at most " + std::to_string(max_params) + " values",
                                             std::to_string(values.size()));
    for (size_t i = 0; i < values.size(); ++i) params.p[i] = values[i];
    return params;
}

ActivationSpec activation_spec(const py::dict& d) {
    ActivationSpec spec;
    const auto name = d["name"].cast<std::string>();
    for (size_t i = 0; i < std::size(row_activation_names); ++i)
        if (name == row_activation_names[i]) {
            spec.by_row = true;
            spec.row = RowActivation(i);
        }
    if (!spec.by_row) spec.kind = row_of<Activation>("Plan", "activation", activation_names, name);
    spec.params = params_of(d);
    spec.shared = get(d, "shared", false);
    return spec;
}

void read_roles(LayerSpec& spec, const py::dict& d) {
    for (const auto& [role, values] : get(d, "penalties", std::map<std::string, std::vector<double>>{})) {
        if (values.size() != 2) Argument{"Plan", "penalties"}.bad_value("[l1, l2]", std::to_string(values.size()));
        spec.roles[role].l1 = values[0];
        spec.roles[role].l2 = values[1];
    }
    for (const auto& [role, value] : get(d, "constraints", std::map<std::string, py::dict>{})) {
        RoleSpec& rules = spec.roles[role];
        rules.constrained = true;
        rules.constraint =
            row_of<Constraint>("Plan", "constraint", constraint_names, value["name"].cast<std::string>());
        rules.constraint_params = params_of(value);
    }
    const auto activity = get(d, "activity_penalty", std::vector<double>{0.0, 0.0});
    if (activity.size() != 2)
        Argument{"Plan", "activity_penalty"}.bad_value("[l1, l2]", std::to_string(activity.size()));
    spec.activity_l1 = activity[0];
    spec.activity_l2 = activity[1];
}

Index size_of(const py::dict& d, const char* key, const std::string& layer) {
    const auto size = d[key].cast<Index>();
    if (size < 1 || size >= Index(1) << 31)
        Argument{"Plan", key}.bad_value("1 to 2^31 - 1 in layer '" + layer + "'", std::to_string(size));
    return size;
}

// Kernels read where regions say: they must lie inside.
std::vector<int32_t> edges(const py::dict& d, const char* key, Index least, Index most) {
    const auto values = d[key].cast<std::vector<int32_t>>();
    for (const int32_t value : values)
        if (value < least || value > most)
            Argument{"Plan", key}.bad_value(std::to_string(least) + " to " + std::to_string(most),
                                            std::to_string(value));
    return values;
}

PoolSpec pool_spec(const py::dict& d, const std::string& layer) {
    PoolSpec spec;
    spec.height = size_of(d, "height", layer);
    spec.width = size_of(d, "width", layer);
    spec.channels = size_of(d, "channels", layer);
    if (spec.height * spec.width >= Index(1) << 31 || spec.height * spec.width * spec.channels >= Index(1) << 31)
        Argument{"Plan", "pool"}.bad_value("fewer than 2^31 values in layer '" + layer + "'", "more");
    spec.fractional = d.contains("fractional");
    if (spec.fractional) {
        const auto f = d["fractional"].cast<py::dict>();
        spec.out_height = size_of(f, "out_height", layer);
        spec.out_width = size_of(f, "out_width", layer);
        spec.overlapping = f["overlapping"].cast<bool>();
        spec.pseudo_random = f["pseudo_random"].cast<bool>();
        if (spec.out_height > spec.height || spec.out_width > spec.width)
            Argument{"Plan", "fractional"}.bad_value(
                "an output that is no larger than the input of '" + layer + "'",
                std::to_string(spec.out_height) + " x " + std::to_string(spec.out_width));
        return spec;
    }
    spec.row_begin = edges(d, "row_begin", 0, spec.height - 1);
    spec.row_end = edges(d, "row_end", 1, spec.height);
    spec.col_begin = edges(d, "col_begin", 0, spec.width - 1);
    spec.col_end = edges(d, "col_end", 1, spec.width);
    spec.out_height = Index(spec.row_begin.size());
    spec.out_width = Index(spec.col_begin.size());
    const auto whole = [](const std::vector<int32_t>& begin, const std::vector<int32_t>& end) {
        bool good = !begin.empty() && begin.size() == end.size();
        for (size_t i = 0; good && i < begin.size(); ++i) good = begin[i] < end[i];
        return good;
    };
    if (!whole(spec.row_begin, spec.row_end) || !whole(spec.col_begin, spec.col_end))
        Argument{"Plan", "pool"}.bad_value("regions that are not empty", "others in layer '" + layer + "'");
    return spec;
}

LayerSpec layer_spec(const py::dict& d) {
    using Kind = LayerSpec::Kind;
    constexpr const char* kinds[] = {
        "dense",   "batch_normalization", "normalization", "activation", "layer_normalization", "noise", "pool",
        "residual"};
    LayerSpec spec{};
    spec.kind = row_of<Kind>("Plan", "kind", kinds, d["kind"].cast<std::string>());
    spec.name = d["name"].cast<std::string>();
    spec.trainable = get(d, "trainable", true);
    spec.learning_rate = get(d, "learning_rate", 1.0);
    read_roles(spec, d);
    switch (spec.kind) {
        case Kind::dense:
            spec.units = size_of(d, "units", spec.name);
            spec.pieces = d.contains("pieces") ? size_of(d, "pieces", spec.name) : 1;
            spec.use_bias = d["use_bias"].cast<bool>();
            spec.drop_rate = get(d, "drop_rate", 0.0);
            spec.activation = activation_spec(d["activation"]);
            if (spec.pieces > 1 && (spec.activation.by_row || spec.activation.kind != Activation::linear))
                Argument{"Plan", "activation"}.bad_value("linear where there are pieces", "another");
            break;
        case Kind::batch_normalization:
            spec.momentum = d["momentum"].cast<double>();
            [[fallthrough]];
        case Kind::layer_normalization:
            spec.epsilon = d["epsilon"].cast<double>();
            spec.center = d["center"].cast<bool>();
            spec.scale = d["scale"].cast<bool>();
            break;
        case Kind::normalization:
            spec.epsilon = 0.0;
            break;
        case Kind::activation:
            spec.activation = activation_spec(d["activation"]);
            break;
        case Kind::noise: {
            const auto noise = d["noise"].cast<py::dict>();
            spec.noise = row_of<Noise>("Plan", "noise", noise_names, noise["name"].cast<std::string>());
            spec.noise_params = params_of(noise);
            break;
        }
        case Kind::pool:
            spec.pool = pool_spec(d, spec.name);
            break;
        case Kind::residual:
            for (const py::handle layer : d["layers"]) spec.layers.push_back(layer_spec(py::cast<py::dict>(layer)));
            spec.survival = get(d, "survival", 1.0);
            spec.per_sample = get(d, "per_sample", false);
            break;
    }
    return spec;
}

// The widths add up: what no step could know once the plan is built.
Index width_after(const LayerSpec& layer, Index width) {
    const auto expects = [&](Index wanted) {
        if (width != wanted)
            Argument{"Plan", layer.name.c_str()}.bad_value(std::to_string(wanted) + " features", std::to_string(width));
    };
    switch (layer.kind) {
        case LayerSpec::Kind::dense:
            return layer.units;
        case LayerSpec::Kind::pool:
            expects(layer.pool.height * layer.pool.width * layer.pool.channels);
            return layer.pool.out_height * layer.pool.out_width * layer.pool.channels;
        case LayerSpec::Kind::residual: {
            Index inner = width;
            for (const LayerSpec& child : layer.layers) inner = width_after(child, inner);
            if (inner != width)
                Argument{"Plan", layer.name.c_str()}.bad_value(
                    "a branch that keeps its " + std::to_string(width) + " features", std::to_string(inner));
            return width;
        }
        default:
            return width;
    }
}

LossSpec loss_spec(const py::dict& d) {
    auto name = d["name"].cast<std::string>();
    LossSpec spec{};
    const std::string sparse = "sparse_", categorical = "categorical_crossentropy";
    spec.labels = name.rfind(sparse, 0) == 0;
    if (spec.labels) name = name.substr(sparse.size());
    if (spec.labels && name != categorical)
        Argument{"Plan", "loss"}.bad_value("integer labels for " + sparse + categorical + " only",
                                           "'" + sparse + name + "'");
    if (name == categorical) name = "crossentropy";
    spec.kind = row_of<Loss>("Plan", "loss", loss_names, name);
    spec.params = params_of(d);
    spec.from_logits = d["from_logits"].cast<bool>();
    spec.smoothing = get(d, "label_smoothing", 0.0);
    const auto reduction = d["reduction"].cast<std::string>();
    spec.mean = reduction == "sum_over_batch_size";
    if (!spec.mean && reduction != "sum")
        Argument{"Plan", "reduction"}.bad_value("one of sum, sum_over_batch_size", "'" + reduction + "'");
    return spec;
}

MetricSpec metric_spec(const py::dict& d) {
    MetricSpec spec{};
    spec.kind = row_of<Metric>("Plan", "metric", metric_names, d["name"].cast<std::string>());
    spec.params = params_of(d);
    const MetricSums sums = metric_sums(spec.kind);
    spec.fixed = sums.fixed;
    spec.per_output = sums.per_output;
    return spec;
}

OptimizerSpec optimizer_spec(const py::dict& d) {
    OptimizerSpec spec;
    const auto name = d["name"].cast<std::string>();
    spec.kind = row_of<Optimizer>("Plan", "optimizer", optimizer_names, name);
    spec.hyper = d["hyper"].cast<std::vector<double>>();
    spec.clip_value = get(d, "clipvalue", OptimizerSpec::none);
    spec.clip_norm = get(d, "clipnorm", OptimizerSpec::none);
    spec.global_clip_norm = get(d, "global_clipnorm", OptimizerSpec::none);
    spec.slot_names = optimizer_slots(spec.kind);
    spec.slots = int(spec.slot_names.size());
    spec.weight_decay = get(d, "weight_decay", 0.0);
    spec.undecayed = get(d, "weight_decay_excluded", std::vector<std::string>{});
    const auto momentum = get(d, "ema_momentum", std::optional<double>{});
    spec.averages = momentum.has_value();
    spec.average_momentum = momentum.value_or(0.0);
    spec.overwrite = get(d, "ema_overwrite_frequency", Index(0));
    spec.accumulate = get(d, "gradient_accumulation_steps", Index(1));
    if (spec.accumulate < 1)
        Argument{"Plan", "gradient_accumulation_steps"}.bad_value("at least 1", std::to_string(spec.accumulate));
    if (d.contains("schedule") && !d["schedule"].is_none()) {
        const auto schedule = d["schedule"].cast<py::dict>();
        spec.scheduled = true;
        spec.schedule_params = schedule["params"].cast<std::vector<double>>();
        spec.schedule = checked_schedule("Plan", schedule["name"].cast<std::string>(), spec.schedule_params);
    }
    const size_t wanted = optimizer_hyper(spec.kind).size();
    if (spec.hyper.size() != wanted)
        Argument{"Plan", "hyper"}.bad_value(std::to_string(wanted) + " values for " + name,
                                            std::to_string(spec.hyper.size()));
    spec.slot_values = optimizer_first_values(spec.kind, spec.hyper);
    return spec;
}

}  // namespace

PlanSpec plan_spec(const py::dict& d) {
    PlanSpec spec;
    const auto dtype = d["dtype"].cast<std::string>();
    spec.float64 = dtype == "float64";
    if (!spec.float64 && dtype != "float32")
        Argument{"Plan", "dtype"}.bad_value("float32 or float64", "'" + dtype + "'");
    spec.device = get(d, "device", std::string("cpu"));
    const auto precision =
        row_of<Precision>("Plan", "precision", precision_names, get(d, "precision", std::string(precision_names[0])));
    if (!spec.float64) spec.precision = precision;
    spec.batch = d["batch"].cast<Index>();
    spec.features = d["features"].cast<Index>();
    if (spec.batch < 1) Argument{"Plan", "batch"}.bad_value("at least 1", std::to_string(spec.batch));
    if (spec.features < 1) Argument{"Plan", "features"}.bad_value("at least 1", std::to_string(spec.features));
    spec.programs = get(d, "programs", false);
    spec.gradients = get(d, "gradients", true);
    spec.input_gradient = d.contains("input_gradient") && d["input_gradient"].cast<bool>();
    for (const py::handle layer : d["layers"]) spec.layers.push_back(layer_spec(py::cast<py::dict>(layer)));
    spec.seed = get(d, "seed", uint64_t(0));
    Index width = spec.features;
    for (const LayerSpec& layer : spec.layers) width = width_after(layer, width);
    if (d.contains("loss") && !d["loss"].is_none()) {
        spec.has_loss = true;
        spec.loss = loss_spec(d["loss"]);
    }
    if (d.contains("metrics") && !d["metrics"].is_none()) {
        for (const py::handle metric : d["metrics"]) spec.metrics.push_back(metric_spec(py::cast<py::dict>(metric)));
        if (!spec.has_loss && !spec.metrics.empty())
            throw py::value_error("[Plan] 'metrics' expects a loss beside them, got none");
    }
    if (d.contains("optimizer") && !d["optimizer"].is_none()) {
        if (!spec.has_loss) throw py::value_error("[Plan] 'optimizer' expects a loss beside it, got none");
        spec.has_optimizer = true;
        spec.optimizer = optimizer_spec(d["optimizer"]);
    }
    return spec;
}

}  // namespace fusednet::bindings
