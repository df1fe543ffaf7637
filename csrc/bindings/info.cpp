// What this build and machine offer, the catalogue's rows, threads and random numbers.
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "../base/random.h"
#include "../cpu/pick.h"
#include "../cpu/pool.h"
#include "../cpu/sharing.h"
#include "../cuda/device.h"
#include "../cuda/pick.h"
#include "../plan/plan.h"
#include "arrays.h"
#include "call.h"
#include "names.h"
#include "register.h"
#include "share.h"

namespace fusednet::bindings {
namespace {

std::vector<std::string> split(std::string_view text, char separator = ',') {
    std::vector<std::string> parts;
    for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
        end = std::min(text.find(separator, begin), text.size());
        parts.emplace_back(text.substr(begin, end - begin));
    }
    return parts;
}

// One kind of the catalogue's rows as Python sees it: name, parameters with their defaults, formula, source.
struct Row {
    const char *name, *params, *defaults, *formula, *source;
};

py::list params_of(const Row& row) {
    py::list params;
    const auto names = split(row.params), values = split(row.defaults);
    for (size_t i = 0; i < names.size(); ++i)
        params.append(py::make_tuple(names[i], std::strtod(values[i].c_str(), nullptr)));
    return params;
}

py::dict row_dict(const Row& row) {
    py::dict d;
    d["name"] = row.name;
    d["params"] = params_of(row);
    d["formula"] = row.formula;
    d["source"] = row.source;
    return d;
}

// Rows of some kinds have no source: the empty string before it is then all there is.
#define FUSEDNET_ROW(name, code, params, defaults, formula, ...) {#name, params, defaults, formula, "" __VA_ARGS__},
#define FUSEDNET_PLAIN_ROW(name, code, formula, ...) {#name, "", "", formula, "" __VA_ARGS__},
#define FUSEDNET_METRIC_ROW(name, code, fixed, per_output, params, defaults, formula) \
    {#name, params, defaults, formula, ""},
constexpr Row activation_catalogue[] = {FUSEDNET_ACTIVATIONS(FUSEDNET_ROW)};
constexpr Row row_activation_catalogue[] = {FUSEDNET_ROW_ACTIVATIONS(FUSEDNET_PLAIN_ROW)};
constexpr Row element_loss_catalogue[] = {FUSEDNET_ELEMENT_LOSSES(FUSEDNET_ROW)};
constexpr Row row_loss_catalogue[] = {FUSEDNET_ROW_LOSSES(FUSEDNET_ROW)};
constexpr Row metric_catalogue[] = {FUSEDNET_METRICS(FUSEDNET_METRIC_ROW)};
constexpr Row constraint_catalogue[] = {FUSEDNET_CONSTRAINTS(FUSEDNET_ROW)};
constexpr Row noise_catalogue[] = {FUSEDNET_NOISES(FUSEDNET_ROW)};
#undef FUSEDNET_METRIC_ROW
#undef FUSEDNET_PLAIN_ROW
#undef FUSEDNET_ROW

struct OptimizerRow {
    const char *name, *slots, *first_values, *hyper, *values, *formula, *source;
};
constexpr OptimizerRow optimizer_catalogue[] = {
#define FUSEDNET_ROW(name, Struct, count, ...) {#name, __VA_ARGS__},
    FUSEDNET_OPTIMIZERS(FUSEDNET_ROW)
#undef FUSEDNET_ROW
};

struct ScheduleRow {
    const char *name, *params, *formula;
};
constexpr ScheduleRow schedule_catalogue[] = {
#define FUSEDNET_ROW(name, function, params, formula) {#name, params, formula},
    FUSEDNET_SCHEDULES(FUSEDNET_ROW)
#undef FUSEDNET_ROW
};

py::list activation_rows() {
    constexpr const char* slopes[] = {"none", "learned", "random"};
    py::list list;
    for (const Row& row : activation_catalogue) {
        const ActivationTraits& traits = formulas().activation[&row - activation_catalogue];
        py::dict d = row_dict(row);
        d["from_output"] = traits.from_output;
        d["reads_saved"] = traits.reads_saved;
        d["slope"] = slopes[int(traits.slope)];
        d["row"] = false;
        list.append(d);
    }
    for (const Row& row : row_activation_catalogue) {
        py::dict d = row_dict(row);
        d["from_output"] = true;
        d["reads_saved"] = true;
        d["slope"] = slopes[0];
        d["row"] = true;
        list.append(d);
    }
    return list;
}

template <size_t count>
void append_rows(py::list& list, const Row (&rows)[count]) {
    for (const Row& row : rows) list.append(row_dict(row));
}

// The loss of probabilities that a loss of logits computes, or an empty name.
std::string logits_of(const std::string& name) {
#define FUSEDNET_ROW(loss, fused, softmax) {#loss, #fused},
    constexpr const char* fusions[][2] = {FUSEDNET_LOSS_FUSIONS(FUSEDNET_ROW)};
#undef FUSEDNET_ROW
    for (const auto& [loss, fused] : fusions)
        if (name == fused) return loss;
    return "";
}

py::list loss_rows() {
    py::list list;
    append_rows(list, element_loss_catalogue);
    append_rows(list, row_loss_catalogue);
    for (size_t i = 0; i < list.size(); ++i) {
        list[i]["labels"] = i >= std::size(element_loss_catalogue);
        list[i]["logits_of"] = logits_of(list[i]["name"].cast<std::string>());
    }
    return list;
}

#define FUSEDNET_SUMS(name, kernel, fixed, per_output, ...) {fixed, per_output},
py::list metric_rows() {
    constexpr Index sums[][2] = {FUSEDNET_METRICS(FUSEDNET_SUMS)};
    py::list list;
    append_rows(list, metric_catalogue);
    for (size_t i = 0; i < list.size(); ++i) list[i]["sums"] = py::make_tuple(sums[i][0], sums[i][1]);
    return list;
}
#undef FUSEDNET_SUMS

template <const auto& rows>
py::list plain_rows() {
    py::list list;
    append_rows(list, rows);
    return list;
}

py::list schedule_rows() {
    py::list list;
    for (const ScheduleRow& row : schedule_catalogue) {
        py::dict d;
        d["name"] = row.name;
        d["params"] = split(row.params);
        d["formula"] = row.formula;
        list.append(d);
    }
    return list;
}

py::list optimizer_rows() {
    py::list list;
    for (const OptimizerRow& row : optimizer_catalogue) {
        py::dict d;
        d["name"] = row.name;
        d["slots"] = split(row.slots);
        d["first_values"] = split(row.first_values);
        d["hyper"] = params_of({row.name, row.hyper, row.values, "", ""});
        d["formula"] = row.formula;
        d["source"] = row.source;
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
        d["base"] = isas[i].table->base ? py::object(py::str(isas[i].table->base)) : py::none();
        py::list products;
        for (int p = 0; p < int(Precision::count); ++p)
            if (isas[i].table->reduced[p]) products.append(precision_names[p]);
        d["products"] = products;
        tables.append(d);
    }
    py::dict d;
    d["tables"] = tables;
    d["used"] = used_table().name;
    d["reason"] = isa_override() ? "FUSEDNET_ISA=" + std::string(isa_override()) : "the widest that this CPU supports";
    d["float64_lanes"] = float64_table().lanes;
    py::dict products;
    for (int p = 0; p < int(Precision::count); ++p)
        products[precision_names[p]] = product_text(used_table(), Precision(p));
    d["products"] = products;
    return d;
}

// 13000 is "13.0"
py::object cuda_version(int version) {
    if (version == 0) return py::none();
    return py::str(std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10));
}

std::vector<std::string> device_names() {
    std::vector<std::string> names{"cpu"};
    for (const char* const* name = known_devices(); *name; ++name) names.push_back(*name);
    return names;
}

// Empty where nothing is missing.
std::string why_no_device(const std::string& name) {
    const char* why = "";
    return name == "cpu" || device_tables(name.c_str(), &why).float32 ? "" : why;
}

py::dict cuda_info() {
    const cuda::DeviceInfo& info = cuda::device_info();
    py::list devices;
    for (int i = 0; i < std::min(info.count, cuda::most_devices); ++i) {
        const cuda::DeviceProperties& properties = info.devices[i];
        py::dict device;
        device["name"] = properties.name;
        device["compute_capability"] = std::to_string(properties.major) + "." + std::to_string(properties.minor);
        device["memory"] = properties.memory;
        devices.append(device);
    }
    const char* reason = info.reason;
    if (!reason) cuda::find_device(&reason);  // whether kernels load there, and the process is the one that opened it
    py::dict d;
    d["built"] = info.built;
    d["available"] = reason == nullptr;
    d["reason"] = reason ? py::object(py::str(reason)) : py::none();
    d["compute_capabilities"] = split(info.capabilities, ' ');
    d["runtime"] = cuda_version(info.runtime);
    d["driver"] = cuda_version(info.driver);
    d["devices"] = devices;
    d["products"] = info.products ? py::object(py::str(info.products)) : py::none();
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
        const py::gil_scoped_release release;
        if (DeviceCall* const call = DeviceCall::current()) {
            Index found = 0;
            Index* const there = call->sent(&found, 1);
            call->table<T>().first_nonfinite_row(rows, cols, view, there);
            call->device().download(&found, there, sizeof found);
            return found < rows ? found : Index(-1);
        }
        std::atomic<Index> first = rows;
        share_rows(rows, cols, 1.0, [&](Index begin, Index count) {
            Index found = 0, before = first.load(std::memory_order_relaxed);
            if (before < begin) return;
            const View<const T> part = part_of(view, begin, 0);
            if constexpr (sizeof(T) == 8)
                float64_table().first_nonfinite_row(count, cols, part, &found);
            else
                find_table("baseline")->first_nonfinite_row(count, cols, part, &found);
            if (found == count) return;
            while (begin + found < before && !first.compare_exchange_weak(before, begin + found)) {
            }
        });
        return first < rows ? first.load() : Index(-1);
    });
}

