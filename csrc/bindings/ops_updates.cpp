// Parameter updates, constraints and penalties on arrays of the host or of a device, and schedules.
#include <cmath>

#include "ops.h"
#include "ready.h"
#include "register.h"
#include "share.h"

namespace fusednet::bindings {
namespace {

void check_hyper(const char* op, Optimizer row, const std::vector<double>& hyper) {
    const auto wanted = size_t(hyper_counts[int(row)]);
    if (hyper.size() != wanted)
        Argument{op, "hyper"}.bad_value(std::to_string(wanted) + " values", std::to_string(hyper.size()));
}

std::vector<double> first_values(const std::string& optimizer, const std::vector<double>& hyper) {
    const char* op = "optimizer_first_values";
    const Optimizer row = row_of<Optimizer>(op, "optimizer", optimizer_names, optimizer);
    check_hyper(op, row, hyper);
    return optimizer_first_values(row, hyper);
}

void scalars_of(const char* op, Optimizer row, int64_t step, const std::vector<double>& hyper, double* scalars) {
    check_hyper(op, row, hyper);
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

constexpr double update_flops = 16;

template <class T>
void share_update(const Table<T>& table, Optimizer row, const UpdateArgs<T>& args) {
    share_tiles(1, args.cols, 1, elements_a_task, update_flops, [&](const Tile& t) {
        UpdateArgs<T> part = args;
        part.cols = part.ld = t.cols;
        part.w = args.w + t.col;
        part.g = {args.g.data + t.col, t.cols};
        for (T*& slot : part.slot) slot = part_of(slot, t.col);
        part.average = part_of(args.average, t.col);
        table.optimizer_update[int(row)](part);
    });
}

void optimizer_update(const std::string& optimizer, const py::array& w, const py::object& g,
                      const std::vector<py::array>& slots, int64_t step, const std::vector<double>& hyper, double scale,
                      std::optional<double> clip_value, const Isa& isa, double decay, const py::object& average,
                      double average_momentum) {
    const char* op = "optimizer_update";
    const Optimizer row = row_of<Optimizer>(op, "optimizer", optimizer_names, optimizer);
    dispatch(op, "w", w, [&](auto zero) {
        using T = decltype(zero);
        struct {
            StepScalars scalars{};
            double scale;
        } numbers{.scale = scale};
        scalars_of(op, row, step, hyper, numbers.scalars.optimizer);
        numbers.scalars.decay = decay;
        numbers.scalars.average_momentum = average_momentum;
        const auto* const sent = readable(&numbers, 1);  // at once
        const Index n = cols_of(w);
        UpdateArgs<T> args{.rows = 1,
                           .cols = n,
                           .ld = n,
                           .w = vector<T>(op, "w", w, n, true),
                           .g = {vector<T>(op, "g", g, n, false), n},
                           .slot = {},
                           .scalars = &sent->scalars,
                           .scale = &sent->scale,
                           .clip_value = clip_value.value_or(INFINITY)};
        if (!args.g.data) throw py::type_error("[optimizer_update] 'g' expects an array, got None");
        const auto wanted = size_t(slot_counts[int(row)]);
        if (slots.size() != wanted)
            Argument{op, "slots"}.bad_value(std::to_string(wanted) + " arrays", std::to_string(slots.size()));
        for (size_t i = 0; i < slots.size(); ++i) args.slot[i] = vector<T>(op, "slots", slots[i], n, true);
        args.decays = decay != 0.0;
        args.average = vector<T>(op, "average", average, n, true);
        const Table<T>& table = table_for<T>(op, isa);
        without_gil(update_flops * double(n), [&] { share_update(table, row, args); });
    });
}

// As adam_update calls it: no average. step, hyper, scale, clip_value, decay are Python's numbers; no limit is None.
bool ready_optimizer_update(const std::array<PyObject*, 9>& given) {
    const auto [number, w_given, g_given, slots, step_given, hyper, scale, limit, decay] = given;
    const int row = ready_row(number, int(Optimizer::count));
    if (row < 0 || !PyLong_Check(step_given)) return false;
    const long long step = PyLong_AsLongLong(step_given);
    struct {
        StepScalars scalars{};
        double scale = 1;
    } numbers;
    double clip_value = INFINITY, values[max_hyper] = {};
    Index count = 0;
    if (step < 1 || !ready_numbers(hyper, values, max_hyper, &count) || count != hyper_counts[row]) return false;
    if (!ready_number(scale, numbers.scale) || !ready_number(decay, numbers.scalars.decay)) return false;
    if (limit != Py_None && !ready_number(limit, clip_value)) return false;
    if (!PyTuple_CheckExact(slots) && !PyList_CheckExact(slots)) return false;
    const Index held = PySequence_Fast_GET_SIZE(slots);
    const Ready w(w_given, true), g(g_given, false, &w);
    if (!g || held != slot_counts[row]) return false;
    void* slot[max_slots] = {};
    std::array<py::object, max_slots> kept;  // another thread may change the list
    for (Index i = 0; i < held; ++i) {
        kept[size_t(i)] = py::reinterpret_borrow<py::object>(PySequence_Fast_GET_ITEM(slots, i));
        const Ready one(kept[size_t(i)].ptr(), true, &w);
        if (!one) return false;
        slot[i] = one.vector<void>();
    }
    formulas().optimizer_scalars[row](double(step), values, numbers.scalars.optimizer);
    with_table(w, [&]<class T>(const Table<T>& table) {
        const Index n = w.size();
        UpdateArgs<T> args{.rows = 1,
                           .cols = n,
                           .ld = n,
                           .w = w.vector<T>(),
                           .g = {g.vector<const T>(), n},
                           .slot = {},
                           .scalars = &numbers.scalars,
                           .scale = &numbers.scale,
                           .clip_value = clip_value,
                           .decays = numbers.scalars.decay != 0.0};
        for (Index i = 0; i < held; ++i) args.slot[i] = static_cast<T*>(slot[i]);
        without_gil(update_flops * double(n), [&] { share_update(table, Optimizer(row), args); });
    });
    return true;
}

double squared_norm(const py::array& x, const Isa& isa) {
    return dispatch("squared_norm", "x", x, [&](auto zero) {
        using T = decltype(zero);
        const View<const T> view = input<T>("squared_norm", "x", x);
        const Table<T>& table = table_for<T>("squared_norm", isa);
        const Index rows = rows_of(x), cols = cols_of(x);
        const py::gil_scoped_release release;
        return sum_elements(
            rows, cols, 2,
            [&](const Tile& t) {
                return number_of(
                    [&](double* norm) { table.squared_norm(t.rows, t.cols, part_of(view, t.row, t.col), norm); });
            },
            view);
    });
}

void constrain(const std::string& name, const py::array& w, const Values& values, const Isa& isa) {
    const char* op = "constrain";
    const Constraint row = row_of<Constraint>(op, "name", constraint_names, name);
    const Params params = params_of(op, values);
    dispatch(op, "w", w, [&](auto zero) {
        using T = decltype(zero);
        const ConstrainArgs<T> args{rows_of(w), cols_of(w), output<T>(op, "w", w), params};
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_columns(args.rows, args.cols, 4, [&](Index first, Index count) {
            table.constrain[int(row)]({args.rows, count, part_of(args.w, 0, first), params});
        });
    });
}

double penalty(const py::array& w, double l1, double l2, const Isa& isa) {
    return dispatch("penalty", "w", w, [&](auto zero) {
        using T = decltype(zero);
        const PenaltyValue<T> args{rows_of(w), cols_of(w), input<T>("penalty", "w", w), l1, l2};
        const Table<T>& table = table_for<T>("penalty", isa);
        const py::gil_scoped_release release;
        return sum_elements(
            args.rows, args.cols, 4,
            [&](const Tile& t) {
                return number_of([&](double* value) {
                    table.penalty_value({t.rows, t.cols, part_of(args.w, t.row, t.col), l1, l2}, value);
                });
            },
            args.w);
    });
}

double penalty_gradient(const py::array& w, const py::array& g, double l1, double l2, const Isa& isa) {
    const char* op = "penalty_gradient";
    return dispatch(op, "w", w, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(w), cols = cols_of(w);
        const PenaltyGradient<T> args{rows, cols, input<T>(op, "w", w), output<T>(op, "g", g, rows, cols), l1, l2};
        check_apart(op, "g", g, w, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        return sum_elements(
            rows, cols, 8,
            [&](const Tile& t) {
                return number_of([&](double* norm) {
                    table.penalty_gradient(
                        {t.rows, t.cols, part_of(args.w, t.row, t.col), part_of(args.g, t.row, t.col), l1, l2}, norm);
                });
            },
            args.w, args.g);
    });
}

double accumulate(const py::array& sum, const py::array& g, double scale, const Isa& isa) {
    const char* op = "accumulate";
    return dispatch(op, "sum", sum, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(sum), cols = cols_of(sum);
        const AccumulateArgs<T> args{rows, cols, output<T>(op, "sum", sum), output<T>(op, "g", g, rows, cols), scale};
        check_apart(op, "sum", sum, g, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        return sum_elements(
            rows, cols, 4,
            [&](const Tile& t) {
                return number_of([&](double* norm) {
                    table.accumulate(
                        {t.rows, t.cols, part_of(args.sum, t.row, t.col), part_of(args.g, t.row, t.col), scale}, norm);
                });
            },
            args.sum, args.g);
    });
}

double value_of_schedule(const std::string& name, const Values& params, double step) {
    const char* op = "schedule_value";
    const Schedule schedule = checked_schedule(op, name, params);
    if (!(step >= 0) || std::isinf(step))
        Argument{op, "step"}.bad_value("a finite number of at least 0", std::string(py::str(py::float_(step))));
    return schedule_value(schedule, step, params.data(), int(params.size()));
}

}  // namespace

Schedule checked_schedule(const char* op, const std::string& name, const std::vector<double>& params) {
    const Schedule schedule = row_of<Schedule>(op, "schedule", schedule_names, name);
    const auto wanted = schedule_params(schedule);
    const bool any = wanted.back().ends_with("...");  // n numbers and n + 1 more
    if (any ? params.size() % 2 == 0 : params.size() != wanted.size())
        Argument{op, "params"}.bad_value(
            (any ? "an odd number of" : std::to_string(wanted.size())) + " values for " + name,
            std::to_string(params.size()));
    return schedule;
}

void register_ops_updates(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "optimizer_scalars", &optimizer_scalars, arg("optimizer"), arg("step"), arg("hyper"));
    define(m, "optimizer_first_values", &first_values, arg("optimizer"), arg("hyper"));
    define(m, "optimizer_update", &optimizer_update, arg("optimizer"), arg("w"), arg("g"), arg("slots"), arg("step"),
           arg("hyper"), arg("scale") = 1.0, arg("clip_value") = none, arg("isa") = none, arg("decay") = 0.0,
           arg("average") = none, arg("average_momentum") = 0.0);
    define(m, "constrain", &constrain, arg("name"), arg("w"), arg("params") = Values{}, arg("isa") = none);
    define(m, "penalty", &penalty, arg("w"), arg("l1"), arg("l2"), arg("isa") = none);
    define(m, "penalty_gradient", &penalty_gradient, arg("w"), arg("g"), arg("l1"), arg("l2"), arg("isa") = none);
    define(m, "accumulate", &accumulate, arg("sum"), arg("g"), arg("scale"), arg("isa") = none);
    define(m, "schedule_value", &value_of_schedule, arg("name"), arg("params"), arg("step"));
    define_ready<9, &ready_optimizer_update>(m, "ready_optimizer_update",
                                             "(row, w, g, slots, step, hyper, scale, clip_value, decay, /)");
    define(m, "squared_norm", &squared_norm, arg("x"), arg("isa") = none);
}

}  // namespace fusednet::bindings
