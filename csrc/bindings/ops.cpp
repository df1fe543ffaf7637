// Each kernel on NumPy arrays: for tests, benchmarks, teaching and people who write their own loop.
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <optional>

#include "arrays.h"
#include "names.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

using Isa = std::optional<std::string>;
using Params = std::vector<double>;

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

ActivationParams params_of(const char* op, const Params& values) {
    ActivationParams params;
    if (values.size() > 2) Argument{op, "params"}.bad_value("at most 2 values", std::to_string(values.size()));
    for (size_t i = 0; i < values.size(); ++i) params.p[i] = values[i];
    return params;
}

Activation activation_of(const char* op, const std::string& name) {
    return row_of<Activation>(op, "activation", activation_names, name);
}

// Outputs are written while inputs are read: they may be the same array where a kernel allows it, not overlap.
void check_apart(const char* op, const char* name, const py::array& out, const py::array& in, bool same_allowed) {
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

void gemm(const py::array& a, const py::array& b, const py::array& out, const py::object& bias, bool accumulate,
          const std::optional<std::string>& activation, const Params& params, const Isa& isa) {
    const char* op = "gemm";
    dispatch(op, "out", out, [&](auto zero) {
        using T = decltype(zero);
        check_type<T>({op, "a"}, a);
        check_type<T>({op, "b"}, b);
        if (a.ndim() != 2) Argument{op, "a"}.bad_shape("(m, k)", a);
        const Index m = a.shape(0), k = a.shape(1);
        if (b.ndim() != 2 || b.shape(0) != k) Argument{op, "b"}.bad_shape("(" + std::to_string(k) + ", n)", b);
        const Index n = b.shape(1), size = Index(sizeof(T));
        for (const auto& [name, array] : {std::pair("a", a), std::pair("b", b)})
            if (reinterpret_cast<uintptr_t>(array.data()) % size || array.strides(0) % size || array.strides(1) % size)
                throw py::value_error(Argument{op, name}.where() +
                                      "elements aligned to their size, got an unaligned array");
        if (n > 1 && k > 1 && b.strides(1) != size && b.strides(0) != size)
            throw py::value_error(Argument{op, "b"}.where() + "one contiguous axis, got strides of " +
                                  std::to_string(b.strides(0)) + " and " + std::to_string(b.strides(1)) + " bytes");
        const View<T> c = output<T>(op, "out", out, m, n);
        check_apart(op, "out", out, a, false);
        check_apart(op, "out", out, b, false);
        const T* row = vector<T>(op, "bias", bias, n, false);
        const Table<T>& k_table = table_for<T>(op, isa);
        const ActivationParams p = params_of(op, params);
        const auto epilogue = activation ? k_table.activation_forward[int(activation_of(op, *activation))] : nullptr;
        const bool unit = n <= 1 || b.strides(1) == size;
        const std::unique_ptr<T, void (*)(void*)> scratch(
            static_cast<T*>(std::aligned_alloc(64, size_t(gemm_scratch) * sizeof(T))), std::free);
        if (!scratch) throw std::bad_alloc();
        const py::gil_scoped_release release;
        k_table.gemm({.m = m,
                      .n = n,
                      .k = k,
                      .a = static_cast<const T*>(a.data()),
                      .a_row = a.strides(0) / size,
                      .a_col = a.strides(1) / size,
                      .b = static_cast<const T*>(b.data()),
                      .b_row = unit ? b.strides(0) / size : 1,
                      .b_col = unit ? 1 : b.strides(1) / size,
                      .c = c,
                      .bias = row,
                      .accumulate = accumulate,
                      .epilogue = epilogue,
                      .y = c,
                      .params = p,
                      .scratch = scratch.get()});
    });
}

template <class Kernel>
void forward(const char* op, const py::array& x, const py::array& out, const Params& params, const Isa& isa,
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
              const Params& params, const Isa& isa, Kernel kernel) {
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

void activation_forward(const py::array& x, const py::array& out, const std::string& activation, const Params& params,
                        const Isa& isa) {
    const Activation row = activation_of("activation_forward", activation);
    forward("activation_forward", x, out, params, isa, [=](const auto& t) { return t.activation_forward[int(row)]; });
}

void activation_backward(const py::array& dy, const py::array& saved, const py::array& out,
                         const std::string& activation, const Params& params, const Isa& isa) {
    const Activation row = activation_of("activation_backward", activation);
    backward("activation_backward", "saved", dy, saved, out, params, isa,
             [=](const auto& t) { return t.activation_backward[int(row)]; });
}

void softmax_forward(const py::array& x, const py::array& out, const Isa& isa) {
    forward("softmax_forward", x, out, {}, isa, [](const auto& t) { return t.softmax_forward; });
}

void softmax_backward(const py::array& dy, const py::array& y, const py::array& out, const Isa& isa) {
    backward("softmax_backward", "y", dy, y, out, {}, isa, [](const auto& t) { return t.softmax_backward; });
}

void batchnorm_statistics(const py::array& x, const py::object& mean, const py::object& variance, const Isa& isa) {
    const char* op = "batchnorm_statistics";
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        if (rows < 1) Argument{op, "x"}.bad_shape("(n, c) with n of at least 1", x);
        const BatchNormStatistics<T> args{rows, cols, input<T>(op, "x", x), vector<T>(op, "mean", mean, cols, true),
                                          vector<T>(op, "variance", variance, cols, true)};
        if (!args.mean || !args.variance) throw py::type_error("[batchnorm_statistics] expects arrays, got None");
        table_for<T>(op, isa).batchnorm_statistics(args);
    });
}

