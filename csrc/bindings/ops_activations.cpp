// Activations on arrays of the host or of a device, element-wise ones and those over rows alike.
#include "ops.h"
#include "ready.h"
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

constexpr int all_rows = int(std::size(all_names));

// Of an element.
double forward_flops(int row) {
    return row < int(Activation::count) ? formulas().activation[row].value_flops : 64;
}
double backward_flops(int row) {
    return row < int(Activation::count) ? formulas().activation[row].derivative_flops : 16;
}

// Short rows that are walked one by one would leave too many lines to both kinds of stores.
constexpr Index streamed_columns = 1024;
template <class T, class... Views>
bool streams(Index rows, Index cols, const View<const T>& slope, const View<T>& out, const Views&... inputs) {
    const bool joined = !slope.data && (rows <= 1 || (out.ld == cols && ((inputs.ld == cols) && ...)));
    const bool apart = ((inputs.data != out.data) && ...);
    return apart && past_caches(rows * cols * Index(sizeof(T))) && (joined || cols >= streamed_columns);
}

template <class T>
void run(const Table<T>& table, int row, const ActivationForward<T>& a) {
    const bool by_row = row >= int(Activation::count);  // its rows are never joined
    const bool stream = streams(a.rows, a.cols, a.slope, a.y, a.x) && (!by_row || a.cols >= streamed_columns);
    const auto part = [&](const Tile& t) -> ActivationForward<T> {
        return {t.rows,
                t.cols,
                part_of(a.x, t.row, t.col),
                part_of(a.y, t.row, t.col),
                a.params,
                part_of(a.slope, t.row, t.col),
                stream};
    };
    const int count = int(Activation::count);
    const double flops = forward_flops(row);
    if (row >= count)
        share_rows(a.rows, a.cols, flops, [&](Index first, Index rows) {
            table.row_activation_forward[row - count](part({first, 0, rows, a.cols}));
        });
    else if (const auto run = [&](const Tile& t) { table.activation_forward[row](part(t)); }; a.slope.data)
        share_elements(a.rows, a.cols, flops, run, a.x, a.y, a.slope);
    else
        share_elements(a.rows, a.cols, flops, run, a.x, a.y);
}

template <class T>
void run(const Table<T>& table, int row, const ActivationBackward<T>& a) {
    const bool stream = streams(a.rows, a.cols, a.slope, a.dx, a.dy, a.saved);
    const auto part = [&](const Tile& t) -> ActivationBackward<T> {
        return {t.rows,
                t.cols,
                part_of(a.dy, t.row, t.col),
                part_of(a.saved, t.row, t.col),
                part_of(a.dx, t.row, t.col),
                a.params,
                part_of(a.slope, t.row, t.col),
                part_of(a.dslope, t.col),
                stream};
    };
    const int count = int(Activation::count);
    const double flops = backward_flops(row);
    const auto run = [&](const Tile& t) { table.activation_backward[row](part(t)); };
    if (row >= count)
        share_rows(a.rows, a.cols, flops, [&](Index first, Index rows) {
            table.row_activation_backward[row - count](part({first, 0, rows, a.cols}));
        });
    else if (a.dslope)
        share_columns(a.rows, a.cols, flops, [&](Index first, Index cols) { run({0, first, a.rows, cols}); });
    else if (a.slope.data)
        share_elements(a.rows, a.cols, flops, run, a.dy, a.saved, a.dx, a.slope);
    else
        share_elements(a.rows, a.cols, flops, run, a.dy, a.saved, a.dx);
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
                                        slope_of_row<T>(op, row, slope, rows, cols)};
        check_apart(op, "out", out, x, true);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        const Table<T>& table = table_for<T>(op, isa);
        without_gil(forward_flops(row) * double(rows) * double(cols), [&] { run(table, row, args); });
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
                                         vector<T>(op, "dslope", dslope, cols, true)};
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, saved, false);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        check_slope_gradient(op, row, dslope, {dy, saved, out});
        const Table<T>& table = table_for<T>(op, isa);
        without_gil(backward_flops(row) * double(rows) * double(cols), [&] { run(table, row, args); });
    });
}

bool ready_activation_forward(const std::array<PyObject*, 5>& given) {
    const auto [number, values, x_given, out_given, slope_given] = given;
    const ReadyActivation f(number, values, all_rows);
    if (f.row < 0) return false;
    const Ready x(x_given), out(out_given, true, &x);
    if (!out || !out.apart(x, true)) return false;
    const bool sloped = slope_given != Py_None;
    if (sloped != (f.slope() != Slope::none)) return false;
    const Ready slope(sloped ? slope_given : x_given);
    if (sloped && !(slope.row_of(x) && out.apart(slope))) return false;
    with_table(x, [&]<class T>(const Table<T>& table) {
        const ActivationForward<T> args{x.rows,          x.cols,   x.matrix<const T>(),
                                        out.matrix<T>(), f.params, {sloped ? slope.vector<const T>() : nullptr, 0}};
        without_gil(forward_flops(f.row) * double(x.size()), [&] { run(table, f.row, args); });
    });
    return true;
}

bool ready_activation_backward(const std::array<PyObject*, 5>& given) {
    const auto [number, values, dy_given, saved_given, out_given] = given;
    const ReadyActivation f(number, values, all_rows);
    if (f.row < 0 || f.slope() != Slope::none) return false;
    const Ready dy(dy_given), saved(saved_given, false, &dy), out(out_given, true, &dy);
    if (!saved || !out || !out.apart(dy, true) || !out.apart(saved)) return false;
    with_table(dy, [&]<class T>(const Table<T>& table) {
        const ActivationBackward<T> args{dy.rows,         dy.cols, dy.matrix<const T>(), saved.matrix<const T>(),
                                         out.matrix<T>(), f.params};
        without_gil(backward_flops(f.row) * double(dy.size()), [&] { run(table, f.row, args); });
    });
    return true;
}

}  // namespace

void register_ops_activations(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "activation_forward", &activation_forward, arg("x"), arg("out"), arg("activation"),
           arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none);
    define(m, "activation_backward", &activation_backward, arg("dy"), arg("saved"), arg("out"), arg("activation"),
           arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none, arg("dslope") = none);
    define_ready<5, &ready_activation_forward>(m, "ready_activation_forward", "(row, params, x, out, slope, /)");
    define_ready<5, &ready_activation_backward>(m, "ready_activation_backward", "(row, params, dy, saved, out, /)");
}

}  // namespace fusednet::bindings