void set_threads(int count) {
    if (count < 1 || count > max_threads)
        Argument{"set_num_threads", "count"}.bad_value("1 to " + std::to_string(max_threads), std::to_string(count));
    set_num_threads(count);
}

int get_threads() {
    check_environment();
    return get_num_threads();
}

}  // namespace

void check_environment() {
    const char* bad = bad_environment();
    if (bad)
        throw py::value_error("[FUSEDNET_NUM_THREADS] expects an integer of at least 1, got '" + std::string(bad) +
                              "'");
}

MetricSums metric_sums(Metric row) {
#define FUSEDNET_ROW(name, code, fixed, per_output, ...) {fixed, per_output},
    constexpr MetricSums sums[] = {FUSEDNET_METRICS(FUSEDNET_ROW)};
#undef FUSEDNET_ROW
    return sums[int(row)];
}

std::vector<std::string> optimizer_slots(Optimizer row) {
    return split(optimizer_catalogue[int(row)].slots);
}

std::vector<std::string> optimizer_hyper(Optimizer row) {
    return split(optimizer_catalogue[int(row)].hyper);
}

std::vector<double> optimizer_first_values(Optimizer row, const std::vector<double>& hyper) {
    const auto names = optimizer_hyper(row);
    std::vector<double> values;
    for (const std::string& first : split(optimizer_catalogue[int(row)].first_values)) {
        const auto named = std::find(names.begin(), names.end(), first);
        values.push_back(named == names.end() ? std::strtod(first.c_str(), nullptr) : hyper[named - names.begin()]);
    }
    return values;
}

