// Random layers, layer normalization, maxima and residual sums on arrays of the host or of a device.
#include "../base/pool_regions.h"
#include "ops.h"
#include "register.h"
#include "share.h"

namespace fusednet::bindings {
namespace {

Index at_least(const char* op, const char* name, Index value, Index least) {
    if (value < least)
        Argument{op, name}.bad_value("an integer of at least " + std::to_string(least), std::to_string(value));
    return value;
}

Draw draw_of(const char* op, uint64_t seed, uint64_t stream, Index first_row, Index first_col, Index width) {
    return {seed, stream, at_least(op, "first_row", first_row, 0), at_least(op, "first_col", first_col, 0),
            at_least(op, "width", width, 0)};
}

// The draw of a tile.
Draw moved(Draw draw, const Tile& t) {
    draw.first_row += t.row;
    draw.first_col += t.col;
    return draw;
}

Noise noise_of(const char* op, const std::string& name) {
    return row_of<Noise>(op, "noise", noise_names, name);
}

void noise_forward(const py::array& x, const py::array& out, const std::string& noise, const Values& params,
                   uint64_t seed, uint64_t stream, Index first_row, Index first_col, Index width, const Isa& isa) {
    const char* op = "noise_forward";
    const Noise row = noise_of(op, noise);
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        const NoiseForward<T> args{rows,
                                   cols,
                                   input<T>(op, "x", x),
                                   output<T>(op, "out", out, rows, cols),
                                   params_of(op, params),
                                   draw_of(op, seed, stream, first_row, first_col, width)};
        check_apart(op, "out", out, x, true);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_tiles(rows, cols, elements_a_task / run_of(cols), run_of(cols), 32, [&](const Tile& t) {
            table.noise_forward[int(row)]({t.rows, t.cols, part_of(args.x, t.row, t.col), part_of(args.y, t.row, t.col),
                                           args.params, moved(args.draw, t)});
        });
    });
}

void noise_backward(const py::array& dy, const py::array& out, const std::string& noise, const Values& params,
                    uint64_t seed, uint64_t stream, Index first_row, Index first_col, Index width, const Isa& isa) {
    const char* op = "noise_backward";
    const Noise row = noise_of(op, noise);
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const NoiseBackward<T> args{rows,
                                    cols,
                                    input<T>(op, "dy", dy),
                                    output<T>(op, "out", out, rows, cols),
                                    params_of(op, params),
                                    draw_of(op, seed, stream, first_row, first_col, width)};
        check_apart(op, "out", out, dy, true);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_tiles(rows, cols, elements_a_task / run_of(cols), run_of(cols), 32, [&](const Tile& t) {
            table.noise_backward[int(row)]({t.rows, t.cols, part_of(args.dy, t.row, t.col),
                                            part_of(args.dx, t.row, t.col), args.params, moved(args.draw, t)});
        });
    });
}

void uniform(const py::array& out, double low, double high, uint64_t seed, uint64_t stream, Index first_row,
             Index first_col, Index width, const Isa& isa) {
    const char* op = "uniform";
    dispatch(op, "out", out, [&](auto zero) {
        using T = decltype(zero);
        const View<T> y = output<T>(op, "out", out);
        const Draw draw = draw_of(op, seed, stream, first_row, first_col, width);
        const Table<T>& table = table_for<T>(op, isa);
        const Index rows = rows_of(out), cols = cols_of(out);
        const py::gil_scoped_release release;
        share_tiles(rows, cols, elements_a_task / run_of(cols), run_of(cols), 16, [&](const Tile& t) {
            table.uniform({t.rows, t.cols, part_of(y, t.row, t.col), low, high, moved(draw, t)});
        });
    });
}

void layernorm_forward(const py::array& x, const py::object& gamma, const py::object& beta, const py::array& out,
                       const py::array& mean, const py::array& inverse, double epsilon, const Isa& isa) {
    const char* op = "layernorm_forward";
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        const LayerNormForward<T> args{rows,
                                       cols,
                                       input<T>(op, "x", x),
                                       output<T>(op, "out", out, rows, cols),
                                       vector<T>(op, "gamma", gamma, cols, false),
                                       vector<T>(op, "beta", beta, cols, false),
                                       vector<T>(op, "mean", mean, rows, true),
                                       vector<T>(op, "inverse", inverse, rows, true),
                                       epsilon};
        check_apart(op, "out", out, x, true);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, cols, 16, [&](Index first, Index count) {
            table.layernorm_forward({count, cols, part_of(args.x, first, 0), part_of(args.y, first, 0), args.gamma,
                                     args.beta, part_of(args.mean, first), part_of(args.inverse, first), epsilon});
        });
    });
}

