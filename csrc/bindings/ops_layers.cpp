// Matrix product, normalization and what else layers are made of, on arrays of the host or of a device.
#include <algorithm>
#include <cmath>
#include <memory>

#include "ops.h"
#include "ready.h"
#include "register.h"
#include "share.h"

namespace fusednet::bindings {
namespace {

// By panels of columns, and by rows where C has few panels. Each task reads its panel of B, and may have to pack it:
// rows enough repay that, and work enough repays the task.
template <class T>
void share_gemm(Product<T> product, const Gemm<T>& g) {
    if (DeviceCall::current()) return product(g);
    constexpr Index few = 8, short_rows = 32, tall = 256;
    constexpr double least_work = 256e3;
    const Index panel = g.n < 2048 ? 64 : 256, across = divide_up(g.n, panel), k = g.k < 1 ? 1 : g.k;
    Index high = g.m < 1 ? 1 : g.m;
    if (across > 0 && across < few && g.m > short_rows) {
        const double of_row = 2.0 * double(g.n < panel ? g.n : panel) * double(k);
        high = std::clamp(divide_up(g.m, divide_up(few, across)), short_rows, tall);
        high = std::max(high, Index(std::min(least_work / of_row, double(g.m))));
    }
    const Index down = divide_up(g.m, high);
    share(
        across * down, 2.0 * double(g.m) * double(g.n) * double(k),
        [&](Index task, void* scratch) {
            const Index row = task / across * high, col = task % across * panel;
            Gemm<T> part = g;
            part.m = g.m - row < high ? g.m - row : high;
            part.n = g.n - col < panel ? g.n - col : panel;
            part.a = g.a + row * g.a_row;
            part.b = g.b + col * g.b_col;
            part.c = part_of(g.c, row, col);
            part.y = part_of(g.y, row, col);
            part.bias = part_of(g.bias, col);
            part.slope = part_of(g.slope, row, col);
            part.scratch = static_cast<T*>(scratch);
            product(part);
        },
        g.scratch);
}

template <class T>
void run_gemm(const Table<T>& table, Precision precision, Gemm<T> g) {
    const std::unique_ptr<T, void (*)(void*)> scratch(
        static_cast<T*>(std::aligned_alloc(64, size_t(gemm_scratch) * sizeof(T))), std::free);
    if (!scratch) throw std::bad_alloc();
    g.scratch = scratch.get();
    without_gil(2.0 * double(g.m) * double(g.n) * double(g.k), [&] { share_gemm<T>(table.product(precision), g); });
}

void gemm(const py::array& a, const py::array& b, const py::array& out, const py::object& bias, bool accumulate,
          const std::optional<std::string>& activation, const Values& params, const Isa& isa, const py::object& slope,
          const std::string& precision) {
    const char* op = "gemm";
    const auto wanted = row_of<Precision>(op, "precision", precision_names, precision);
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
        const Params p = params_of(op, params);
        const auto epilogue = activation ? k_table.activation_forward[int(activation_of(op, *activation))] : nullptr;
        const View<const T> slopes = activation ? slope_of<T>(op, activation_of(op, *activation), slope, m, n)
                                                : no_slope<T>(op, "no activation", slope);
        if (slopes.data) check_apart(op, "out", out, slope, false);
        const bool unit = n <= 1 || b.strides(1) == size;
        run_gemm<T>(k_table, wanted,
                    {.m = m,
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
                     .slope = slopes});
    });
}

bool ready_gemm(const std::array<PyObject*, 4>& given) {
    const auto [a_given, b_given, bias_given, out_given] = given;
    const Ready a(a_given, false, nullptr, true), b(b_given, false, nullptr, true), out(out_given, true);
    if (!a || !b || !out || a.ndim() != 2 || b.ndim() != 2 || out.ndim() != 2) return false;
    if (a.cols != b.rows || out.rows != a.rows || out.cols != b.cols) return false;
    if (a.is_double != out.is_double || b.is_double != out.is_double || !out.apart(a) || !out.apart(b)) return false;
    const bool biased = bias_given != Py_None;
    const Ready bias(biased ? bias_given : out_given);
    if (biased && !(bias.row_of(out) && out.apart(bias))) return false;
    with_table(out, [&]<class T>(const Table<T>& table) {
        run_gemm<T>(table, Precision::highest,
                    {.m = a.rows,
                     .n = b.cols,
                     .k = a.cols,
                     .a = a.vector<const T>(),
                     .a_row = a.turned ? 1 : a.cols,
                     .a_col = a.turned ? a.rows : 1,
                     .b = b.vector<const T>(),
                     .b_row = b.turned ? 1 : b.cols,
                     .b_col = b.turned ? b.rows : 1,
                     .c = out.matrix<T>(),
                     .bias = biased ? bias.vector<const T>() : nullptr,
                     .y = out.matrix<T>()});
    });
    return true;
}

