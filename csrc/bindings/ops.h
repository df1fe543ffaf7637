// What the bindings of all kernels share: which table, which parameters, memory that does not overlap.
#pragma once

#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "call.h"
#include "names.h"

namespace fusednet::bindings {

using Isa = std::optional<std::string>;
using Values = std::vector<double>;

template <class T>
const Table<T>& table_for(const char* op, const Isa& isa) {
    if (const DeviceCall* call = DeviceCall::current()) {
        const Table<T>& table = call->table<T>();
        if (isa && *isa != table.name)
            Argument{op, "isa"}.bad_value("None for arrays " + place_text(&call->device()), "'" + *isa + "'");
        return table;
    }
    if constexpr (sizeof(T) == 8) {
        if (isa && *isa != "float64") Argument{op, "isa"}.bad_value("float64 for float64 arrays", "'" + *isa + "'");
        return float64_table();
    } else {
        if (!isa) return used_table();
        const Table<float>* table = find_table(isa->c_str());
        if (!table) Argument{op, "isa"}.bad_value("one of " + supported_isas(), "'" + *isa + "'");
        return *table;
    }
}

inline Params params_of(const char* op, const Values& values) {
    Params params;
    if (values.size() > max_params)
        Argument{op, "params"}.bad_value("at most " + std::to_string(max_params) + " values",
                                         std::to_string(values.size()));
    for (size_t i = 0; i < values.size(); ++i) params.p[i] = values[i];
    return params;
}

inline Activation activation_of(const char* op, const std::string& name) {
    return row_of<Activation>(op, "activation", activation_names, name);
}

// Outputs are written while inputs are read: they may be the same array where a kernel allows it, not overlap.
inline void check_apart(const char* op, const char* name, const py::array& out, const py::array& in,
                        bool same_allowed) {
    const auto span = [](const py::array& a) {
        const auto* low = static_cast<const char*>(a.data());
        const char* high = low;
        if (a.size() == 0) return std::pair(low, low);
        for (py::ssize_t i = 0; i < a.ndim(); ++i) {
            const py::ssize_t extent = (a.shape(i) - 1) * a.strides(i);
            (extent < 0 ? low : high) += extent;
        }
        return std::pair(low, high + a.itemsize());
    };
    const auto [a0, a1] = span(out);
    const auto [b0, b1] = span(in);
    const bool same = out.data() == in.data() && rows_of(out) == rows_of(in) && cols_of(out) == cols_of(in) &&
                      (rows_of(out) <= 1 || out.strides(0) == in.strides(0));
    if (a0 < b1 && b0 < a1 && !(same && same_allowed))
        throw py::value_error(Argument{op, name}.where() + "memory of its own, got an overlap with an input");
}

template <class T>
View<const T> no_slope(const char* op, const char* activation, const py::object& slope) {
    if (!slope.is_none())
        throw py::type_error(Argument{op, "slope"}.where() + "None for " + activation + ", got an array");
    return {};
}

// The slopes of an activation that has them: (cols), one row for all, or one for each element.
template <class T>
View<const T> slope_of(const char* op, Activation row, const py::object& slope, Index rows, Index cols) {
    const char* const name = activation_names[int(row)];
    if (formulas().activation[int(row)].slope == Slope::none) return no_slope<T>(op, name, slope);
    const Argument argument{op, "slope"};
    if (!py::isinstance<py::array>(slope))
        throw py::type_error(argument.where() + "an array for " + name + ", got " +
                             std::string(py::str(py::type::of(slope))));
    const auto a = py::reinterpret_borrow<py::array>(slope);
    if (a.ndim() == 1) return {vector<T>(op, "slope", slope, cols, false), 0};
    return input<T>(op, "slope", a, rows, cols);
}

// dslope, if any, belongs to a learned slope and overlaps nothing that the kernel uses.
inline void check_slope_gradient(const char* op, int row, const py::object& dslope,
                                 std::initializer_list<py::array> others) {
    if (dslope.is_none()) return;
    if (row >= int(Activation::count) || formulas().activation[row].slope != Slope::learned)
        throw py::type_error(Argument{op, "dslope"}.where() + "None, since the slope is not learned, got an array");
    for (const py::array& other : others)
        check_apart(op, "dslope", py::reinterpret_borrow<py::array>(dslope), other, false);
}

}  // namespace fusednet::bindings
