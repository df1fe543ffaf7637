// Losses and metrics on arrays of the host or of a device.
#include "ops.h"
#include "register.h"
#include "share.h"

namespace fusednet::bindings {
namespace {

#define FUSEDNET_COUNT(...) +1
constexpr int element_losses = 0 FUSEDNET_ELEMENT_LOSSES(FUSEDNET_COUNT);
#undef FUSEDNET_COUNT

#define FUSEDNET_SUMS(name, kernel, fixed, per_output, ...) {fixed, per_output},
constexpr Index metric_sums[][2] = {FUSEDNET_METRICS(FUSEDNET_SUMS)};
#undef FUSEDNET_SUMS

// Labels (int32) checked against the classes: a copy, which no other thread can change once the GIL is released.
std::vector<int32_t> read_labels(const char* op, const py::array& target, Index rows, Index cols) {
    const Argument argument{op, "target"};
    if (target.ndim() != 1 || target.shape(0) != rows) argument.bad_shape("(" + std::to_string(rows) + ",)", target);
    check_layout(argument, target, false);
    const py::array on_host = looked_at(target);
    const auto* given = static_cast<const int32_t*>(on_host.data());
    std::vector<int32_t> labels(given, given + rows);
    const Index classes = cols == 1 ? 2 : cols;
    for (Index i = 0; i < rows; ++i)
        if (const int32_t label = labels[size_t(i)]; label < 0 || label >= classes)
            argument.bad_value("labels from 0 to " + std::to_string(classes - 1),
                               std::to_string(label) + " in row " + std::to_string(i));
    return labels;
}

// The target as labels or as one row of numbers a sample.
template <class T>
void read_target(const char* op, const py::array& target, Index rows, Index cols, std::vector<int32_t>* labels,
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
        LossArgs<T> args{};
        args.rows = rows;
        args.cols = cols;
        args.x = input<T>(op, "x", x);
        std::vector<int32_t> labels;
        read_target<T>(op, target, rows, cols, &labels, &args.targets);
        args.labels = args.targets.data ? nullptr : readable(labels.data(), args.rows);
        if (has_type<int32_t>(target) && (int(row) < element_losses || cols == 1))
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
        args.params = params_of(op, params);
        args.weights = vector<T>(op, "weights", weights, rows, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        return sum_rows(rows, cols, 32, [&](Index first, Index count) {
            LossArgs<T> part = args;
            part.rows = count;
            part.x = part_of(args.x, first, 0);
            part.labels = part_of(args.labels, first);
            part.targets = part_of(args.targets, first, 0);
            part.y = part_of(args.y, first, 0);
            part.dx = part_of(args.dx, first, 0);
            part.weights = part_of(args.weights, first);
            return number_of([&](double* sum) {
                part.loss = sum;
                table.loss[int(row)](part);
            });
        });
    });
}

void metric(const std::string& name, const py::array& x, const py::array& target, const HostArray& sums,
            const Values& params, const Isa& isa) {
    const char* op = "metric";
    const Metric row = row_of<Metric>(op, "name", metric_names, name);
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        MetricArgs<T> args{};
        args.rows = rows_of(x);
        args.cols = cols_of(x);
        args.x = input<T>(op, "x", x);
        std::vector<int32_t> labels;
        read_target<T>(op, target, args.rows, args.cols, &labels, &args.targets);
        args.labels = args.targets.data ? nullptr : readable(labels.data(), args.rows);
        args.params = params_of(op, params);
        const auto& count = metric_sums[int(row)];
        args.sums = vector<double>(op, "sums", sums, count[0] + count[1] * args.cols, true);
        const Table<T>& table = table_for<T>(op, isa);
        const size_t sums_count = size_t(count[0] + count[1] * args.cols);
        const py::gil_scoped_release release;
        add_rows(args.rows, args.cols, 8, sums_count, args.sums, [&](Index first, Index rows, double* added) {
            MetricArgs<T> part = args;
            part.rows = rows;
            part.x = part_of(args.x, first, 0);
            part.labels = part_of(args.labels, first);
            part.targets = part_of(args.targets, first, 0);
            part.sums = added;
            table.metric[int(row)](part);
        });
    });
}

void smooth_targets(const py::array& targets, double smoothing, bool binary, const std::optional<py::array>& labels,
                    const Isa& isa) {
    const char* op = "smooth_targets";
    dispatch(op, "targets", targets, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(targets), cols = cols_of(targets);
        std::vector<int32_t> from;
        if (labels) {
            if (!has_type<int32_t>(*labels)) Argument{op, "labels"}.bad_dtype("int32", *labels);
            from = read_labels(op, *labels, rows, cols);
        }
        const View<T> view = output<T>(op, "targets", targets);
        const Table<T>& table = table_for<T>(op, isa);
        const int32_t* const classes = labels ? readable(from.data(), rows) : nullptr;
        const py::gil_scoped_release release;
        share_rows(rows, cols, 4, [&](Index first, Index count) {
            table.smooth_targets({count, cols, part_of(classes, first), part_of(view, first, 0), smoothing, binary});
        });
    });
}

}  // namespace

void register_ops_losses(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "loss", &loss, arg("name"), arg("x"), arg("target"), arg("y") = none, arg("dx") = none,
           arg("scale") = 1.0, arg("params") = Values(), arg("weights") = none, arg("isa") = none);
    define(m, "metric", &metric, arg("name"), arg("x"), arg("target"), arg("sums"), arg("params") = Values(),
           arg("isa") = none);
    define(m, "smooth_targets", &smooth_targets, arg("targets"), arg("smoothing"), arg("binary") = false,
           arg("labels") = none, arg("isa") = none);
}

}  // namespace fusednet::bindings
