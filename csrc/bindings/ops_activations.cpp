// Activations on arrays of the host or of a device, element-wise ones and those over rows alike.
#include "ops.h"
#include "register.h"
#include "share.h"

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

constexpr double activation_flops = 16;

template <class T>
void run(const Table<T>& table, int row, const ActivationForward<T>& a) {
    const auto part = [&](const Tile& t) -> ActivationForward<T> {
        return {t.rows,
                t.cols,
                part_of(a.x, t.row, t.col),
                part_of(a.y, t.row, t.col),
                a.params,
                part_of(a.slope, t.row, t.col),
                a.stream};
    };
    const int count = int(Activation::count);
    if (row >= count)
        share_rows(a.rows, a.cols, activation_flops, [&](Index first, Index rows) {
            table.row_activation_forward[row - count](part({first, 0, rows, a.cols}));
        });
    else if (const auto run = [&](const Tile& t) { table.activation_forward[row](part(t)); }; a.slope.data)
        share_elements(a.rows, a.cols, activation_flops, run, a.x, a.y, a.slope);
    else
        share_elements(a.rows, a.cols, activation_flops, run, a.x, a.y);
}

template <class T>
void run(const Table<T>& table, int row, const ActivationBackward<T>& a) {
    const auto part = [&](const Tile& t) -> ActivationBackward<T> {
        return {t.rows,
                t.cols,
                part_of(a.dy, t.row, t.col),
                part_of(a.saved, t.row, t.col),
                part_of(a.dx, t.row, t.col),
                a.params,
                part_of(a.slope, t.row, t.col),
                part_of(a.dslope, t.col),
                a.stream};
    };
    const int count = int(Activation::count);
    const auto run = [&](const Tile& t) { table.activation_backward[row](part(t)); };
    if (row >= count)
        share_rows(a.rows, a.cols, activation_flops, [&](Index first, Index rows) {
            table.row_activation_backward[row - count](part({first, 0, rows, a.cols}));
        });
    else if (a.dslope)
        share_columns(a.rows, a.cols, activation_flops,
                      [&](Index first, Index cols) { run({0, first, a.rows, cols}); });
    else if (a.slope.data)
        share_elements(a.rows, a.cols, activation_flops, run, a.dy, a.saved, a.dx, a.slope);
    else
        share_elements(a.rows, a.cols, activation_flops, run, a.dy, a.saved, a.dx);
}

// Short rows that are walked one by one would leave too many lines to both kinds of stores.
bool streams(const py::array& out, std::initializer_list<const py::array*> inputs, bool slope) {
    const auto joins = [](const py::array& a) { return rows_of(a) <= 1 || a.strides(0) == cols_of(a) * a.itemsize(); };
    bool joined = !slope && joins(out);
    for (const py::array* in : inputs) joined = joined && joins(*in);
    return past_caches(out, inputs) && (joined || cols_of(out) >= 1024);
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
                                        slope_of_row<T>(op, row, slope, rows, cols),
                                        streams(out, {&x}, !slope.is_none())};
        check_apart(op, "out", out, x, true);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        run(table, row, args);
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
                                         vector<T>(op, "dslope", dslope, cols, true),
                                         streams(out, {&dy, &saved}, !slope.is_none())};
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, saved, false);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        check_slope_gradient(op, row, dslope, {dy, saved, out});
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        run(table, row, args);
    });
}

}  // namespace

void register_ops_activations(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "activation_forward", &activation_forward, arg("x"), arg("out"), arg("activation"),
           arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none);
    define(m, "activation_backward", &activation_backward, arg("dy"), arg("saved"), arg("out"), arg("activation"),
           arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none, arg("dslope") = none);
}

}  // namespace fusednet::bindings
