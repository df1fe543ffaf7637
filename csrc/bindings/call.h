// A call of fusednet.ops on arrays of a device. `define` registers a function of NumPy arrays; given arrays of a device
// it gets NumPy's descriptions of them, its kernels are the device's, and it is waited for. Nothing else in the
// function changes but for what is not an array: numbers that kernels read (`readable`) and write (`number_of`).
#pragma once

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <type_traits>
#include <vector>

#include "../cuda/pick.h"
#include "../plan/on_device.h"
#include "device_array.h"

namespace fusednet::bindings {

// What a device runs now; raises why it cannot be used, as in a process forked from one that has used it.
DeviceTables usable_tables(const char* op, const Device& device);

class DeviceCall;

// A queue of a device between calls, with some memory there for their small numbers.
struct IdleQueue {
    const Device* device;
    void* queue;
    char* small;
};

// Of all devices: with their workspaces, which are kept as other released memory then.
void close_idle_queues() noexcept;
size_t idle_queues();

// A call on the host within one on a device, as when Python runs a finalizer meanwhile, is on the host.
class HostCall {
public:
    HostCall() noexcept;
    ~HostCall();
    HostCall(const HostCall&) = delete;
    HostCall& operator=(const HostCall&) = delete;

private:
    DeviceCall* const before_;
};

// The device that the calling thread works on, with a queue for as long as it does.
class DeviceCall {
public:
    DeviceCall(const char* op, const Device& device);
    ~DeviceCall();
    DeviceCall(const DeviceCall&) = delete;
    DeviceCall& operator=(const DeviceCall&) = delete;

    static DeviceCall* current() noexcept;  // null: the host

    const Device& device() const noexcept { return device_; }
    template <class T>
    const Table<T>& table() const {
        if constexpr (sizeof(T) == 8)
            return *tables_.float64;
        else
            return *tables_.float32;
    }
    // Until the call ends, what is small in memory that the queue keeps. Nothing is written yet.
    void* room(size_t bytes);
    template <class A>
    A* sent(const A* from, Index count) {
        void* const to = room(size_t(count) * sizeof(A));
        device_.upload(to, from, size_t(count) * sizeof(A));
        return static_cast<A*>(to);
    }
    // Waits and raises what has failed.
    void finish();

private:
    const char* const op_;
    const Device& device_;
    const DeviceTables tables_;
    const IdleQueue queue_;
    size_t small_used_ = 0;
    bool waited_ = false;
    DeviceCall* const before_;
    std::optional<Entered> entered_;
    std::vector<void*> rooms_;
};

// `count` numbers of the host where kernels read them.
template <class A>
const A* readable(const A* from, Index count) {
    DeviceCall* const call = DeviceCall::current();
    return call && from ? call->sent(from, count) : from;
}

// The number that a kernel writes: f is given the place for it.
template <class F>
double number_of(const F& f) {
    double value = 0;
    DeviceCall* const call = DeviceCall::current();
    if (!call) {
        f(&value);
        return value;
    }
    double* const place = call->sent(&value, 1);
    f(place);
    call->device().download(&value, place, sizeof value);
    return value;
}

// An array that may be looked at: the one given, or a copy of one that lies on a device.
inline py::array looked_at(const py::array& array) {
    const DeviceArray* const there = on_device(array);
    return there ? to_host(*there) : array;
}

// Stays on the host whatever the others do.
class HostArray : public py::array {
public:
    using py::array::array;
};

// How a parameter comes from Python, and what a function of NumPy arrays gets of it. An array is also told to `look`.
template <class A>
struct Given {
    using From = A;
    static A to(From from) { return static_cast<A>(from); }
    template <class Look>
    static void look(const std::remove_reference_t<A>&, const Look&) {}
};
template <>
struct Given<const py::array&> {
    using From = const Operand&;
    static const py::array& to(From from) { return from; }
    template <class Look>
    static void look(From from, const Look& look) {
        look(from, from.device);
    }
};
template <>
struct Given<const HostArray&> {
    using From = const py::array&;
    static HostArray to(From from) { return py::reinterpret_borrow<HostArray>(from); }
    template <class Look>
    static void look(From, const Look&) {}
};
template <>
struct Given<const std::optional<py::array>&> {
    using From = const std::optional<Operand>&;
    static std::optional<py::array> to(From from) { return from ? std::optional<py::array>(*from) : std::nullopt; }
    template <class Look>
    static void look(From from, const Look& look) {
        if (from) look(*from, from->device);
    }
};
template <>
struct Given<const std::vector<py::array>&> {
    using From = const std::vector<Operand>&;
    static std::vector<py::array> to(From from) { return {from.begin(), from.end()}; }
    template <class Look>
    static void look(From from, const Look& look) {
        for (const Operand& operand : from) look(operand, operand.device);
    }
};
template <>
struct Given<const py::object&> {
    using From = const py::object&;
    static py::object to(From from) { return is_device_array(from) ? description(from) : from; }
    template <class Look>
    static void look(From from, const Look& look) {
        if (py::isinstance<py::array>(from))
            look(py::reinterpret_borrow<py::array>(from), nullptr);
        else if (is_device_array(from))
            look(py::array(), from.cast<const DeviceArray&>().device);
    }
};

// Where the arrays of a call lie: all on one device. Those of labels and indices may be the host's, which looks at
// them.
class Sides {
public:
    explicit Sides(const char* op) : op_(op) {}
    void add(const char* name, const py::array& array, const Device* device);
    const Device& device() const { return *device_; }

private:
    const char *const op_, *first_ = nullptr;
    const Device* device_ = nullptr;
};

template <class R, class... Args, class... Extra>
void define(py::module_& m, const char* op, R (*function)(Args...), const Extra&... extra) {
    static_assert(sizeof...(Args) == sizeof...(Extra), "a name for each argument");
    const std::array<const char*, sizeof...(Args)> names{static_cast<const py::arg&>(extra).name...};
    m.def(
        op,
        [=](typename Given<Args>::From... given) -> R {
            bool any = false;
            const auto find = [&](const auto&, const Device* device) { any = any || device; };
            (Given<Args>::look(given, find), ...);
            if (!any) {
                const HostCall host;
                return function(Given<Args>::to(given)...);
            }
            Sides sides(op);
            size_t i = 0;
            const auto add = [&](const auto& array, const Device* device) { sides.add(names[i], array, device); };
            ((Given<Args>::look(given, add), ++i), ...);
            DeviceCall call(op, sides.device());
            if constexpr (std::is_void_v<R>) {
                function(Given<Args>::to(given)...);
                call.finish();
            } else {
                R result = function(Given<Args>::to(given)...);
                call.finish();
                return result;
            }
        },
        extra...);
}

}  // namespace fusednet::bindings
