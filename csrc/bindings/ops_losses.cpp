// Losses and metrics on NumPy arrays.
#include "ops.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

#define FUSEDNET_COUNT(...) +1
constexpr int element_losses = 0 FUSEDNET_ELEMENT_LOSSES(FUSEDNET_COUNT);
#undef FUSEDNET_COUNT

#define FUSEDNET_SUMS(name, kernel, fixed, per_output, ...) {fixed, per_output},
constexpr Index metric_sums[][2] = {FUSEDNET_METRICS(FUSEDNET_SUMS)};
#undef FUSEDNET_SUMS

// Labels (int32) checked against the classes.
const int32_t* read_labels(const char* op, const py::array& target, Index rows, Index cols) {
    const Argument argument{op, "target"};
    if (target.ndim() != 1 || target.shape(0) != rows) argument.bad_shape("(" + std::to_string(rows) + ",)", target);
    check_layout(argument, target, false);
    const auto* labels = static_cast<const int32_t*>(target.data());
    const Index classes = cols == 1 ? 2 : cols;
    for (Index i = 0; i < rows; ++i)
        if (labels[i] < 0 || labels[i] >= classes)
            argument.bad_value("labels from 0 to " + std::to_string(classes - 1),
                               std::to_string(labels[i]) + " in row " + std::to_string(i));
    return labels;
}

// The target as labels or as one row of numbers a sample.
template <class T>
void read_target(const char* op, const py::array& target, Index rows, Index cols, const int32_t** labels,
                 View<const T>* targets) {
    if (has_type<int32_t>(target))
        *labels = read_labels(op, target, rows, cols);
    else
        *targets = input<T>(op, "target", target, rows, cols);
}

double loss(const std::string& name, const py::array& x, const py::array& target, const std::optional<py::array>& y,
            const std::optional<py::array>& dx, double scale, const Values& params, const py::object& weights,
            const Isa& isa) {
    const char* op = "loss";
    const Loss row = row_of<Loss>(op, "name", loss_names, name);
    return dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        double sum = 0;
        LossArgs<T> args{};
        args.rows = rows;
        args.cols = cols;
        args.x = input<T>(op, "x", x);
        read_target<T>(op, target, rows, cols, &args.labels, &args.targets);
        if (args.labels && (int(row) < element_losses || cols == 1))
            Argument{op, "target"}.bad_value("one row of targets a sample for " + name, "integer labels");
        if (y) {
            args.y = output<T>(op, "y", *y, rows, cols);
            check_apart(op, "y", *y, x, true);
        }
        if (dx) {
            args.dx = output<T>(op, "dx", *dx, rows, cols);
            check_apart(op, "dx", *dx, x, true);
        }
        args.scale = scale;
        args.loss = &sum;
        args.params = params_of(op, params);
        args.weights = vector<T>(op, "weights", weights, rows, false);
        table_for<T>(op, isa).loss[int(row)](args);
        return sum;
    });
}

void metric(const std::string& name, const py::array& x, const py::array& target, const py::array& sums,
            const Values& params, const Isa& isa) {
    const char* op = "metric";
    const Metric row = row_of<Metric>(op, "name", metric_names, name);
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        MetricArgs<T> args{};
        args.rows = rows_of(x);
        args.cols = cols_of(x);
        args.x = input<T>(op, "x", x);
        read_target<T>(op, target, args.rows, args.cols, &args.labels, &args.targets);
        args.params = params_of(op, params);
        const auto& count = metric_sums[int(row)];
        args.sums = vector<double>(op, "sums", sums, count[0] + count[1] * args.cols, true);
        table_for<T>(op, isa).metric[int(row)](args);
    });
}

void smooth_targets(const py::array& targets, double smoothing, bool binary, const std::optional<py::array>& labels,
                    const Isa& isa) {
    const char* op = "smooth_targets";
    dispatch(op, "targets", targets, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(targets), cols = cols_of(targets);
        const int32_t* from = nullptr;
        if (labels) {
            if (!has_type<int32_t>(*labels)) Argument{op, "labels"}.bad_dtype("int32", *labels);
            from = read_labels(op, *labels, rows, cols);
        }
        table_for<T>(op, isa).smooth_targets({rows, cols, from, output<T>(op, "targets", targets), smoothing, binary});
    });
}

}  // namespace

void register_ops_losses(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    m.def("loss", &loss, arg("name"), arg("x"), arg("target"), arg("y") = none, arg("dx") = none, arg("scale") = 1.0,
          arg("params") = Values(), arg("weights") = none, arg("isa") = none);
    m.def("metric", &metric, arg("name"), arg("x"), arg("target"), arg("sums"), arg("params") = Values(),
          arg("isa") = none);
    m.def("smooth_targets", &smooth_targets, arg("targets"), arg("smoothing"), arg("binary") = false,
          arg("labels") = none, arg("isa") = none);
}

}  // namespace fusednet::bindings
