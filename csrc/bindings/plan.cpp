// fusednet._native.Plan: a description in, slices of an epoch run with the GIL released.
#include "../plan/plan.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <exception>
#include <limits>

#include "../base/random.h"
#include "names.h"
#include "py_plan.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

// Made once and kept for good: short epochs would spend more on the names of their results than on training.
py::handle name(const char* text) {
    return PyUnicode_InternFromString(text);
}

py::dict result_dict(const Result& r) {
    static const py::handle status[] = {name("ok"), name("loss"), name("gradient"), name("statistics"),
                                        name("interrupted")};
    static const py::handle next = name("next"), steps = name("steps"), loss = name("loss"),
                            weighted = name("loss_weighted"), penalty = name("penalty"), metrics = name("metrics"),
                            count = name("samples"), outcome = name("status"), bad = name("bad"), value = name("value"),
                            norm = name("norm");
    py::dict d;
    d[next] = r.next;
    d[steps] = r.steps;
    d[loss] = r.loss;
    d[weighted] = r.weighted_loss;
    d[penalty] = r.penalty;
    d[metrics] = r.metrics;
    d[count] = r.samples;
    d[outcome] = status[int(r.status)];
    d[bad] = r.bad;
    d[value] = r.value;
    d[norm] = r.norm;
    return d;
}

int64_t counter(const char* name, int64_t value) {
    if (value < 0 || value >= int64_t(1) << 44)
        Argument{"Plan", name}.bad_value("0 to 2^44 - 1", std::to_string(value));
    return value;
}

// Has Ctrl-C, or another signal whose handler raises, come in? Only Python's main thread hears of it.
bool signalled() {
    const py::gil_scoped_acquire acquire;
    return PyErr_CheckSignals() != 0;
}

py::dict train(PyPlan& self, const Operand& x, const Operand& y, const py::object& order, Index begin, Index end,
               Index batch, double budget_ms, const py::object& weights) {
    self.need_optimizer("train");
    const Rows rows = self.samples_of("train", "x", x, any_size, self.spec().features);
    self.check_batch("train", batch);
    const int64_t* indices = self.order("train", order, begin, end, x.shape(0));
    const Targets targets = self.targets("train", x, y, weights, indices, begin, end);
    Interrupt interrupt(signalled);
    Result result;
    {
        const py::gil_scoped_release release;
        result = self.plan().train(rows, targets, indices, begin, end, batch, budget_ms, interrupt);
    }
    if (interrupt.stopped()) throw py::error_already_set();
    return result_dict(result);
}

// What whole epochs came to, an element of each array for each.
py::dict columns(const std::vector<Result>& epochs, Index metrics) {
    const auto column = [&](auto member) {
        py::array_t<double> values{py::ssize_t(epochs.size())};
        for (size_t i = 0; i < epochs.size(); ++i) values.mutable_at(py::ssize_t(i)) = double(epochs[i].*member);
        return values;
    };
    py::list sums;
    for (size_t m = 0; m < size_t(metrics) && !epochs.empty(); ++m) {
        const size_t width = epochs[0].metrics[m].size();
        py::array_t<double> all({epochs.size(), width});
        for (size_t i = 0; i < epochs.size(); ++i)
            std::copy_n(epochs[i].metrics[m].data(), width, all.mutable_data() + i * width);
        sums.append(all);
    }
    py::dict d;
    d["loss"] = column(&Result::loss);
    d["loss_weighted"] = column(&Result::weighted_loss);
    d["penalty"] = column(&Result::penalty);
    d["samples"] = column(&Result::samples);
    d["metrics"] = sums;
    return d;
}

