// Batch normalization on arrays of the host or of a device.
#include <algorithm>
#include <memory>

#include "../base/at_once.h"
#include "../base/norm_rows.h"
#include "ops.h"
#include "ready.h"
#include "register.h"
#include "share.h"

namespace fusednet::bindings {
namespace {

constexpr double norm_flops = 16;

// Matrices that are more than a core's caches hold are walked by rows, in the order of memory, in tasks of whole
// chunks. What is found of the chunks waits for all of them.
template <class T>
class ByRows {
public:
    static bool pays(const Table<T>& table, Index rows, Index cols) {
        return table.batchnorm_rows && rows >= 2 * row_chunk && rows * cols >= walked_elements;
    }
    ByRows(Index rows, Index cols, Index parts)
        : rows_(rows),
          cols_(cols),
          parts_(parts),
          across_(divide_up(cols, wide)),
          tall_(row_chunk * std::max(Index(1), elements_each / (row_chunk * std::min(cols, wide)))),
          found_(new T[size_t(divide_up(rows, row_chunk) * parts * cols)]) {}

    // f(tile, what is found of its chunks)
    template <class F>
    void first(const F& f) const {
        walk(false,
             [&](const Tile& t) { f(t, View<T>{found_.get() + t.row / row_chunk * parts_ * cols_ + t.col, cols_}); });
    }
    // f(first column, columns, what was found of all chunks)
    template <class F>
    void join(const F& f) const {
        const Index each =
            std::max(Index(64), divide_up(join_elements, divide_up(rows_, row_chunk) * parts_) / 16 * 16);
        share(divide_up(cols_, each), 8.0 * double(divide_up(rows_, row_chunk) * parts_ * cols_),
              [&](Index task, void*) {
                  const Index col = task * each;
                  f(col, std::min(each, cols_ - col), View<const T>{found_.get() + col, cols_});
              });
    }
    // f(tile), beginning with what `first` has left in the caches.
    template <class F>
    void second(const F& f) const {
        walk(true, f);
    }

private:
    // From a million bytes on, columns are slower: 256x1024 took 340 us and takes 270, 512x512 is the same (one thread
    // of Zen 4, November 2026). A tile of so many columns has its sums in the first-level cache.
    static constexpr Index walked_elements = 1 << 18, wide = 1024, elements_each = 32 * 1024, join_elements = 16 * 1024;

    template <class F>
    void walk(bool back, const F& f) const {
        const Index down = divide_up(rows_, tall_), tasks = down * across_;
        share(tasks, norm_flops * double(rows_) * double(cols_), [&](Index task, void*) {
            if (back) task = tasks - 1 - task;
            const Index row = task / across_ * tall_, col = task % across_ * wide;
            f(Tile{row, col, std::min(tall_, rows_ - row), std::min(wide, cols_ - col)});
        });
    }
    const Index rows_, cols_, parts_, across_, tall_;
    const std::unique_ptr<T[]> found_;
};

template <class T>
void find_statistics(const Table<T>& table, const ByRows<T>& by_rows, const BatchNormStatistics<T>& a) {
    by_rows.first([&](const Tile& t, View<T> found) {
        table.batchnorm_rows->chunks(t.rows, t.cols, part_of(a.x, t.row, t.col), found);
    });
    by_rows.join([&](Index first, Index cols, View<const T> found) {
        table.batchnorm_rows->join(a.rows, cols, found, a.mean + first, a.variance + first);
    });
}

template <class T>
void share_statistics(const Table<T>& table, const BatchNormStatistics<T>& a) {
    if (ByRows<T>::pays(table, a.rows, a.cols)) return find_statistics(table, ByRows<T>(a.rows, a.cols, 3), a);
    share_columns(a.rows, a.cols, norm_flops, [&](Index first, Index count) {
        table.batchnorm_statistics(
            {a.rows, count, part_of(a.x, 0, first), part_of(a.mean, first), part_of(a.variance, first)});
    });
}

// mean, variance: the batch's own, to be found first, or null.
template <class T>
void share_forward(const Table<T>& table, int row, const BatchNormForward<T>& a, T* mean, T* variance) {
    const bool by_rows = ByRows<T>::pays(table, a.rows, a.cols);
    if (by_rows) {
        const ByRows<T> walk(a.rows, a.cols, mean ? 3 : 0);
        if (mean) find_statistics(table, walk, {a.rows, a.cols, a.x, mean, variance});
        return walk.second([&](const Tile& t) { table.batchnorm_forward[row](tile_of(a, t)); });
    }
    share_columns(a.rows, a.cols, norm_flops, [&](Index first, Index count) {
        const BatchNormForward<T> part = tile_of(a, Tile{0, first, a.rows, count});
        if (mean && table.at_once) return table.at_once->batchnorm_by_batch[row](part, mean + first, variance + first);
        if (mean) table.batchnorm_statistics({a.rows, count, part.x, mean + first, variance + first});
        table.batchnorm_forward[row](part);
    });
}

template <class T>
void share_backward(const Table<T>& table, int row, const BatchNormBackward<T>& a) {
    if (!ByRows<T>::pays(table, a.rows, a.cols))
        return share_columns(a.rows, a.cols, norm_flops, [&](Index first, Index count) {
            table.batchnorm_backward[row](tile_of(a, Tile{0, first, a.rows, count}));
        });
    const Index parts = formulas().activation[row].slope == Slope::learned ? 3 : 2;
    const ByRows<T> by_rows(a.rows, a.cols, parts);
    const std::unique_ptr<T[]> held(new T[size_t(2 * a.cols)]);
    const View<T> means{held.get(), a.cols};
    by_rows.first([&](const Tile& t, View<T> found) { table.batchnorm_rows->sums[row](tile_of(a, t), found); });
    by_rows.join([&](Index first, Index cols, View<const T> found) {
        table.batchnorm_rows->totals(a.rows, cols, parts, found, part_of(means, 0, first), part_of(a.dgamma, first),
                                     part_of(a.dbeta, first), part_of(a.dslope, first));
    });
    by_rows.second([&](const Tile& t) {
        table.batchnorm_rows->differences[row](tile_of(a, t), readonly(part_of(means, 0, t.col)));
    });
}

// Rows are walked one by one, a panel's width at a time.
template <class T>
bool norm_streams(const View<T>& out, Index rows, Index cols, std::initializer_list<const void*> inputs) {
    for (const void* in : inputs)
        if (in == out.data) return false;
    constexpr Index size = sizeof(T);
    return past_caches(rows * cols * size) && cols >= 256 && out.ld * size % 64 == 0;
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
        const Table<T>& table = table_for<T>(op, isa);
        without_gil(norm_flops * double(rows) * double(cols), [&] { share_statistics(table, args); });
    });
}

