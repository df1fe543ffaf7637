// Arrays of other libraries as ours and ours as theirs: DLPack and __cuda_array_interface__.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <utility>

#include "../cuda/pick.h"
#include "device_array.h"
#include "dlpack.h"

namespace fusednet::bindings {
namespace {

// The first device whose kernels can read it; without elements it may have any address.
const Device& device_of(const std::string& where, const DeviceArray& array) {
    std::string reasons;
    for (const char* const* name = known_devices(); *name; ++name) {
        const char* why = "";
        const DeviceTables tables = device_tables(*name, &why);
        if (tables.float32 && (array.size() == 0 || !(why = tables.float32->device->holds(array.data))))
            return *tables.float32->device;
        reasons += (reasons.empty() ? "" : "; ") + std::string(*name) + ": " + why;
    }
    throw py::type_error(where + " expects an array on a device of this build and machine, got another: " + reasons);
}

const Device& settled(const std::string& where, const DeviceArray& array, Index stream) {
    const Device& device = device_of(where, array);
    if (stream == 0) throw py::value_error(where + " expects a stream that is not 0 in __cuda_array_interface__");
    const auto settle = [&] {
        const py::gil_scoped_release release;
        return device.settle(uintptr_t(stream));
    };
    if (const char* why = stream < 0 ? nullptr : settle())
        throw std::runtime_error(where + " cannot be waited for in stream " + std::to_string(stream) + ": " + why);
    return device;
}

constexpr Index default_stream = 1, no_stream = -1;

py::object made(DeviceArray&& array) {
    return py::cast(std::move(array));
}

py::object from_cuda_interface(const std::string& where, const py::object& producer, const py::dict& given) try {
    const auto field = [&](const char* name) -> py::object {
        return given.contains(name) ? py::object(given[name]) : py::object(py::none());
    };
    if (!field("mask").is_none()) throw py::type_error(where + " expects an array without a mask");
    const auto [address, read_only] = py::cast<std::pair<uintptr_t, bool>>(field("data"));
    DeviceArray array{nullptr,
                      reinterpret_cast<char*>(address),
                      py::dtype::from_args(field("typestr")),
                      py::cast<std::vector<Index>>(field("shape")),
                      {},
                      read_only,
                      producer};
    const char kind = array.dtype.kind();
    if (!(kind == 'f' || kind == 'i' || kind == 'u' || kind == 'b') || array.dtype.itemsize() > 8)
        throw py::type_error(where + " expects real numbers of at most 64 bits, got typestr " +
                             std::string(py::repr(field("typestr"))));
    for (const Index size : array.shape)
        if (size < 0)
            throw py::value_error(where + " expects sizes of at least 0 in __cuda_array_interface__, got shape " +
                                  std::string(py::str(field("shape"))));
    array.strides = field("strides").is_none() ? packed_strides(array.shape, array.dtype.itemsize())
                                               : py::cast<std::vector<Index>>(field("strides"));
    if (array.strides.size() != array.shape.size())
        throw py::value_error(where + " expects a stride for each axis in __cuda_array_interface__");
    // before version 3 nothing says which stream it is written in
    const py::object version = field("version"), stream = field("stream");
    const bool says = !version.is_none() && py::cast<int>(version) >= 3;
    array.device = &settled(where, array,
                            !stream.is_none() ? py::cast<Index>(stream)
                            : says            ? no_stream
                                              : default_stream);
    return made(std::move(array));
} catch (const py::cast_error&) {
    throw py::type_error(where + " expects a __cuda_array_interface__ of version 2 or 3, got " +
                         std::string(py::str(given)));
}

// The capsule is ours from here on: its deleter is called once, after an error too.
template <class M>
py::object from_managed(const std::string& where, const py::object& producer, const py::capsule& capsule, M* managed,
                        const char* used, bool read_only) {
    if (PyCapsule_SetName(capsule.ptr(), used) != 0) throw py::error_already_set();
    const py::capsule owner(managed, "fusednet.dlpack", [](PyObject* held) {
        auto* const m = static_cast<M*>(PyCapsule_GetPointer(held, "fusednet.dlpack"));
        if (m->deleter) m->deleter(m);
    });
    const dlpack::Tensor& t = managed->tensor;
    if (t.place.kind != dlpack::cuda && t.place.kind != dlpack::cuda_managed)
        throw py::type_error(where + " expects DLPack memory of the device that it named, got memory of kind " +
                             std::to_string(t.place.kind));
    if (t.place.number != 0)
        throw py::value_error(where + " expects an array on CUDA device 0, got one on device " +
                              std::to_string(t.place.number));
    const char kind = t.type.code == dlpack::integer            ? 'i'
                      : t.type.code == dlpack::unsigned_integer ? 'u'
                      : t.type.code == dlpack::floating         ? 'f'
                      : t.type.code == dlpack::boolean          ? 'b'
                                                                : '?';
    if (kind == '?' || t.type.lanes != 1 || t.type.bits % 8 || t.type.bits > 64)
        throw py::type_error(where + " expects real numbers of at most 64 bits, got DLPack type " +
                             std::to_string(t.type.code) + " of " + std::to_string(t.type.bits) + " bits");
    const Index itemsize = t.type.bits / 8;
    DeviceArray array{nullptr,
                      static_cast<char*>(t.data) + t.byte_offset,
                      py::dtype(kind + std::to_string(itemsize)),
                      {t.shape, t.shape + t.ndim},
                      {},
                      read_only,
                      py::make_tuple(owner, producer)};
    array.strides = packed_strides(array.shape, itemsize);
    for (Index i = 0; t.strides && i < t.ndim; ++i) array.strides[size_t(i)] = t.strides[i] * itemsize;
    array.device = &settled(where, array, default_stream);
    return made(std::move(array));
}

py::object from_dlpack(const std::string& where, const py::object& producer) {
    const py::object give = producer.attr("__dlpack__");
    const auto asked = [&]() -> py::object {
        try {
            return give(py::arg("stream") = default_stream, py::arg("max_version") = py::make_tuple(1, 0));
        } catch (py::error_already_set& error) {  // a producer from before version 1
            if (!error.matches(PyExc_TypeError)) throw;
            return give(py::arg("stream") = default_stream);
        }
    };
    const py::object got = asked();
    if (PyCapsule_IsValid(got.ptr(), dlpack::versioned_name)) {
        const auto capsule = py::reinterpret_borrow<py::capsule>(got);
        auto* const managed = static_cast<dlpack::Versioned*>(PyCapsule_GetPointer(got.ptr(), dlpack::versioned_name));
        if (managed->major == 1)
            return from_managed(where, producer, capsule, managed, dlpack::used_versioned_name,
                                managed->flags & dlpack::read_only);
        throw py::type_error(where + " expects DLPack 1, got version " + std::to_string(managed->major));
    }
    if (!PyCapsule_IsValid(got.ptr(), dlpack::name))
        throw py::type_error(where + " expects a DLPack capsule from __dlpack__, got " +
                             std::string(py::str(py::type::of(got))));
    return from_managed(where, producer, py::reinterpret_borrow<py::capsule>(got),
                        static_cast<dlpack::Managed*>(PyCapsule_GetPointer(got.ptr(), dlpack::name)), dlpack::used_name,
                        false);
}

template <class M>
py::capsule exported(const py::object& array, const char* name) {
    const auto& a = array.cast<const DeviceArray&>();
    struct Context {
        M managed{};
        std::vector<int64_t> shape, strides;
        py::object array;
    };
    auto context = std::make_unique<Context>();
    context->shape.assign(a.shape.begin(), a.shape.end());
    for (const Index stride : a.strides) context->strides.push_back(stride / a.dtype.itemsize());
    context->array = array;
    const char kind = a.dtype.kind();
    const auto code = uint8_t(kind == 'f'   ? dlpack::floating
                              : kind == 'u' ? dlpack::unsigned_integer
                              : kind == 'b' ? dlpack::boolean
                                            : dlpack::integer);
    M& managed = context->managed;
    managed.tensor = {a.data,
                      {a.device->dlpack, 0},
                      int32_t(a.ndim()),
                      {code, uint8_t(8 * a.dtype.itemsize()), 1},
                      context->shape.data(),
                      context->strides.data(),
                      0};
    if constexpr (std::is_same_v<M, dlpack::Versioned>) {
        managed.major = 1;
        managed.flags = a.read_only ? dlpack::read_only : 0;
    }
    managed.context = context.get();
    managed.deleter = [](M* m) {  // by any thread
        const py::gil_scoped_acquire acquire;
        delete static_cast<Context*>(m->context);
    };
    PyObject* const capsule = PyCapsule_New(&managed, name, [](PyObject* unused) {
        const char* const held = PyCapsule_GetName(unused);
        if (!held || std::string(held).starts_with("used_")) return;
        auto* const m = static_cast<M*>(PyCapsule_GetPointer(unused, held));
        m->deleter(m);
    });
    if (!capsule) throw py::error_already_set();
    context.release();
    return py::reinterpret_steal<py::capsule>(capsule);
}

}  // namespace

py::object as_device_array(const std::string& where, const py::object& value) {
    if (is_device_array(value)) return value;
    if (py::isinstance<py::array>(value)) return py::none();
    if (py::hasattr(value, "__dlpack_device__") && py::hasattr(value, "__dlpack__")) {
        const auto kind = py::cast<std::pair<int, int>>(value.attr("__dlpack_device__")()).first;
        if (kind == dlpack::cuda || kind == dlpack::cuda_managed) return from_dlpack(where, value);
        return py::none();
    }
    if (py::hasattr(value, "__cuda_array_interface__")) {
        const py::object given = value.attr("__cuda_array_interface__");
        if (py::isinstance<py::dict>(given)) return from_cuda_interface(where, value, given);
    }
    return py::none();
}

py::dict cuda_interface(const DeviceArray& a) {
    if (a.device->dlpack != dlpack::cuda)
        throw py::attribute_error("__cuda_array_interface__: the array lies " + place_text(a.device));
    share(a);
    py::dict d;
    d["shape"] = py::tuple(py::cast(a.shape));
    d["typestr"] = a.dtype.attr("str");
    d["data"] = py::make_tuple(reinterpret_cast<uintptr_t>(a.data), a.read_only);
    d["strides"] = a.contiguous() ? py::object(py::none()) : py::object(py::tuple(py::cast(a.strides)));
    d["version"] = 3;
    d["stream"] = py::none();  // nothing is under way
    return d;
}

py::capsule dlpack_of(const py::object& array, const py::object&, const std::optional<std::pair<int, int>>& version,
                      const std::optional<std::pair<int, int>>& device, const std::optional<bool>& copy) {
    const auto& a = array.cast<const DeviceArray&>();
    if (device && *device != std::pair(int(a.device->dlpack), 0))
        throw py::buffer_error("[DeviceArray] __dlpack__ expects the device where the array lies, got another");
    if (copy && *copy) throw py::buffer_error("[DeviceArray] __dlpack__ makes no copy");
    share(a);
    if (version && version->first >= 1) return exported<dlpack::Versioned>(array, dlpack::versioned_name);
    if (a.read_only) throw py::buffer_error("[DeviceArray] __dlpack__ expects max_version of 1 for a read-only array");
    return exported<dlpack::Managed>(array, dlpack::name);
}

}  // namespace fusednet::bindings