// So many epochs, the data in the order of (seed, stream), (seed, stream + 1), ... or as it is. Sets in `results` what
// those that ended came to, and the result of the one that failed, before it raises what a signal's handler raised.
void train_epochs(PyPlan& self, const Operand& x, const Operand& y, const std::optional<uint64_t>& seed,
                  uint64_t stream, Index epochs, Index batch, const py::object& weights, py::dict results) {
    const char* op = "train_epochs";
    self.need_optimizer(op);
    const Rows rows = self.samples_of(op, "x", x, any_size, self.spec().features);
    self.check_batch(op, batch);
    if (epochs < 0) Argument{op, "epochs"}.bad_value("at least 0", std::to_string(epochs));
    const Index count = x.shape(0);
    const Targets targets = self.targets(op, x, y, weights, nullptr, 0, count);
    std::vector<int64_t> order(size_t(seed ? count : 0));
    std::vector<Result> done;
    done.reserve(size_t(epochs));
    Interrupt interrupt(signalled);
    std::exception_ptr failure;  // the epochs before it have ended
    try {
        const py::gil_scoped_release release;
        for (Index epoch = 0; epoch < epochs; ++epoch) {
            if (seed) philox_permutation(*seed, stream + uint64_t(epoch), count, order.data());
            Result result = self.plan().train(rows, targets, seed ? order.data() : nullptr, 0, count, batch,
                                              std::numeric_limits<double>::infinity(), interrupt);
            if (interrupt.stopped()) break;
            done.push_back(std::move(result));
            if (done.back().status != Status::ok) break;
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (!done.empty() && done.back().status != Status::ok) {
        results["failed"] = result_dict(done.back());
        done.pop_back();
    }
    results["epochs"] = columns(done, Index(self.spec().metrics.size()));
    if (failure) std::rethrow_exception(failure);
    if (interrupt.stopped()) throw py::error_already_set();
}

void hold(PyPlan& self, const Operand& x, const Operand& y, const py::object& weights) {
    const Rows rows = self.samples_of("hold", "x", x, any_size, self.spec().features);
    const Targets targets = self.targets("hold", x, y, weights, nullptr, 0, 0);
    const Index count = x.shape(0);
    {
        const py::gil_scoped_release release;
        self.plan().hold(rows, targets, count);
    }
    self.held = {x, y, weights};
}

void release(PyPlan& self) {
    {
        const py::gil_scoped_release release;
        self.plan().release();
    }
    self.held = {};
}

py::dict evaluate(PyPlan& self, const Operand& x, const Operand& y, Index begin, Index end, double budget_ms,
                  bool training, const py::object& weights) {
    const Rows rows = self.samples_of("evaluate", "x", x, any_size, self.spec().features);
    self.check_range("evaluate", begin, end, x.shape(0));
    const Targets targets = self.targets("evaluate", x, y, weights, nullptr, begin, end);
    Interrupt interrupt(signalled);
    Result result;
    {
        const py::gil_scoped_release release;
        result = self.plan().evaluate(rows, targets, begin, end, budget_ms, training, interrupt);
    }
    if (interrupt.stopped()) throw py::error_already_set();
    return result_dict(result);
}

py::dict recalibrate(PyPlan& self, const Operand& x, Index begin, Index end) {
    const Rows rows = self.samples_of("recalibrate", "x", x, any_size, self.spec().features);
    self.check_range("recalibrate", begin, end, x.shape(0));
    Interrupt interrupt(signalled);
    Result result;
    {
        const py::gil_scoped_release release;
        result = self.plan().recalibrate(rows, begin, end, interrupt);
    }
    if (interrupt.stopped()) throw py::error_already_set();
    return result_dict(result);
}

Index predict(PyPlan& self, const Operand& x, const py::array& out, Index begin, Index end, double budget_ms) {
    const Rows rows = self.samples_of("predict", "x", x, any_size, self.spec().features);
    self.check_range("predict", begin, end, x.shape(0));
    if (out.ndim() != 2)
        Argument{"predict", "out"}.bad_shape("(n, " + std::to_string(self.plan().outputs()) + ")", out);
    if (self.spec().float64)
        output<double>("predict", "out", out, x.shape(0), self.plan().outputs());
    else
        output<float>("predict", "out", out, x.shape(0), self.plan().outputs());
    void* data = const_cast<void*>(out.data());
    const Index row_bytes = out.strides(0);
    Interrupt interrupt(signalled);
    Index next = 0;
    {
        const py::gil_scoped_release release;
        next = self.plan().predict(rows, data, row_bytes, begin, end, budget_ms, interrupt);
    }
    if (interrupt.stopped()) throw py::error_already_set();
    return next;
}

py::dict compute_gradients(PyPlan& self, const Operand& x, const Operand& y, const py::object& input_gradient,
                           const py::object& weights) {
    const Rows rows = self.samples_of("compute_gradients", "x", x, any_size, self.spec().features);
    const Targets targets = self.targets("compute_gradients", x, y, weights, nullptr, 0, x.shape(0));
    self.need_gradients("compute_gradients");
    self.check_batch("compute_gradients", x.shape(0));
    void* out = nullptr;
    if (!input_gradient.is_none()) {
        if (!self.spec().input_gradient)
            throw py::value_error("[compute_gradients] 'input_gradient' expects a plan made with input_gradient");
        const auto a = py::cast<py::array>(input_gradient);
        const auto check = [&](auto zero) {
            const auto v =
                output<decltype(zero)>("compute_gradients", "input_gradient", a, x.shape(0), self.spec().features);
            if (v.ld != self.spec().features)
                Argument{"compute_gradients", "input_gradient"}.bad_shape("contiguous", a);
            return static_cast<void*>(v.data);
        };
        out = self.spec().float64 ? check(double()) : check(float());
    }
    const Index n = x.shape(0);
    const py::gil_scoped_release release;
    const Result result = self.plan().compute_gradients(rows, targets, n, out);
    const py::gil_scoped_acquire acquire;
    return result_dict(result);
}

py::dict apply_gradients(PyPlan& self) {
    self.need_optimizer("apply_gradients");
    self.need_gradients("apply_gradients");
    const py::gil_scoped_release release;
    const Result result = self.plan().apply_gradients();
    const py::gil_scoped_acquire acquire;
    return result_dict(result);
}

py::array differences(PyPlan& self, const Operand& x, const Operand& y, const std::optional<std::string>& name,
                      const py::array& indices, double step, double budget_ms, const py::object& weights) {
    const char* op = "differences";
    const Rows rows = self.samples_of(op, "x", x, any_size, self.spec().features);
    const Targets targets = self.targets(op, x, y, weights, nullptr, 0, x.shape(0));
    self.check_batch(op, x.shape(0));
    Index size = x.shape(0) * self.spec().features;
    if (name) {
        size = 1;
        for (const Index n : self.shape_of(*name)) size *= n;
    }
    const int64_t* at = nullptr;
    const Argument argument{op, "indices"};
    if (!has_type<int64_t>(indices)) argument.bad_dtype("int64", indices);
    if (indices.ndim() != 1) argument.bad_shape("(n,)", indices);
    check_layout(argument, indices, false);
    at = static_cast<const int64_t*>(indices.data());
    const Index count = indices.shape(0);
    for (Index i = 0; i < count; ++i)
        if (at[i] < 0 || at[i] >= size) argument.bad_value("0 to " + std::to_string(size - 1), std::to_string(at[i]));
    std::vector<double> out(size_t(count) * 2);
    const Index n = x.shape(0);
    Index done = 0;
    Interrupt interrupt(signalled);
    {
        const py::gil_scoped_release release;
        done = self.plan().differences(rows, targets, n, name ? &*name : nullptr, at, count, step, budget_ms,
                                       out.data(), interrupt);
    }
    if (interrupt.stopped()) throw py::error_already_set();
    return py::array_t<double>(std::vector<Index>{done, 2}, out.data());
}

py::list kinks(PyPlan& self, const Operand& x, const Operand& y, const py::object& weights) {
    const char* op = "kinks";
    const Rows rows = self.samples_of(op, "x", x, any_size, self.spec().features);
    const Targets targets = self.targets(op, x, y, weights, nullptr, 0, x.shape(0));
    self.check_batch(op, x.shape(0));
    py::list list;
    for (const auto& [name, count] : self.plan().kinks(rows, targets, x.shape(0)))
        list.append(py::make_tuple(name, count));
    return list;
}

py::list tensors(const PyPlan& self) {
    py::list list;
    for (const TensorInfo& info : self.plan().tensors()) {
        py::dict d;
        d["name"] = info.name;
        d["layer"] = info.layer;
        d["role"] = info.role;
        d["shape"] = py::tuple(py::cast(info.shape));
        d["trainable"] = info.trainable;
        d["slots"] = info.slots;
        list.append(d);
    }
    return list;
}

}  // namespace

void register_plan(py::module_& m) {
    py::class_<PyPlan>(m, "Plan", py::is_final(), "A network compiled to fused steps over one block of memory.")
        .def(py::init<const py::dict&>(), py::arg("config"))
        .def_property_readonly("dtype", [](const PyPlan& p) { return p.spec().float64 ? "float64" : "float32"; })
        .def_property_readonly("device", [](const PyPlan& p) { return p.spec().device; })
        .def_property_readonly("precision", [](const PyPlan& p) { return precision_names[int(p.spec().precision)]; })
        .def_property_readonly("batch", [](const PyPlan& p) { return p.spec().batch; })
        .def_property_readonly("features", [](const PyPlan& p) { return p.spec().features; })
        .def_property_readonly("outputs", [](const PyPlan& p) { return p.plan().outputs(); })
        .def_property_readonly("nbytes", [](const PyPlan& p) { return p.plan().nbytes(); })
        .def_property(
            "step", [](const PyPlan& p) { return p.plan().step; },
            [](PyPlan& p, int64_t value) { p.plan().step = counter("step", value); })
        .def_property(
            "passes", [](const PyPlan& p) { return p.plan().passes; },
            [](PyPlan& p, int64_t value) { p.plan().passes = counter("passes", value); })
        .def_property(
            "pending", [](const PyPlan& p) { return p.plan().pending; },
            [](PyPlan& p, int64_t value) { p.plan().pending = counter("pending", value); })
        .def_property_readonly("programmed", [](const PyPlan& p) { return p.plan().programmed; })
        .def_property_readonly("kernels", [](const PyPlan& p) { return p.plan().kernels; })
        .def_property_readonly("interrupted_update", [](const PyPlan& p) { return p.plan().interrupted_update(); })
        .def_property(
            "learning_rate", [](const PyPlan& p) { return p.plan().current_learning_rate(); },
            [](PyPlan& p, double value) { p.plan().learning_rate = value; })
        .def("describe", [](const PyPlan& p) { return p.plan().describe(); })
        .def("__str__", [](const PyPlan& p) { return p.plan().describe(); })
        .def("tensors", &tensors)
        .def(
            "get", [](const PyPlan& p, const std::string& name) { return p.get(name, false); }, py::arg("name"))
        .def(
            "set", [](PyPlan& p, const std::string& name, const py::array& v) { p.set(name, v, false); },
            py::arg("name"), py::arg("value"))
        .def(
            "gradient", [](const PyPlan& p, const std::string& name) { return p.get(name, true); }, py::arg("name"))
        .def(
            "set_gradient", [](PyPlan& p, const std::string& name, const py::array& v) { p.set(name, v, true); },
            py::arg("name"), py::arg("value"))
        .def("train", &train, py::arg("x"), py::arg("y"), py::arg("order"), py::arg("begin"), py::arg("end"),
             py::arg("batch"), py::arg("budget_ms"), py::arg("weights") = py::none())
        .def("train_epochs", &train_epochs, py::arg("x"), py::arg("y"), py::arg("seed"), py::arg("stream"),
             py::arg("epochs"), py::arg("batch"), py::arg("weights"), py::arg("results"))
        .def("recalibrate", &recalibrate, py::arg("x"), py::arg("begin"), py::arg("end"))
        .def("hold", &hold, py::arg("x"), py::arg("y"), py::arg("weights") = py::none())
        .def("release", &release)
        .def("compute_gradients", &compute_gradients, py::arg("x"), py::arg("y"), py::arg("input_gradient"),
             py::arg("weights") = py::none())
        .def("apply_gradients", &apply_gradients)
        .def("evaluate", &evaluate, py::arg("x"), py::arg("y"), py::arg("begin"), py::arg("end"), py::arg("budget_ms"),
             py::arg("training"), py::arg("weights") = py::none())
        .def("predict", &predict, py::arg("x"), py::arg("out"), py::arg("begin"), py::arg("end"), py::arg("budget_ms"))
        .def("differences", &differences, py::arg("x"), py::arg("y"), py::arg("name"), py::arg("indices"),
             py::arg("step"), py::arg("budget_ms"), py::arg("weights") = py::none())
        .def("kinks", &kinks, py::arg("x"), py::arg("y"), py::arg("weights") = py::none());
}

}  // namespace fusednet::bindings