void layernorm_backward(const py::array& dy, const py::array& x, const py::object& gamma, const py::array& mean,
                        const py::array& inverse, const py::array& out, const Isa& isa) {
    const char* op = "layernorm_backward";
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const LayerNormBackward<T> args{rows,
                                        cols,
                                        input<T>(op, "dy", dy),
                                        input<T>(op, "x", x, rows, cols),
                                        output<T>(op, "out", out, rows, cols),
                                        vector<T>(op, "gamma", gamma, cols, false),
                                        vector<T>(op, "mean", mean, rows, false),
                                        vector<T>(op, "inverse", inverse, rows, false)};
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, x, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, cols, 16, [&](Index first, Index count) {
            table.layernorm_backward({count, cols, part_of(args.dy, first, 0), part_of(args.x, first, 0),
                                      part_of(args.dx, first, 0), args.gamma, part_of(args.mean, first),
                                      part_of(args.inverse, first)});
        });
    });
}

void layernorm_gradients(const py::array& dy, const py::array& x, const py::array& mean, const py::array& inverse,
                         const py::object& dgamma, const py::object& dbeta, const Isa& isa) {
    const char* op = "layernorm_gradients";
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const LayerNormGradients<T> args{rows,
                                         cols,
                                         input<T>(op, "dy", dy),
                                         input<T>(op, "x", x, rows, cols),
                                         vector<T>(op, "mean", mean, rows, false),
                                         vector<T>(op, "inverse", inverse, rows, false),
                                         vector<T>(op, "dgamma", dgamma, cols, true),
                                         vector<T>(op, "dbeta", dbeta, cols, true)};
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_columns(rows, cols, 8, [&](Index first, Index count) {
            table.layernorm_gradients({rows, count, part_of(args.dy, 0, first), part_of(args.x, 0, first), args.mean,
                                       args.inverse, part_of(args.dgamma, first), part_of(args.dbeta, first)});
        });
    });
}

void maxout_forward(const py::array& x, const py::array& out, const Isa& isa) {
    const char* op = "maxout_forward";
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(out);
        const View<T> y = output<T>(op, "out", out, rows, cols);
        if (cols < 1 || cols_of(x) < cols || cols_of(x) % cols)
            Argument{op, "x"}.bad_shape("(n, pieces * " + std::to_string(cols) + ")", x);
        const MaxoutForward<T> args{rows, cols, cols_of(x) / cols, input<T>(op, "x", x), y};
        check_apart(op, "out", out, x, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, cols_of(x), 4, [&](Index first, Index count) {
            table.maxout_forward({count, cols, args.pieces, part_of(args.x, first, 0), part_of(args.y, first, 0)});
        });
    });
}

void maxout_backward(const py::array& dy, const py::array& x, const py::array& y, const py::array& out,
                     const Isa& isa) {
    const char* op = "maxout_backward";
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy), wide = cols_of(x);
        if (cols < 1 || wide < cols || wide % cols)
            Argument{op, "x"}.bad_shape("(n, pieces * " + std::to_string(cols) + ")", x);
        const MaxoutBackward<T> args{rows,
                                     cols,
                                     wide / cols,
                                     input<T>(op, "dy", dy),
                                     input<T>(op, "x", x, rows, wide),
                                     input<T>(op, "y", y, rows, cols),
                                     output<T>(op, "out", out, rows, wide)};
        check_apart(op, "out", out, x, true);
        check_apart(op, "out", out, dy, false);
        check_apart(op, "out", out, y, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, wide, 4, [&](Index first, Index count) {
            table.maxout_backward({count, cols, args.pieces, part_of(args.dy, first, 0), part_of(args.x, first, 0),
                                   part_of(args.y, first, 0), part_of(args.dx, first, 0)});
        });
    });
}