void moving_average(const py::array& moving, const py::object& value, double momentum, const Isa& isa) {
    const char* op = "moving_average";
    dispatch(op, "moving", moving, [&](auto zero) {
        using T = decltype(zero);
        const Index n = cols_of(moving);
        T* held = vector<T>(op, "moving", moving, n, true);
        const T* with = vector<T>(op, "value", value, n, false);
        if (!with) throw py::type_error("[moving_average] 'value' expects an array, got None");
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_tiles(1, n, 1, elements_a_task, 4,
                    [&](const Tile& t) { table.moving_average(t.cols, held + t.col, with + t.col, momentum); });
    });
}

void column_sums(const py::array& x, const py::array& out, const Isa& isa) {
    const char* op = "column_sums";
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const View<const T> view = input<T>(op, "x", x);
        T* sums = vector<T>(op, "out", out, cols_of(x), true);
        const Table<T>& table = table_for<T>(op, isa);
        const Index rows = rows_of(x);
        const py::gil_scoped_release release;
        share_columns(rows, cols_of(x), 4, [&](Index first, Index count) {
            table.column_sums(rows, count, part_of(view, 0, first), sums + first);
        });
    });
}

void gather(const py::array& src, const py::object& order, const py::array& out, const Isa& isa) {
    const char* op = "gather";
    dispatch(op, "out", out, [&](auto zero) {
        using T = decltype(zero);
        const View<T> dst = output<T>(op, "out", out);
        const Rows from = samples(op, "src", src, any_size, cols_of(out));
        const py::object on_host = order.is_none() ? order : py::object(looked_at(order));
        const int64_t* given = vector<int64_t>(op, "order", on_host, rows_of(out), false);
        std::vector<int64_t> held;  // a copy, which no other thread can change once the GIL is released
        if (given) held.assign(given, given + rows_of(out));
        const int64_t* indices = given ? held.data() : nullptr;
        for (Index i = 0; i < rows_of(out); ++i) {
            const int64_t row = indices ? indices[i] : i;
            if (row < 0 || row >= src.shape(0))
                Argument{op, "order"}.bad_value("rows from 0 to " + std::to_string(src.shape(0) - 1),
                                                std::to_string(row));
        }
        const Table<T>& table = table_for<T>(op, isa);
        indices = readable(indices, rows_of(out));
        const Index rows = rows_of(out), cols = cols_of(out);
        const py::gil_scoped_release release;
        share_rows(rows, cols, 4, [&](Index first, Index count) {
            // without an order the source moves on as well
            const auto* start = static_cast<const char*>(from.data) + (indices ? 0 : first * from.row_bytes);
            table.gather[int(from.source)](
                {count, cols, start, from.row_bytes, part_of(indices, first), part_of(dst, first, 0)});
        });
    });
}

}  // namespace

void register_ops_layers(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "gemm", &gemm, arg("a"), arg("b"), arg("out"), arg("bias") = none, arg("accumulate") = false,
           arg("activation") = none, arg("params") = py::tuple(), arg("isa") = none, arg("slope") = none,
           arg("precision") = precision_names[0]);
    define_ready<4, &ready_gemm>(m, "ready_gemm", "(a, b, bias, out, /)");
    define(m, "moving_average", &moving_average, arg("moving"), arg("value"), arg("momentum"), arg("isa") = none);
    define(m, "column_sums", &column_sums, arg("x"), arg("out"), arg("isa") = none);
    define(m, "gather", &gather, arg("src"), arg("order"), arg("out"), arg("isa") = none);
}

}  // namespace fusednet::bindings
