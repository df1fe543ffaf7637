#include "device_array.h"

#include <memory>

#include "../cuda/pick.h"
#include "../plan/arena.h"
#include "call.h"
#include "register.h"

namespace fusednet::bindings {
namespace {

std::string shape_text(const std::vector<Index>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

// Countless where they are more than can be counted, though there be an axis without any: strides are products, too.
size_t bytes_of(const std::vector<Index>& shape, size_t itemsize) {
    size_t bytes = itemsize;
    bool none = false;
    for (const Index size : shape) {
        none = none || size == 0;
        if (size != 0 && __builtin_mul_overflow(bytes, size, &bytes)) return countless;
    }
    return none && bytes <= most_bytes ? 0 : bytes;
}

// Bytes before and behind the first element's address that a view reaches.
std::pair<Index, Index> reach(const DeviceArray& a) {
    Index low = 0, high = a.dtype.itemsize();
    for (Index i = 0; i < a.ndim(); ++i) {
        const Index extent = (a.shape[size_t(i)] - 1) * a.strides[size_t(i)];
        (extent < 0 ? low : high) += extent;
    }
    return a.size() ? std::pair(low, high) : std::pair(Index(0), Index(0));
}

// Of an array of ours and its views.
struct Memory {
    Memory(const Device& d, void* m) : device(d), memory(m) {}
    ~Memory() { shared ? device.discard(memory) : device.release(memory); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    const Device& device;
    void* const memory;
    bool shared = false;
};
constexpr const char* memory_name = "fusednet.memory";

const Device* find_named(const std::string& where, const std::string& name) {
    const char* why = "there is no such device";
    const DeviceTables tables = name == "cpu" ? DeviceTables{} : device_tables(name.c_str(), &why);
    if (tables.float32) return tables.float32->device;
    throw std::runtime_error(where + "device '" + name + "' cannot be used: " + why);
}

DeviceArray from_host(const py::array& values, const std::string& device) {
    const char* op = "device_array";
    const Device* const found = find_named("[device_array] ", device);
    const char kind = values.dtype().kind();
    if (!(kind == 'f' || kind == 'i' || kind == 'u' || kind == 'b') || values.itemsize() > 8)
        throw py::type_error("[device_array] expects real numbers of at most 64 bits, got " +
                             std::string(py::str(values.dtype())));
    DeviceArray array = empty_device_array(op, *found, values.dtype().attr("newbyteorder")("="),
                                           {values.shape(), values.shape() + values.ndim()});
    const py::array packed = values.attr("astype")(array.dtype, py::arg("order") = "C", py::arg("copy") = false);
    DeviceCall call(op, *found);
    {
        const void* const from = packed.data();
        const auto bytes = size_t(packed.nbytes());
        const py::gil_scoped_release release;
        found->upload(array.data, from, bytes);
    }
    call.finish();
    return array;
}

// Elements side by side may be cut anew; else the axes behind the first, as long as that stays.
DeviceArray reshaped(const DeviceArray& a, const py::args& sizes) {
    const bool one = sizes.size() == 1 && !py::isinstance<py::int_>(sizes[0]);
    const py::object given = one ? py::object(sizes[0]) : py::object(sizes);
    std::vector<Index> shape;
    try {
        shape = py::cast<std::vector<Index>>(given);
    } catch (const py::cast_error&) {
        throw py::type_error("[DeviceArray] reshape expects sizes of 64 bits, got " + std::string(py::repr(given)));
    }
    const std::vector<Index> asked = shape;
    Index known = 1, *open = nullptr;
    bool fits = true;
    for (Index& size : shape) {
        if (size == -1 && !open)
            open = &size;
        else
            fits = fits && size >= 0 && !__builtin_mul_overflow(known, size, &known);
    }
    if (open && fits) *open = known > 0 ? a.size() / known : 0;
    if (!fits || known * (open ? *open : 1) != a.size())
        throw py::value_error("[DeviceArray] reshape expects " + std::to_string(a.size()) + " elements, got shape " +
                              shape_text(asked));
    DeviceArray view = a;
    view.strides = packed_strides(shape, a.dtype.itemsize());
    if (!a.contiguous()) {
        if (!a.contiguous_from(1) || shape.empty() || shape[0] != a.shape[0])
            throw py::value_error("[DeviceArray] reshape expects a C-contiguous array, or one whose rows are and stay");
        view.strides[0] = a.strides[0];
    }
    view.shape = shape;
    return view;
}

DeviceArray rows(const DeviceArray& a, const py::slice& slice) {
    if (a.ndim() < 1) throw py::index_error("[DeviceArray] expects at least one axis to slice");
    py::ssize_t start = 0, stop = 0, step = 0, count = 0;
    if (!slice.compute(a.shape[0], &start, &stop, &step, &count)) throw py::error_already_set();
    DeviceArray view = a;
    if (count > 0) view.data += start * a.strides[0];
    view.shape[0] = count;
    view.strides[0] = a.strides[0] * step;
    return view;
}

DeviceArray transposed(const DeviceArray& a) {
    DeviceArray view = a;
    view.shape.assign(a.shape.rbegin(), a.shape.rend());
    view.strides.assign(a.strides.rbegin(), a.strides.rend());
    return view;
}

}  // namespace

PyTypeObject* device_array_type = nullptr;

Index DeviceArray::size() const {
    Index n = 1;
    for (const Index one : shape) n *= one;
    return n;
}

bool DeviceArray::contiguous_from(size_t axis) const {
    Index next = dtype.itemsize();
    for (size_t i = shape.size(); i-- > axis; next *= shape[i])
        if (shape[i] > 1 && strides[i] != next && size() > 0) return false;
    return true;
}

std::vector<Index> packed_strides(const std::vector<Index>& shape, Index itemsize) {
    std::vector<Index> strides(shape.size());
    for (size_t i = shape.size(); i-- > 0; itemsize *= shape[i]) strides[i] = itemsize;
    return strides;
}

void share(const DeviceArray& a) {
    if (PyCapsule_IsValid(a.owner.ptr(), memory_name))
        static_cast<Memory*>(PyCapsule_GetPointer(a.owner.ptr(), memory_name))->shared = true;
}

DeviceArray empty_device_array(const std::string& where, const Device& device, const py::dtype& dtype,
                               std::vector<Index> shape) {
    usable_tables(where.c_str(), device);
    const size_t bytes = bytes_of(shape, size_t(dtype.itemsize()));
    void* const memory = bytes <= most_bytes ? device.allocate(bytes) : nullptr;
    if (!memory) throw DeviceMemoryError(device, bytes, where.c_str());
    auto held = std::make_unique<Memory>(device, memory);
    const py::capsule owner(held.get(), memory_name, [](PyObject* capsule) {
        delete static_cast<Memory*>(PyCapsule_GetPointer(capsule, memory_name));
    });
    (void)held.release();
    const std::vector<Index> strides = packed_strides(shape, dtype.itemsize());
    return {&device, static_cast<char*>(memory), dtype, std::move(shape), strides, false, owner};
}

py::array to_host(const DeviceArray& a) {
    const auto [low, high] = reach(a);
    py::array bytes(py::dtype::of<char>(), std::vector<Index>{high - low});
    void* const to = bytes.mutable_data();
    {
        DeviceCall call("numpy", *a.device);
        if (high > low) {
            const py::gil_scoped_release release;
            a.device->download(to, a.data + low, size_t(high - low));
        }
        call.finish();
    }
    const py::array there(a.dtype, a.shape, a.strides, static_cast<char*>(to) - low, bytes);
    return a.contiguous() ? there : py::array(there.attr("copy")());
}

py::array description(const py::handle& array) {
    const auto& a = array.cast<const DeviceArray&>();
    alignas(64) static char nothing[64];  // for arrays without elements, whose address NumPy asks for all the same
    py::array described(a.dtype, a.shape, a.strides, a.data ? a.data : nothing, array);
    if (a.read_only) py::detail::array_proxy(described.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return described;
}

const DeviceArray* on_device(const py::array& array) {
    const py::handle base = array.base();
    return base && is_device_array(base) ? &base.cast<const DeviceArray&>() : nullptr;
}

void register_device_array(py::module_& m) {
    using py::arg;
    py::class_<DeviceArray> type(m, "DeviceArray", py::is_final(),
                                 R"(An array in a device's memory: a container, without arithmetic.

`fusednet.device_array` makes one, `fusednet.ops` compute with them, models train on them, and `numpy()` copies one
back. CuPy, PyTorch and JAX share the memory through DLPack or `__cuda_array_interface__`.
)");
    device_array_type = reinterpret_cast<PyTypeObject*>(type.ptr());
    type.def_property_readonly("shape", [](const DeviceArray& a) { return py::tuple(py::cast(a.shape)); })
        .def_property_readonly("strides", [](const DeviceArray& a) { return py::tuple(py::cast(a.strides)); })
        .def_property_readonly("dtype", [](const DeviceArray& a) { return a.dtype; })
        .def_property_readonly("device", [](const DeviceArray& a) { return a.device->name; })
        .def_property_readonly("ndim", &DeviceArray::ndim)
        .def_property_readonly("size", &DeviceArray::size)
        .def_property_readonly("itemsize", [](const DeviceArray& a) { return a.dtype.itemsize(); })
        .def_property_readonly("nbytes", [](const DeviceArray& a) { return a.size() * a.dtype.itemsize(); })
        .def_property_readonly("c_contiguous", &DeviceArray::contiguous)
        .def_property_readonly("writeable", [](const DeviceArray& a) { return !a.read_only; })
        .def_property_readonly("T", &transposed)
        .def("numpy", &to_host, "A copy as a NumPy array.")
        .def("reshape", &reshaped, "The same memory in another shape: all of it, or the axes behind the first.")
        .def("__getitem__", &rows, arg("rows"))
        .def("__len__",
             [](const DeviceArray& a) {
                 if (a.shape.empty()) throw py::type_error("[DeviceArray] len expects at least one axis");
                 return a.shape[0];
             })
        .def("__array__",
             [](const DeviceArray& a, const py::args&, const py::kwargs&) -> py::array {
                 throw py::type_error("[DeviceArray] NumPy expects an array of the host, got one " +
                                      place_text(a.device) + ": numpy() makes a copy");
             })
        .def("__repr__",
             [](const DeviceArray& a) {
                 return "<DeviceArray " + shape_text(a.shape) + " " + std::string(py::str(a.dtype)) + " " +
                        place_text(a.device) + ">";
             })
        .def_property_readonly("__cuda_array_interface__", &cuda_interface)
        .def("__dlpack__", &dlpack_of, py::kw_only(), arg("stream") = py::none(), arg("max_version") = py::none(),
             arg("dl_device") = py::none(), arg("copy") = py::none())
        .def("__dlpack_device__", [](const DeviceArray& a) { return py::make_tuple(a.device->dlpack, 0); });
    m.def("device_array", &from_host, arg("values"), arg("device"));
    m.def(
        "keep_device_memory",
        [](const std::string& device, size_t bytes) { find_named("[keep_device_memory] ", device)->keep(bytes); },
        arg("device"), arg("bytes"));
    make_room_by(close_idle_queues);
    m.def("trim_devices", [] {
        close_idle_queues();
        trim_devices();
    });
    m.def("idle_device_queues", &idle_queues);
    m.def(
        "kept_device_memory",
        [](const std::string& device) { return find_named("[kept_device_memory] ", device)->kept(); }, arg("device"));
    m.def(
        "device_empty",
        [](const std::vector<Index>& shape, const py::dtype& dtype, const DeviceArray& like) {
            return empty_device_array("DeviceArray", *like.device, dtype, shape);
        },
        arg("shape"), arg("dtype"), arg("like"));
    m.def("as_device_array", &as_device_array, arg("where"), arg("value"));
}

}  // namespace fusednet::bindings
