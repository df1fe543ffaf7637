// Losses and metrics on NumPy arrays.
#include "ops.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

// The target as labels (int32, checked against the classes) or as one row of numbers a sample.
template <class T>
void read_target(const char* op, const py::array& target, Index rows, Index cols, const int32_t** labels,
                 View<const T>* targets) {
    if (!has_type<int32_t>(target)) {
        *targets = input<T>(op, "target", target, rows, cols);
        return;
    }
    const Argument argument{op, "target"};
    if (target.ndim() != 1 || target.shape(0) != rows) argument.bad_shape("(" + std::to_string(rows) + ",)", target);
    check_layout(argument, target, false);
    *labels = static_cast<const int32_t*>(target.data());
    const Index classes = cols == 1 ? 2 : cols;
    for (Index i = 0; i < rows; ++i)
        if ((*labels)[i] < 0 || (*labels)[i] >= classes)
            argument.bad_value("labels from 0 to " + std::to_string(classes - 1),
                               std::to_string((*labels)[i]) + " in row " + std::to_string(i));
}

double loss(const std::string& name, const py::array& x, const py::array& target, const std::optional<py::array>& y,
            const std::optional<py::array>& dx, double scale, const Isa& isa) {
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
        const bool takes_labels = row == Loss::softmax_crossentropy || row == Loss::crossentropy;
        if (args.labels && (!takes_labels || cols == 1))
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
        table_for<T>(op, isa).loss[int(row)](args);
        return sum;
    });
}

Index accuracy(const py::array& x, const py::array& target, double threshold, const Isa& isa) {
    const char* op = "accuracy";
    return dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        double sums[2] = {};
        MetricArgs<T> args{rows_of(x), cols_of(x), input<T>(op, "x", x), nullptr, {}, {{threshold}}, sums};
        read_target<T>(op, target, args.rows, args.cols, &args.labels, &args.targets);
        table_for<T>(op, isa).metric[int(Metric::accuracy)](args);
        return Index(sums[0]);
    });
}

}  // namespace

void register_ops_losses(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    m.def("loss", &loss, arg("name"), arg("x"), arg("target"), arg("y") = none, arg("dx") = none, arg("scale") = 1.0,
          arg("isa") = none);
    m.def("accuracy", &accuracy, arg("x"), arg("target"), arg("threshold") = 0.5, arg("isa") = none);
}

}  // namespace fusednet::bindings
