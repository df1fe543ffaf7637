// What this build and machine offer, the catalogue's rows, threads and random numbers.
#include <pybind11/stl.h>

#include <cstdlib>
#include <sstream>

#include "../base/random.h"
#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "../cuda/device.h"
#include "arrays.h"
#include "names.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

std::vector<std::string> split(const char* text) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
}

struct ActivationRow {
    const char* name;
    const char* param[2];
    double value[2];
    const char* formula;
};
constexpr ActivationRow activation_catalogue[] = {
#define FUSEDNET_ROW(name, Struct, p0, v0, p1, v1, formula) {#name, {p0, p1}, {v0, v1}, formula},
    FUSEDNET_ACTIVATIONS(FUSEDNET_ROW)
#undef FUSEDNET_ROW
};

struct LossRow {
    const char *name, *formula;
    bool labels;
};
constexpr LossRow loss_catalogue[] = {
#define FUSEDNET_ROW(name, Struct, formula) {#name, formula, false},
    FUSEDNET_ELEMENT_LOSSES(FUSEDNET_ROW)
#undef FUSEDNET_ROW
#define FUSEDNET_ROW(name, formula) {#name, formula, true},
        FUSEDNET_ROW_LOSSES(FUSEDNET_ROW)
#undef FUSEDNET_ROW
};

struct OptimizerRow {
    const char *name, *slots, *hyper, *values;
};
constexpr OptimizerRow optimizer_catalogue[] = {
#define FUSEDNET_ROW(name, Struct, count, slots, hyper, values) {#name, slots, hyper, values},
    FUSEDNET_OPTIMIZERS(FUSEDNET_ROW)
#undef FUSEDNET_ROW
};

py::list activation_rows() {
    py::list list;
    for (const ActivationRow& row : activation_catalogue) {
        py::list params;
        for (int i = 0; i < 2; ++i)
            if (*row.param[i]) params.append(py::make_tuple(row.param[i], row.value[i]));
        py::dict d;
        d["name"] = row.name;
        d["params"] = params;
        d["formula"] = row.formula;
        d["from_output"] = formulas().activation[&row - activation_catalogue].from_output;
        d["row"] = false;
        list.append(d);
    }
    py::dict softmax;
    softmax["name"] = "softmax";
    softmax["params"] = py::list();
    softmax["formula"] = "exp(x - max(x)) / sum(exp(x - max(x)))";
    softmax["from_output"] = true;
    softmax["row"] = true;
    list.append(softmax);
    return list;
}

py::list loss_rows() {
    py::list list;
    for (const LossRow& row : loss_catalogue) {
        py::dict d;
        d["name"] = row.name;
        d["formula"] = row.formula;
        d["labels"] = row.labels;
        list.append(d);
    }
    return list;
}

py::list optimizer_rows() {
    py::list list;
    for (const OptimizerRow& row : optimizer_catalogue) {
        py::list hyper;
        hyper.append(py::make_tuple("learning_rate", py::none()));
        const auto names = split(row.hyper), values = split(row.values);
        for (size_t i = 0; i < names.size(); ++i)
            hyper.append(py::make_tuple(names[i], std::strtod(values[i].c_str(), nullptr)));
        py::dict d;
        d["name"] = row.name;
        d["slots"] = split(row.slots);
        d["hyper"] = hyper;
        list.append(d);
    }
    return list;
}

py::dict isa_info() {
    py::list tables;
    int count = 0;
    const IsaTable* isas = isa_tables(&count);
    for (int i = 0; i < count; ++i) {
        py::dict d;
        d["name"] = isas[i].table->name;
        d["lanes"] = isas[i].table->lanes;
        d["supported"] = isas[i].supported;
        tables.append(d);
    }
    py::dict d;
    d["tables"] = tables;
    d["used"] = used_table().name;
    d["reason"] = isa_override() ? "FUSEDNET_ISA=" + std::string(isa_override()) : "the widest that this CPU supports";
    d["float64_lanes"] = float64_table().lanes;
    return d;
}

py::dict cuda_info() {
    const cuda::DeviceInfo info = cuda::device_info();
    py::dict d;
    d["built"] = info.built;
    d["reason"] = info.reason;
    return d;
}

Index checked_count(const char* op, Index count) {
    if (count < 0) Argument{op, "count"}.bad_value("at least 0", std::to_string(count));
    return count;
}

template <double (*draw)(uint64_t, uint64_t, uint64_t) noexcept>
py::array_t<double> random_array(const char* op, uint64_t seed, uint64_t stream, Index count) {
    py::array_t<double> out(checked_count(op, count));
    double* values = out.mutable_data();
    const py::gil_scoped_release release;
    for (Index i = 0; i < count; ++i) values[i] = draw(seed, stream, uint64_t(i));
    return out;
}

py::array_t<int64_t> permutation(uint64_t seed, uint64_t stream, Index count) {
    py::array_t<int64_t> out(checked_count("permutation", count));
    int64_t* order = out.mutable_data();
    const py::gil_scoped_release release;
    philox_permutation(seed, stream, count, order);
    return out;
}

Index first_nonfinite_row(const py::array& x) {
    return dispatch("first_nonfinite_row", "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        const View<const T> view = input<T>("first_nonfinite_row", "x", x);
        Index found = 0;
        {
            const py::gil_scoped_release release;
            if constexpr (sizeof(T) == 8)
                found = float64_table().first_nonfinite_row(rows, cols, view);
            else
                found = find_table("baseline")->first_nonfinite_row(rows, cols, view);
        }
        return found < rows ? found : Index(-1);
    });
}

void set_threads(int count) {
    if (count < 1 || count > max_threads)
        Argument{"set_num_threads", "count"}.bad_value("1 to " + std::to_string(max_threads), std::to_string(count));
    const py::gil_scoped_release release;
    set_num_threads(count);
}

}  // namespace

std::vector<std::string> optimizer_slots(Optimizer row) {
    return split(optimizer_catalogue[int(row)].slots);
}

std::vector<std::string> optimizer_hyper(Optimizer row) {
    std::vector<std::string> names = split(optimizer_catalogue[int(row)].hyper);
    names.insert(names.begin(), "learning_rate");
    return names;
}

void register_info(py::module_& m) {
    m.def("activation_rows", &activation_rows);
    m.def("loss_rows", &loss_rows);
    m.def("optimizer_rows", &optimizer_rows);
    m.def("isa_info", &isa_info);
    m.def("cuda_info", &cuda_info);
    m.def("get_num_threads", &get_num_threads);
    m.def("set_num_threads", &set_threads, py::arg("count"));
    m.def(
        "random_uniform",
        [](uint64_t seed, uint64_t stream, Index count) {
            return random_array<philox_uniform>("random_uniform", seed, stream, count);
        },
        py::arg("seed"), py::arg("stream"), py::arg("count"));
    m.def(
        "random_normal",
        [](uint64_t seed, uint64_t stream, Index count) {
            return random_array<philox_normal>("random_normal", seed, stream, count);
        },
        py::arg("seed"), py::arg("stream"), py::arg("count"));
    m.def("permutation", &permutation, py::arg("seed"), py::arg("stream"), py::arg("count"));
    m.def("first_nonfinite_row", &first_nonfinite_row, py::arg("x"));
}

}  // namespace fusednet::bindings