// Regions (2, out) of one axis: begins, then ends, each within 0 to size and none of them empty. A copy, side by side.
std::vector<int32_t> regions(const char* op, const char* name, const py::array& given, Index size) {
    const py::array a = looked_at(given);
    const View<const int32_t> view = input<int32_t>(op, name, a, 2, any_size);
    std::vector<int32_t> found(view.row(0), view.row(0) + cols_of(a));
    found.insert(found.end(), view.row(1), view.row(1) + cols_of(a));
    for (Index i = 0; i < cols_of(a); ++i)
        if (view.row(0)[i] < 0 || view.row(0)[i] >= view.row(1)[i] || view.row(1)[i] > size)
            Argument{op, name}.bad_value("0 <= begin < end <= " + std::to_string(size),
                                         std::to_string(view.row(0)[i]) + " and " + std::to_string(view.row(1)[i]));
    return found;
}

constexpr Index largest_image = INT32_MAX;

void pool_forward(const py::array& x, const py::array& row_regions, const py::array& col_regions, const py::array& out,
                  const py::object& argmax, Index height, Index width, Index channels, const Isa& isa) {
    const char* op = "pool_forward";
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), out_height = cols_of(row_regions), out_width = cols_of(col_regions);
        for (const Index size : {height, width, channels}) at_least(op, "the image", size, 0);
        if (height && width && channels &&
            (height > largest_image / width || height * width > largest_image / channels))
            Argument{op, "x"}.bad_shape("(n, c) with c below 2**31", x);
        const std::vector<int32_t> row_places = regions(op, "rows", row_regions, height),
                                   col_places = regions(op, "cols", col_regions, width);
        const int32_t *row_begin = readable(row_places.data(), 2 * out_height),
                      *col_begin = readable(col_places.data(), 2 * out_width);
        const Index out_cols = out_height * out_width * channels;
        View<int32_t> places{};
        if (!argmax.is_none()) places = output<int32_t>(op, "argmax", py::cast<py::array>(argmax), rows, out_cols);
        const PoolForward<T> args{rows,
                                  height,
                                  width,
                                  channels,
                                  out_height,
                                  out_width,
                                  row_begin,
                                  row_begin + out_height,
                                  col_begin,
                                  col_begin + out_width,
                                  input<T>(op, "x", x, rows, height * width * channels),
                                  output<T>(op, "out", out, rows, out_cols),
                                  places};
        check_apart(op, "out", out, x, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, height * width * channels, 4, [&](Index first, Index count) {
            PoolForward<T> part = args;
            part.rows = count;
            part.x = part_of(args.x, first, 0);
            part.y = part_of(args.y, first, 0);
            part.argmax = part_of(args.argmax, first, 0);
            table.pool_forward(part);
        });
    });
}

void pool_backward(const py::array& dy, const py::array& argmax, const py::array& out, const Isa& isa) {
    const char* op = "pool_backward";
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy), in_cols = cols_of(out);
        PoolBackward<T> args{rows,
                             in_cols,
                             cols,
                             input<T>(op, "dy", dy),
                             input<int32_t>(op, "argmax", argmax, rows, cols),
                             output<T>(op, "out", out, rows, in_cols)};
        const py::array on_host = looked_at(argmax);
        const View<const int32_t> places = input<int32_t>(op, "argmax", on_host, rows, cols);
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < cols; ++j)
                if (places.row(i)[j] < 0 || places.row(i)[j] >= in_cols)
                    Argument{op, "argmax"}.bad_value("columns from 0 to " + std::to_string(in_cols - 1),
                                                     std::to_string(places.row(i)[j]));
        if (DeviceCall::current() && !on_device(argmax)) {
            const py::array packed = argmax.attr("astype")(argmax.dtype(), py::arg("order") = "C");
            args.argmax = {readable(static_cast<const int32_t*>(packed.data()), rows * cols), cols};
        }
        check_apart(op, "out", out, dy, false);
        check_apart(op, "out", out, argmax, false);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, in_cols, 4, [&](Index first, Index count) {
            table.pool_backward({count, in_cols, cols, part_of(args.dy, first, 0), part_of(args.argmax, first, 0),
                                 part_of(args.dx, first, 0)});
        });
    });
}

