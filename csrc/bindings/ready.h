// The short way into a kernel, for arrays that it takes as they are and whose call has nothing unusual: a handful of
// comparisons, where a small call would spend most of its time on asking Python. What does not fit is left to the
// function that says what is wrong with it; so these return whether they have done the work, and raise nothing.
#pragma once

#include <algorithm>
#include <array>

#include "ops.h"

namespace fusednet::bindings {

// One of NumPy's own arrays, of float32 or float64, in C order and aligned, with elements.
class Ready {
public:
    // `like`: what it has to equal in type and shape. `turns`: it may be a matrix in Fortran's order.
    explicit Ready(PyObject* object, bool written = false, const Ready* like = nullptr, bool turns = false) {
        static const PyTypeObject* const type = py::detail::npy_api::get().PyArray_Type_;
        static const PyObject *const single = py::dtype::of<float>().release().ptr(),
                                     *const twice = py::dtype::of<double>().release().ptr();
        using Api = py::detail::npy_api;
        if (Py_TYPE(object) != type) return;
        const auto* const a = py::detail::array_proxy(object);
        turned = turns && a->nd == 2 && !(a->flags & Api::NPY_ARRAY_C_CONTIGUOUS_);
        const int order = turned ? Api::NPY_ARRAY_F_CONTIGUOUS_ : Api::NPY_ARRAY_C_CONTIGUOUS_;
        const int wanted = order | Api::NPY_ARRAY_ALIGNED_ | (written ? Api::NPY_ARRAY_WRITEABLE_ : 0);
        if ((a->flags & wanted) != wanted) return;
        if (a->descr != single && a->descr != twice) return;
        Index count = 1;
        for (int i = 0; i < a->nd; ++i) count *= a->dimensions[i];
        if (a->nd < 1 || count < 1) return;
        if (like && !like->like_(*a)) return;
        cols = a->dimensions[a->nd - 1];
        rows = count / cols;
        data = static_cast<const char*>(a->data);
        array_ = a;
        is_double = a->descr == twice;
    }
    explicit operator bool() const { return array_; }
    int ndim() const { return array_->nd; }
    Index size() const { return rows * cols; }
    Index bytes() const { return size() * (is_double ? 8 : 4); }
    template <class T>
    View<T> matrix() const {
        return {static_cast<T*>(const_cast<void*>(static_cast<const void*>(data))), cols};
    }
    template <class T>
    T* vector() const {
        return matrix<T>().data;
    }
    // Overlaps nothing of it; where both have one shape, `same` allows that they are one.
    bool apart(const Ready& other, bool same = false) const {
        return data + bytes() <= other.data || other.data + other.bytes() <= data || (same && data == other.data);
    }
    // (columns of `matrix`), of its type.
    bool row_of(const Ready& matrix) const {
        return array_ && array_->nd == 1 && cols == matrix.cols && is_double == matrix.is_double;
    }

    const char* data = nullptr;
    Index rows = 0, cols = 0;  // all axes before the last together
    bool is_double = false;
    bool turned = false;  // a transpose: columns are contiguous

private:
    using Proxy = py::detail::PyArray_Proxy;
    bool like_(const Proxy& a) const {
        if (!array_ || a.descr != array_->descr || a.nd != array_->nd) return false;
        for (int i = 0; i < a.nd; ++i)
            if (a.dimensions[i] != array_->dimensions[i]) return false;
        return true;
    }
    const Proxy* array_ = nullptr;
};

// Python's numbers; false where one is not.
inline bool ready_number(PyObject* object, double& number) {
    if (PyFloat_Check(object)) {
        number = PyFloat_AS_DOUBLE(object);
        return true;
    }
    if (!PyLong_Check(object)) return false;
    number = PyLong_AsDouble(object);
    return !(number == -1.0 && PyErr_Occurred());
}

// A list or tuple of at most `most` of them.
inline bool ready_numbers(PyObject* object, double* numbers, Index most, Index* count) {
    if (!PyTuple_CheckExact(object) && !PyList_CheckExact(object)) return false;
    *count = PySequence_Fast_GET_SIZE(object);
    if (*count > most) return false;
    for (Index i = 0; i < *count; ++i)
        if (!ready_number(PySequence_Fast_GET_ITEM(object, i), numbers[i])) return false;
    return true;
}

// A row of the catalogue by its number, below `count`; -1: there is none.
inline int ready_row(PyObject* object, int count) {
    const Py_ssize_t row = PyLong_Check(object) ? PyLong_AsSsize_t(object) : -1;
    return row < count ? int(row) : -1;
}

// An activation by its number, below `rows`, with its parameters; a row of -1 is none.
struct ReadyActivation {
    int row;
    Params params;
    ReadyActivation(PyObject* number, PyObject* values, int rows) : row(ready_row(number, rows)) {
        Index count = 0;
        if (!ready_numbers(values, params.p, max_params, &count)) row = -1;
    }
    Slope slope() const { return row < int(Activation::count) ? formulas().activation[row].slope : Slope::none; }
};

// f(table) with the table in use for the arrays' type.
template <class F>
void with_table(const Ready& array, const F& f) {
    const HostCall host;
    if (array.is_double)
        f(float64_table());
    else
        f(used_table());
}

// A function of `count` arguments, by position only, that says whether it has done the work.
template <size_t count, bool (*function)(const std::array<PyObject*, count>&)>
void define_ready(py::module_& m, const char* name, const char* arguments) {
    static PyMethodDef method;
    static const std::string signature = std::string(name) + arguments + "\n--\n\nWhether it has done the work.";
    using Fast = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);
    const Fast called = [](PyObject*, PyObject* const* args, Py_ssize_t given) -> PyObject* {
        bool done = false;
        if (given == Py_ssize_t(count)) {
            std::array<PyObject*, count> all;
            std::copy(args, args + count, all.begin());
            try {
                done = function(all);
            } catch (...) {  // the long way meets it again
            }
            PyErr_Clear();
        }
        return PyBool_FromLong(done);
    };
    method = {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(called)), METH_FASTCALL,
              signature.c_str()};
    const py::object module_name = m.attr("__name__");
    m.attr(name) = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&method, nullptr, module_name.ptr()));
}

}  // namespace fusednet::bindings