void batchnorm_forward(const py::array& x, const py::object& mean, const py::object& variance, const py::object& gamma,
                       const py::object& beta, const py::array& out, double epsilon, const std::string& activation,
                       const Params& params, const Isa& isa) {
    const char* op = "batchnorm_forward";
    const Activation row = activation_of(op, activation);
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        const BatchNormForward<T> args{rows,
                                       cols,
                                       input<T>(op, "x", x),
                                       output<T>(op, "out", out, rows, cols),
                                       vector<T>(op, "mean", mean, cols, false),
                                       vector<T>(op, "variance", variance, cols, false),
                                       vector<T>(op, "gamma", gamma, cols, false),
                                       vector<T>(op, "beta", beta, cols, false),
                                       epsilon,
                                       params_of(op, params)};
        if (!args.mean || !args.variance) throw py::type_error("[batchnorm_forward] expects a mean and a variance");
        check_apart(op, "out", out, x, true);
        table_for<T>(op, isa).batchnorm_forward[int(row)](args);
    });
}

void batchnorm_backward(const py::array& dy, const py::array& x, const py::array& y, const py::object& mean,
                        const py::object& variance, const py::object& gamma, const py::object& beta,
                        const py::array& out, const py::object& dgamma, const py::object& dbeta, double epsilon,
                        const std::string& activation, const Params& params, bool training, const Isa& isa) {
    const char* op = "batchnorm_backward";
    const Activation row = activation_of(op, activation);
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const BatchNormBackward<T> args{rows,
                                        cols,
                                        input<T>(op, "dy", dy),
                                        input<T>(op, "x", x, rows, cols),
                                        input<T>(op, "y", y, rows, cols),
                                        output<T>(op, "out", out, rows, cols),
                                        vector<T>(op, "mean", mean, cols, false),
                                        vector<T>(op, "variance", variance, cols, false),
                                        vector<T>(op, "gamma", gamma, cols, false),
                                        vector<T>(op, "beta", beta, cols, false),
                                        vector<T>(op, "dgamma", dgamma, cols, true),
                                        vector<T>(op, "dbeta", dbeta, cols, true),
                                        epsilon,
                                        params_of(op, params),
                                        training};
        if (!args.mean || !args.variance) throw py::type_error("[batchnorm_backward] expects a mean and a variance");
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, x, false);
        check_apart(op, "out", out, y, false);
        table_for<T>(op, isa).batchnorm_backward[int(row)](args);
    });
}

void moving_average(const py::array& moving, const py::object& value, double momentum, const Isa& isa) {
    const char* op = "moving_average";
    dispatch(op, "moving", moving, [&](auto zero) {
        using T = decltype(zero);
        const Index n = cols_of(moving);
        T* held = vector<T>(op, "moving", moving, n, true);
        const T* with = vector<T>(op, "value", value, n, false);
        if (!with) throw py::type_error("[moving_average] 'value' expects an array, got None");
        table_for<T>(op, isa).moving_average(n, held, with, momentum);
    });
}

