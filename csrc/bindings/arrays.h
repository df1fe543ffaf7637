// NumPy arrays checked at the border: dtype, shape and layout, with an error that names the operation, the argument,
// what it expects and what it got. Kernels behind it check nothing.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "../base/table.h"
#include "../plan/step.h"

namespace fusednet::bindings {

namespace py = pybind11;

inline std::string shape_text(const py::array& a) {
    std::string text = "(";
    for (py::ssize_t i = 0; i < a.ndim(); ++i) text += (i ? ", " : "") + std::to_string(a.shape(i));
    return text + (a.ndim() == 1 ? ",)" : ")");
}

inline std::string dtype_text(const py::array& a) {
    return std::string(py::str(a.dtype()));
}

struct Argument {
    const char* op;
    const char* name;
    std::string where() const { return "[" + std::string(op) + "] '" + name + "' expects "; }

    [[noreturn]] void bad_shape(const std::string& expected, const py::array& got) const {
        throw py::value_error(where() + "shape " + expected + ", got " + shape_text(got));
    }
    [[noreturn]] void bad_dtype(const std::string& expected, const py::array& got) const {
        throw py::type_error(where() + expected + ", got " + dtype_text(got));
    }
    [[noreturn]] void bad_value(const std::string& expected, const std::string& got) const {
        throw py::value_error(where() + expected + ", got " + got);
    }
};

constexpr Index any_size = -1;

inline std::string size_text(Index size) {
    return size == any_size ? "n" : std::to_string(size);
}

// NumPy has one description of most types' arrays; others may be equivalent to it.
template <class T>
bool has_type(const py::array& a) {
    static const PyObject* const usual = py::dtype::of<T>().release().ptr();
    return py::detail::array_proxy(a.ptr())->descr == usual || py::isinstance<py::array_t<T>>(a);
}

// Elements where they should be, whole words in memory, columns next to each other.
inline void check_layout(const Argument& argument, const py::array& a, bool writable) {
    if (writable && !a.writeable()) throw py::value_error(argument.where() + "a writable array, got a read-only one");
    if (a.size() == 0) return;  // NumPy gives such arrays any strides
    const py::ssize_t size = a.itemsize();
    bool aligned = reinterpret_cast<uintptr_t>(a.data()) % uintptr_t(size) == 0;
    for (py::ssize_t i = 0; i < a.ndim(); ++i) aligned = aligned && (a.shape(i) <= 1 || a.strides(i) % size == 0);
    if (!aligned) throw py::value_error(argument.where() + "elements aligned to their size, got an unaligned array");
    if (a.ndim() > 0 && a.shape(a.ndim() - 1) > 1 && a.strides(a.ndim() - 1) != size)
        throw py::value_error(argument.where() + "contiguous columns, got a stride of " +
                              std::to_string(a.strides(a.ndim() - 1)) + " bytes");
    if (writable && a.ndim() == 2 && a.shape(0) > 1) {
        const py::ssize_t step = a.strides(0) < 0 ? -a.strides(0) : a.strides(0);
        if (step < a.shape(1) * size) throw py::value_error(argument.where() + "rows that do not overlap");
    }
}

template <class T>
void check_type(const Argument& argument, const py::array& a) {
    if (!has_type<T>(a)) argument.bad_dtype(sizeof(T) == 4 ? "float32" : "float64", a);
}

// A matrix (rows, cols); a vector counts as one row.
template <class T>
View<T> matrix(const Argument& argument, const py::array& a, Index rows, Index cols, bool writable) {
    check_type<T>(argument, a);
    const Index r = a.ndim() == 2 ? a.shape(0) : 1;
    const Index c = a.ndim() == 0 ? 0 : a.shape(a.ndim() - 1);
    if (a.ndim() < 1 || a.ndim() > 2 || (rows != any_size && r != rows) || (cols != any_size && c != cols))
        argument.bad_shape("(" + size_text(rows) + ", " + size_text(cols) + ")", a);
    check_layout(argument, a, writable);
    const Index ld = a.ndim() == 2 && r > 1 ? a.strides(0) / Index(sizeof(T)) : c;
    return {static_cast<T*>(const_cast<void*>(a.data())), ld};
}

template <class T>
View<const T> input(const char* op, const char* name, const py::array& a, Index rows = any_size,
                    Index cols = any_size) {
    return readonly(matrix<T>({op, name}, a, rows, cols, false));
}
template <class T>
View<T> output(const char* op, const char* name, const py::array& a, Index rows = any_size, Index cols = any_size) {
    return matrix<T>({op, name}, a, rows, cols, true);
}

// A vector (n), contiguous; null for None.
template <class T>
T* vector(const char* op, const char* name, const py::object& object, Index n, bool writable) {
    if (object.is_none()) return nullptr;
    const Argument argument{op, name};
    if (!py::isinstance<py::array>(object))
        throw py::type_error(argument.where() + "an array, got " + std::string(py::str(py::type::of(object))));
    const auto a = py::reinterpret_borrow<py::array>(object);
    check_type<T>(argument, a);
    if (a.ndim() != 1 || (n != any_size && a.shape(0) != n)) argument.bad_shape("(" + size_text(n) + ",)", a);
    check_layout(argument, a, writable);
    return static_cast<T*>(const_cast<void*>(a.data()));
}

inline Index rows_of(const py::array& a) {
    return a.ndim() == 2 ? a.shape(0) : 1;
}
inline Index cols_of(const py::array& a) {
    return a.ndim() == 0 ? 0 : a.shape(a.ndim() - 1);
}

// Calls f with the scalar type of `a` as a value: f(float()) or f(double()).
template <class F>
auto dispatch(const char* op, const char* name, const py::array& a, F&& f) {
    if (has_type<float>(a)) return f(float());
    if (has_type<double>(a)) return f(double());
    Argument{op, name}.bad_dtype("float32 or float64", a);
}

// Samples for a plan: (n, cols) of uint8, float32 or float64.
inline Rows samples(const char* op, const char* name, const py::array& a, Index rows, Index cols) {
    const Argument argument{op, name};
    if (a.ndim() != 2 || (rows != any_size && a.shape(0) != rows) || a.shape(1) != cols)
        argument.bad_shape("(" + size_text(rows) + ", " + std::to_string(cols) + ")", a);
    check_layout(argument, a, false);
    const Source source = has_type<uint8_t>(a)  ? Source::uint8
                          : has_type<float>(a)  ? Source::float32
                          : has_type<double>(a) ? Source::float64
                                                : Source::count;
    if (source == Source::count) argument.bad_dtype("uint8, float32 or float64", a);
    return {a.data(), a.strides(0), source};
}

}  // namespace fusednet::bindings
