// Arrays in a device's memory: our own, and those that other libraries hand over.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../base/device.h"
#include "../base/table.h"

namespace fusednet::bindings {

namespace py = pybind11;

// A view of memory that `owner` keeps. All that was asked of it is done: whoever wrote there has waited.
struct DeviceArray {
    const Device* device;
    char* data;
    py::dtype dtype;
    std::vector<Index> shape, strides;  // strides in bytes
    bool read_only;
    py::object owner;

    Index ndim() const { return Index(shape.size()); }
    Index size() const;
    bool contiguous() const { return contiguous_from(0); }
    bool contiguous_from(size_t axis) const;  // are the elements of one index of the axes before it side by side?
};

extern PyTypeObject* device_array_type;  // final
inline bool is_device_array(const py::handle& object) {
    return Py_TYPE(object.ptr()) == device_array_type;
}

std::vector<Index> packed_strides(const std::vector<Index>& shape, Index itemsize);

// Memory of its own, with nothing written yet.
DeviceArray empty_device_array(const std::string& where, const Device& device, const py::dtype& dtype,
                               std::vector<Index> shape);
// Before another library learns the address: what it has under way there is waited for when the memory is let go.
void share(const DeviceArray& array);
py::array to_host(const DeviceArray& array);
// The same memory, if another library's array lies on a device; none if it is something else. Its producer's work is
// waited for.
py::object as_device_array(const std::string& where, const py::object& value);
// What others ask of ours.
py::dict cuda_interface(const DeviceArray& array);
py::capsule dlpack_of(const py::object& array, const py::object& stream,
                      const std::optional<std::pair<int, int>>& version,
                      const std::optional<std::pair<int, int>>& device, const std::optional<bool>& copy);

// NumPy's description of it: shape, type and address, for checks. Nobody may look at its elements, so Python never
// sees it.
py::array description(const py::handle& array);
// Is it such a description? Null: an array of the host.
const DeviceArray* on_device(const py::array& array);

inline std::string place_text(const Device* device) {
    return device ? "on device '" + std::string(device->name) + "'" : "of the host";
}

// An argument that may be either, a description where it lies on a device.
class Operand : public py::array {
public:
    Operand() : py::array(py::handle(), borrowed_t{}) {}
    const Device* device = nullptr;
};

}  // namespace fusednet::bindings

namespace pybind11::detail {

template <>
struct type_caster<fusednet::bindings::Operand> {
    PYBIND11_TYPE_CASTER(fusednet::bindings::Operand, const_name("numpy.ndarray"));
    bool load(handle from, bool) {
        using namespace fusednet::bindings;
        if (isinstance<array>(from)) {
            static_cast<array&>(value) = reinterpret_borrow<array>(from);
            return true;
        }
        if (!is_device_array(from)) return false;
        static_cast<array&>(value) = description(from);
        value.device = from.cast<const DeviceArray&>().device;
        return true;
    }
};

}  // namespace pybind11::detail