void column_sums(const py::array& x, const py::array& out, const Isa& isa) {
    const char* op = "column_sums";
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const View<const T> view = input<T>(op, "x", x);
        table_for<T>(op, isa).column_sums(rows_of(x), cols_of(x), view, vector<T>(op, "out", out, cols_of(x), true));
    });
}

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
        Index correct = 0;
        AccuracyArgs<T> args{rows_of(x), cols_of(x), input<T>(op, "x", x), nullptr, {}, threshold, &correct};
        read_target<T>(op, target, args.rows, args.cols, &args.labels, &args.targets);
        table_for<T>(op, isa).accuracy(args);
        return correct;
    });
}

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

void gather(const py::array& src, const py::object& order, const py::array& out, const Isa& isa) {
    const char* op = "gather";
    dispatch(op, "out", out, [&](auto zero) {
        using T = decltype(zero);
        const View<T> dst = output<T>(op, "out", out);
        const Rows from = samples(op, "src", src, any_size, cols_of(out));
        const int64_t* indices = vector<int64_t>(op, "order", order, rows_of(out), false);
        for (Index i = 0; i < rows_of(out); ++i) {
            const int64_t row = indices ? indices[i] : i;
            if (row < 0 || row >= src.shape(0))
                Argument{op, "order"}.bad_value("rows from 0 to " + std::to_string(src.shape(0) - 1),
                                                std::to_string(row));
        }
        table_for<T>(op, isa).gather[int(from.source)](
            {rows_of(out), cols_of(out), from.data, from.row_bytes, indices, dst});
    });
}

}  // namespace

void register_ops(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    m.def("gemm", &gemm, arg("a"), arg("b"), arg("out"), arg("bias") = none, arg("accumulate") = false,
          arg("activation") = none, arg("params") = py::tuple(), arg("isa") = none);
    m.def("activation_forward", &activation_forward, arg("x"), arg("out"), arg("activation"),
          arg("params") = py::tuple(), arg("isa") = none);
    m.def("activation_backward", &activation_backward, arg("dy"), arg("saved"), arg("out"), arg("activation"),
          arg("params") = py::tuple(), arg("isa") = none);
    m.def("softmax_forward", &softmax_forward, arg("x"), arg("out"), arg("isa") = none);
    m.def("softmax_backward", &softmax_backward, arg("dy"), arg("y"), arg("out"), arg("isa") = none);
    m.def("batchnorm_statistics", &batchnorm_statistics, arg("x"), arg("mean"), arg("variance"), arg("isa") = none);
    m.def("batchnorm_forward", &batchnorm_forward, arg("x"), arg("mean"), arg("variance"), arg("gamma"), arg("beta"),
          arg("out"), arg("epsilon") = 1e-3, arg("activation") = "linear", arg("params") = py::tuple(),
          arg("isa") = none);
    m.def("batchnorm_backward", &batchnorm_backward, arg("dy"), arg("x"), arg("y"), arg("mean"), arg("variance"),
          arg("gamma"), arg("beta"), arg("out"), arg("dgamma"), arg("dbeta"), arg("epsilon") = 1e-3,
          arg("activation") = "linear", arg("params") = py::tuple(), arg("training") = true, arg("isa") = none);
    m.def("moving_average", &moving_average, arg("moving"), arg("value"), arg("momentum"), arg("isa") = none);
    m.def("column_sums", &column_sums, arg("x"), arg("out"), arg("isa") = none);
    m.def("loss", &loss, arg("name"), arg("x"), arg("target"), arg("y") = none, arg("dx") = none, arg("scale") = 1.0,
          arg("isa") = none);
    m.def("accuracy", &accuracy, arg("x"), arg("target"), arg("threshold") = 0.5, arg("isa") = none);
    m.def("optimizer_scalars", &optimizer_scalars, arg("optimizer"), arg("step"), arg("hyper"));
    m.def("optimizer_update", &optimizer_update, arg("optimizer"), arg("w"), arg("g"), arg("slots"), arg("step"),
          arg("hyper"), arg("scale") = 1.0, arg("clip_value") = none, arg("isa") = none);
    m.def("squared_norm", &squared_norm, arg("x"), arg("isa") = none);
    m.def("gather", &gather, arg("src"), arg("order"), arg("out"), arg("isa") = none);
}

}  // namespace fusednet::bindings