// With `own`, the batch's own mean and variance, which are written.
void batchnorm_forward(const py::array& x, const py::object& mean, const py::object& variance, const py::object& gamma,
                       const py::object& beta, const py::array& out, double epsilon, const std::string& activation,
                       const Values& params, const Isa& isa, const py::object& slope, bool own) {
    const char* op = "batchnorm_forward";
    const Activation row = activation_of(op, activation);
    dispatch(op, "x", x, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(x), cols = cols_of(x);
        if (own && rows < 1) Argument{op, "x"}.bad_shape("(n, c) with n of at least 1", x);
        T *own_mean = vector<T>(op, "mean", mean, cols, own),
          *own_variance = vector<T>(op, "variance", variance, cols, own);
        const BatchNormForward<T> args{rows,
                                       cols,
                                       input<T>(op, "x", x),
                                       output<T>(op, "out", out, rows, cols),
                                       own_mean,
                                       own_variance,
                                       vector<T>(op, "gamma", gamma, cols, false),
                                       vector<T>(op, "beta", beta, cols, false),
                                       epsilon,
                                       params_of(op, params),
                                       slope_of<T>(op, row, slope, rows, cols),
                                       norm_streams(output<T>(op, "out", out), rows, cols, {x.data()})};
        if (!args.mean || !args.variance) throw py::type_error("[batchnorm_forward] expects a mean and a variance");
        check_apart(op, "out", out, x, true);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        for (const auto& [name, statistic] : {std::pair("mean", mean), std::pair("variance", variance)})
            if (own)
                for (const py::array& other : {x, out})
                    check_apart(op, name, py::reinterpret_borrow<py::array>(statistic), other, false);
        const Table<T>& table = table_for<T>(op, isa);
        without_gil(norm_flops * double(rows) * double(cols),
                    [&] { share_forward(table, int(row), args, own ? own_mean : nullptr, own_variance); });
    });
}

void batchnorm_backward(const py::array& dy, const py::array& x, const py::array& y, const py::object& mean,
                        const py::object& variance, const py::object& gamma, const py::object& beta,
                        const py::array& out, const py::object& dgamma, const py::object& dbeta, double epsilon,
                        const std::string& activation, const Values& params, bool training, const Isa& isa,
                        const py::object& slope, const py::object& dslope) {
    const char* op = "batchnorm_backward";
    const Activation row = activation_of(op, activation);
    dispatch(op, "dy", dy, [&](auto zero) {
        using T = decltype(zero);
        const Index rows = rows_of(dy), cols = cols_of(dy);
        const BatchNormBackward<T> args{
            rows,
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
            training,
            slope_of<T>(op, row, slope, rows, cols),
            vector<T>(op, "dslope", dslope, cols, true),
            norm_streams(output<T>(op, "out", out), rows, cols, {dy.data(), x.data(), y.data()})};
        if (!args.mean || !args.variance) throw py::type_error("[batchnorm_backward] expects a mean and a variance");
        check_apart(op, "out", out, dy, true);
        check_apart(op, "out", out, x, false);
        check_apart(op, "out", out, y, false);
        if (args.slope.data) check_apart(op, "out", out, slope, false);
        check_slope_gradient(op, int(row), dslope, {dy, x, y, out});
        const Table<T>& table = table_for<T>(op, isa);
        without_gil(norm_flops * double(rows) * double(cols), [&] { share_backward(table, int(row), args); });
    });
}

