// Activations on NumPy arrays.
#include "ops.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

template <class Kernel>
void forward(const char* op, const py::array& x, const py::array& out, const Values& params, const Isa& isa,
             Kernel kernel) {
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        const ActivationForward<T> args{rows, cols, input<T>(op, "x", x), output<T>(op, "out", out, rows, cols),
                                        params_of(op, params)};
        check_apart(op, "out", out, x, true);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        kernel(table)(args);
    });
}

template <class Kernel>
void backward(const char* op, const char* saved_name, const py::array& dy, const py::array& saved, const py::array& out,
              const Values& params, const Isa& isa, Kernel kernel) {
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const ActivationBackward<T> args{rows,
                                         cols,
                                         input<T>(op, "dy", dy),
                                         input<T>(op, saved_name, saved, rows, cols),
                                         output<T>(op, "out", out, rows, cols),
                                         params_of(op, params)};
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, saved, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        kernel(table)(args);
    });
}

void activation_forward(const py::array& x, const py::array& out, const std::string& activation, const Values& params,
                        const Isa& isa) {
    const Activation row = activation_of("activation_forward", activation);
    forward("activation_forward", x, out, params, isa, [=](const auto& t) { return t.activation_forward[int(row)]; });
}

void activation_backward(const py::array& dy, const py::array& saved, const py::array& out,
                         const std::string& activation, const Values& params, const Isa& isa) {
    const Activation row = activation_of("activation_backward", activation);
    backward("activation_backward", "saved", dy, saved, out, params, isa,
             [=](const auto& t) { return t.activation_backward[int(row)]; });
}

void softmax_forward(const py::array& x, const py::array& out, const Isa& isa) {
    forward("softmax_forward", x, out, {}, isa,
            [](const auto& t) { return t.row_activation_forward[int(RowActivation::softmax)]; });
}

void softmax_backward(const py::array& dy, const py::array& y, const py::array& out, const Isa& isa) {
    backward("softmax_backward", "y", dy, y, out, {}, isa,
             [](const auto& t) { return t.row_activation_backward[int(RowActivation::softmax)]; });
}

}  // namespace

void register_ops_activations(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    m.def("activation_forward", &activation_forward, arg("x"), arg("out"), arg("activation"),
          arg("params") = py::tuple(), arg("isa") = none);
    m.def("activation_backward", &activation_backward, arg("dy"), arg("saved"), arg("out"), arg("activation"),
          arg("params") = py::tuple(), arg("isa") = none);
    m.def("softmax_forward", &softmax_forward, arg("x"), arg("out"), arg("isa") = none);
    m.def("softmax_backward", &softmax_backward, arg("dy"), arg("y"), arg("out"), arg("isa") = none);
}

}  // namespace fusednet::bindings