// (2, out): begins, then ends. Without a seed those of inference.
py::array_t<int32_t> fractional_pool_regions(Index size, Index out, bool overlapping, bool pseudo_random,
                                             const std::optional<uint64_t>& seed, uint64_t stream) {
    const char* op = "fractional_pool_regions";
    if (size < 1 || size > largest_image)
        Argument{op, "size"}.bad_value("an integer from 1 to 2**31 - 1", std::to_string(size));
    if (out < 1 || out > size)
        Argument{op, "out_size"}.bad_value("an integer from 1 to " + std::to_string(size), std::to_string(out));
    py::array_t<int32_t> found({Index(2), out});
    int32_t* begin = found.mutable_data();
    if (seed)
        pool_regions(int32_t(size), int32_t(out), overlapping, pseudo_random, *seed, stream, begin, begin + out);
    else
        inference_pool_regions(int32_t(size), int32_t(out), overlapping, begin, begin + out);
    return found;
}

void scaled_add(const py::object& a, const py::array& b, const py::object& scale, const py::array& out,
                const Isa& isa) {
    const char* op = "scaled_add";
    dispatch(op, "b", b, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(b), cols = cols_of(b);
        View<const T> left{};
        if (!a.is_none()) left = input<T>(op, "a", py::cast<py::array>(a), rows, cols);
        const ScaledAdd<T> args{rows,
                                cols,
                                left,
                                input<T>(op, "b", b),
                                vector<T>(op, "scale", scale, rows, false),
                                output<T>(op, "out", out, rows, cols)};
        check_apart(op, "out", out, b, true);
        if (left.data) check_apart(op, "out", out, py::cast<py::array>(a), true);
        const Table<T>& table = table_for<T>(op, isa);
        const py::gil_scoped_release release;
        share_rows(rows, cols, 4, [&](Index first, Index count) {
            table.scaled_add({count, cols, part_of(args.a, first, 0), part_of(args.b, first, 0),
                              part_of(args.scale, first), part_of(args.y, first, 0)});
        });
    });
}

}  // namespace

void register_ops_blocks(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "noise_forward", &noise_forward, arg("x"), arg("out"), arg("noise"), arg("params"), arg("seed"),
           arg("stream"), arg("first_row"), arg("first_col"), arg("width"), arg("isa") = none);
    define(m, "noise_backward", &noise_backward, arg("dy"), arg("out"), arg("noise"), arg("params"), arg("seed"),
           arg("stream"), arg("first_row"), arg("first_col"), arg("width"), arg("isa") = none);
    define(m, "uniform", &uniform, arg("out"), arg("low"), arg("high"), arg("seed"), arg("stream"), arg("first_row"),
           arg("first_col"), arg("width"), arg("isa") = none);
    define(m, "layernorm_forward", &layernorm_forward, arg("x"), arg("gamma"), arg("beta"), arg("out"), arg("mean"),
           arg("inverse"), arg("epsilon") = 1e-3, arg("isa") = none);
    define(m, "layernorm_backward", &layernorm_backward, arg("dy"), arg("x"), arg("gamma"), arg("mean"), arg("inverse"),
           arg("out"), arg("isa") = none);
    define(m, "layernorm_gradients", &layernorm_gradients, arg("dy"), arg("x"), arg("mean"), arg("inverse"),
           arg("dgamma"), arg("dbeta"), arg("isa") = none);
    define(m, "maxout_forward", &maxout_forward, arg("x"), arg("out"), arg("isa") = none);
    define(m, "maxout_backward", &maxout_backward, arg("dy"), arg("x"), arg("y"), arg("out"), arg("isa") = none);
    define(m, "pool_forward", &pool_forward, arg("x"), arg("rows"), arg("cols"), arg("out"), arg("argmax"),
           arg("height"), arg("width"), arg("channels"), arg("isa") = none);
    define(m, "pool_backward", &pool_backward, arg("dy"), arg("argmax"), arg("out"), arg("isa") = none);
    define(m, "fractional_pool_regions", &fractional_pool_regions, arg("size"), arg("out_size"), arg("overlapping"),
           arg("pseudo_random"), arg("seed"), arg("stream"));
    define(m, "scaled_add", &scaled_add, arg("a"), arg("b"), arg("scale"), arg("out"), arg("isa") = none);
}

}  // namespace fusednet::bindings