// Whether all hold a number for each column of x.
bool ready_vectors(const Ready& x, std::initializer_list<const Ready*> vectors) {
    return std::all_of(vectors.begin(), vectors.end(), [&](const Ready* v) { return v->row_of(x); });
}

bool ready_batchnorm_forward(const std::array<PyObject*, 9>& given) {
    const auto [number, values, x_given, mean_given, variance_given, gamma_given, beta_given, out_given, eps] = given;
    const ReadyActivation f(number, values, int(Activation::count));
    double epsilon = 0;
    const Ready x(x_given), out(out_given, true, &x);
    if (f.row < 0 || f.slope() != Slope::none || !out || x.ndim() != 2 || !ready_number(eps, epsilon)) return false;
    const Ready mean(mean_given, true), variance(variance_given, true), gamma(gamma_given), beta(beta_given);
    if (!out.apart(x, true) || !ready_vectors(x, {&mean, &variance, &gamma, &beta})) return false;
    for (const Ready* own : {&mean, &variance})
        if (!own->apart(x) || !own->apart(out)) return false;
    with_table(x, [&]<class T>(const Table<T>& table) {
        const BatchNormForward<T> args{x.rows,
                                       x.cols,
                                       x.matrix<const T>(),
                                       out.matrix<T>(),
                                       mean.vector<T>(),
                                       variance.vector<T>(),
                                       gamma.vector<T>(),
                                       beta.vector<T>(),
                                       epsilon,
                                       f.params,
                                       {},
                                       norm_streams(out.matrix<T>(), x.rows, x.cols, {x.data})};
        without_gil(norm_flops * double(x.size()),
                    [&] { share_forward(table, f.row, args, mean.vector<T>(), variance.vector<T>()); });
    });
    return true;
}

bool ready_batchnorm_backward(const std::array<PyObject*, 13>& given) {
    const auto [number, values, dy_given, x_given, y_given, mean_given, variance_given, gamma_given, beta_given,
                out_given, dgamma_given, dbeta_given, eps] = given;
    const ReadyActivation f(number, values, int(Activation::count));
    double epsilon = 0;
    const Ready dy(dy_given), x(x_given, false, &dy), y(y_given, false, &dy), out(out_given, true, &dy);
    if (f.row < 0 || f.slope() != Slope::none || !x || !y || !out || x.ndim() != 2) return false;
    const Ready mean(mean_given), variance(variance_given), gamma(gamma_given), beta(beta_given),
        dgamma(dgamma_given, true), dbeta(dbeta_given, true);
    if (!out.apart(dy, true) || !out.apart(x) || !out.apart(y) || !ready_number(eps, epsilon)) return false;
    if (!ready_vectors(x, {&mean, &variance, &gamma, &beta, &dgamma, &dbeta})) return false;
    with_table(x, [&]<class T>(const Table<T>& table) {
        const BatchNormBackward<T> args{x.rows,
                                        x.cols,
                                        dy.matrix<const T>(),
                                        x.matrix<const T>(),
                                        y.matrix<const T>(),
                                        out.matrix<T>(),
                                        mean.vector<T>(),
                                        variance.vector<T>(),
                                        gamma.vector<T>(),
                                        beta.vector<T>(),
                                        dgamma.vector<T>(),
                                        dbeta.vector<T>(),
                                        epsilon,
                                        f.params,
                                        true,
                                        {},
                                        nullptr,
                                        norm_streams(out.matrix<T>(), x.rows, x.cols, {dy.data, x.data, y.data})};
        without_gil(norm_flops * double(x.size()), [&] { share_backward(table, f.row, args); });
    });
    return true;
}

}  // namespace

void register_ops_batchnorm(py::module_& m) {
    using py::arg;
    const auto none = py::none();
    define(m, "batchnorm_statistics", &batchnorm_statistics, arg("x"), arg("mean"), arg("variance"), arg("isa") = none);
    define(m, "batchnorm_forward", &batchnorm_forward, arg("x"), arg("mean"), arg("variance"), arg("gamma"),
           arg("beta"), arg("out"), arg("epsilon") = 1e-3, arg("activation") = "linear", arg("params") = py::tuple(),
           arg("isa") = none, arg("slope") = none, arg("own") = false);
    define(m, "batchnorm_backward", &batchnorm_backward, arg("dy"), arg("x"), arg("y"), arg("mean"), arg("variance"),
           arg("gamma"), arg("beta"), arg("out"), arg("dgamma"), arg("dbeta"), arg("epsilon") = 1e-3,
           arg("activation") = "linear", arg("params") = py::tuple(), arg("training") = true, arg("isa") = none,
           arg("slope") = none, arg("dslope") = none);
    define_ready<9, &ready_batchnorm_forward>(m, "ready_batchnorm_forward",
                                              "(row, params, x, mean, variance, gamma, beta, out, epsilon, /)");
    define_ready<13, &ready_batchnorm_backward>(
        m, "ready_batchnorm_backward",
        "(row, params, dy, x, y, mean, variance, gamma, beta, out, dgamma, dbeta, epsilon, /)");
}

}  // namespace fusednet::bindings
