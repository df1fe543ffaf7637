// Parameter updates on NumPy arrays.
#include <cmath>
#include "ops.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

void scalars_of(const char* op, Optimizer row, int64_t step, const std::vector<double>& hyper, double* scalars) {
    const auto names = optimizer_hyper(row);
    if (hyper.size() != names.size())
        Argument{op, "hyper"}.bad_value(std::to_string(names.size()) + " values", std::to_string(hyper.size()));
    if (step < 1) Argument{op, "step"}.bad_value("at least 1", std::to_string(step));
    double values[max_hyper] = {};
    for (size_t i = 0; i < hyper.size(); ++i) values[i] = hyper[i];
    formulas().optimizer_scalars[int(row)](double(step), values, scalars);
}

std::vector<double> optimizer_scalars(const std::string& optimizer, int64_t step, const std::vector<double>& hyper) {
    std::vector<double> scalars(max_scalars);
    scalars_of("optimizer_scalars", row_of<Optimizer>("optimizer_scalars", "optimizer", optimizer_names, optimizer),
               step, hyper, scalars.data());
    return scalars;
}

void optimizer_update(const std::string& optimizer, const py::array& w, const py::object& g,
                      const std::vector<py::array>& slots, int64_t step, const std::vector<double>& hyper, double scale,
                      std::optional<double> clip_value, const Isa& isa) {
    const char* op = "optimizer_update";
    const Optimizer row = row_of<Optimizer>(op, "optimizer", optimizer_names, optimizer);
    dispatch(op, "w", w, [&](auto zero) {
        using T = decltype(zero);
        double scalars[max_scalars] = {};
        scalars_of(op, row, step, hyper, scalars);
        const Index n = cols_of(w);
        UpdateArgs<T> args{n,     vector<T>(op, "w", w, n, true), vector<T>(op, "g", g, n, false), {}, scalars,
                           scale, clip_value.value_or(INFINITY)};
        if (!args.g) throw py::type_error("[optimizer_update] 'g' expects an array, got None");
        const size_t wanted = optimizer_slots(row).size();
        if (slots.size() != wanted)
            Argument{op, "slots"}.bad_value(std::to_string(wanted) + " arrays", std::to_string(slots.size()));
        for (size_t i = 0; i < slots.size(); ++i) args.slot[i] = vector<T>(op, "slots", slots[i], n, true);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        table.optimizer_update[int(row)](args);
    });
}

double squared_norm(const py::array& x, const Isa& isa) {
    return dispatch("squared_norm", "x", x, [&](auto zero) {
        using T = decltype(zero);
        const View<const T> view = input<T>("squared_norm", "x", x);
        return table_for<T>("squared_norm", isa).squared_norm(rows_of(x), cols_of(x), view);
    });
}

}  // namespace

void register_ops_updates(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    m.def("optimizer_scalars", &optimizer_scalars, arg("optimizer"), arg("step"), arg("hyper"));
    m.def("optimizer_update", &optimizer_update, arg("optimizer"), arg("w"), arg("g"), arg("slots"), arg("step"),
          arg("hyper"), arg("scale") = 1.0, arg("clip_value") = none, arg("isa") = none);
    m.def("squared_norm", &squared_norm, arg("x"), arg("isa") = none);
}

}  // namespace fusednet::bindings
