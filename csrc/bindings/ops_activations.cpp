// Activations on NumPy arrays, element-wise ones and those over rows alike.
#include "ops.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

#define FUSEDNET_NAME(name, ...) #name,
constexpr const char* all_names[] = {FUSEDNET_ACTIVATIONS(FUSEDNET_NAME) FUSEDNET_ROW_ACTIVATIONS(FUSEDNET_NAME)};
#undef FUSEDNET_NAME

// The row's number among both kinds, those over rows last.
int row_number(const char* op, const std::string& activation) {
    return row_of<int>(op, "activation", all_names, activation);
}

template <class T>
View<const T> slope_of_row(const char* op, int row, const py::object& slope, Index rows, Index cols) {
    if (row < int(Activation::count)) return slope_of<T>(op, Activation(row), slope, rows, cols);
    return no_slope<T>(op, all_names[row], slope);
}

void activation_forward(const py::array& x, const py::array& out, const std::string& activation, const Values& params,
                        const Isa& isa, const py::object& slope) {
    const char* op = "activation_forward";
    const int row = row_number(op, activation);
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        const ActivationForward<T> args{rows,
                                        cols,
                                        input<T>(op, "x", x),
                                        output<T>(op, "out", out, rows, cols),
                                        params_of(op, params),
                                        slope_of_row<T>(op, row, slope, rows, cols)};
        check_apart(op, "out", out, x, true);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        const Table<T>& table = table_for<T>(op, isa);
        const auto kernel = row < int(Activation::count) ? table.activation_forward[row]
                                                         : table.row_activation_forward[row - int(Activation::count)];
        const py::gil_scoped_release release;
        kernel(args);
    });
}

void activation_backward(const py::array& dy, const py::array& saved, const py::array& out,
                         const std::string& activation, const Values& params, const Isa& isa, const py::object& slope,
                         const py::object& dslope) {
    const char* op = "activation_backward";
    const int row = row_number(op, activation);
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const ActivationBackward<T> args{rows,
                                         cols,
                                         input<T>(op, "dy", dy),
                                         input<T>(op, "saved", saved, rows, cols),
                                         output<T>(op, "out", out, rows, cols),
                                         params_of(op, params),
                                         slope_of_row<T>(op, row, slope, rows, cols),
                                         vector<T>(op, "dslope", dslope, cols, true)};
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, saved, false);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        check_slope_gradient(op, row, dslope, {dy, saved, out});
        const Table<T>& table = table_for<T>(op, isa);
        const auto kernel = row < int(Activation::count) ? table.activation_backward[row]
                                                         : table.row_activation_backward[row - int(Activation::count)];
        const py::gil_scoped_release release;
        kernel(args);
    });
}

}  // namespace

void register_ops_activations(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    m.def("activation_forward", &activation_forward, arg("x"), arg("out"), arg("activation"),
          arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none);
    m.def("activation_backward", &activation_backward, arg("dy"), arg("saved"), arg("out"), arg("activation"),
          arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none, arg("dslope") = none);
}

}  // namespace fusednet::bindings
