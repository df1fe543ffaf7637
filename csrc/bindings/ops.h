// What the bindings of all kernels share: which table, which parameters, memory that does not overlap.
#pragma once

#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "names.h"

namespace fusednet::bindings {

using Isa = std::optional<std::string>;
using Values = std::vector<double>;

template <class T>
const Table<T>& table_for(const char* op, const Isa& isa) {
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

}  // namespace fusednet::bindings