std::vector<std::string> schedule_params(Schedule row) {
    return split(schedule_catalogue[int(row)].params);
}

void register_info(py::module_& m) {
    m.def("activation_rows", &activation_rows);
    m.def("loss_rows", &loss_rows);
    m.def("metric_rows", &metric_rows);
    m.def("optimizer_rows", &optimizer_rows);
    m.def("constraint_rows", &plain_rows<constraint_catalogue>);
    m.def("noise_rows", &plain_rows<noise_catalogue>);
    m.def("schedule_rows", &schedule_rows);
    m.def("isa_info", &isa_info);
    m.def("cuda_info", &cuda_info);
    m.def("set_package_folders", &cuda::set_package_folders, py::arg("folders"));
    m.def("device_names", &device_names);
    m.def("why_no_device", &why_no_device, py::arg("name"));
    m.def("get_num_threads", &get_threads);
    m.def("set_num_threads", &set_threads, py::arg("count"));
    py::class_<Sharing>(m, "Sharing")
        .def(py::init<>())
        .def("begin", &Sharing::begin, py::arg("rows"))
        .def("end", &Sharing::end, py::arg("ns"), py::arg("helped"));
    m.def("streamed_bytes", &streamed_bytes);
    m.def("cgroup_cpus", &cgroup_cpus, py::arg("groups"), py::arg("root"));
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
    define(m, "first_nonfinite_row", &first_nonfinite_row, py::arg("x"));
}

}  // namespace fusednet::bindings
