#include "call.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "../plan/arena.h"

namespace fusednet::bindings {
namespace {

thread_local DeviceCall* current_call = nullptr;

constexpr size_t small_bytes = 4096, small_alignment = 64;

// A process has about as many as it has threads at work. Their workspaces stay with them until somebody wants memory.
std::mutex idle_lock;
std::vector<IdleQueue> idle;
std::atomic<pid_t> process = 0;  // the first that used one

void close_queue(const IdleQueue& one) noexcept {
    one.device->release(one.small);
    one.device->close(one.queue);
}

IdleQueue take_queue(const char* op, const Device& device) {
    {
        const std::lock_guard lock(idle_lock);
        if (!process) process = getpid();
        const auto found =
            std::find_if(idle.begin(), idle.end(), [&](const IdleQueue& one) { return one.device == &device; });
        if (found != idle.end()) {
            const IdleQueue queue = *found;
            idle.erase(found);
            return queue;
        }
    }
    const char* why = "";
    void* const queue = device.open(&why);
    if (!queue) throw std::runtime_error(std::string("[") + op + "] device '" + device.name + "': " + why);
    if (void* const small = device.allocate(small_bytes)) return {&device, queue, static_cast<char*>(small)};
    device.close(queue);
    throw DeviceMemoryError(device, small_bytes, op);
}

}  // namespace

DeviceTables usable_tables(const char* op, const Device& device) {
    const char* why = "";
    const DeviceTables tables = device_tables(device.name, &why);
    if (tables.float32) return tables;
    throw std::runtime_error(std::string("[") + op + "] device '" + device.name + "' cannot be used: " + why);
}

HostCall::HostCall() noexcept : before_(std::exchange(current_call, nullptr)) {}
HostCall::~HostCall() {
    current_call = before_;
}

DeviceCall::DeviceCall(const char* op, const Device& device)
    : op_(op),
      device_(device),
      tables_(usable_tables(op, device)),
      queue_(take_queue(op, device)),
      before_(current_call) {
    entered_.emplace(&device_, queue_.queue);
    current_call = this;
}

DeviceCall::~DeviceCall() {
    if (!waited_) device_.wait(nullptr);  // takes a failure with it that was not asked for
    for (void* const memory : rooms_) device_.release(memory);
    current_call = before_;
    entered_.reset();
    const std::lock_guard lock(idle_lock);
    try {
        idle.push_back(queue_);
    } catch (const std::bad_alloc&) {
        close_queue(queue_);
    }
}

void close_idle_queues() noexcept {
    if (getpid() != process) return;  // a child has the lock as some thread had left it
    std::vector<IdleQueue> closed;
    {
        const std::lock_guard lock(idle_lock);
        closed.swap(idle);
    }
    for (const IdleQueue& queue : closed) close_queue(queue);
}

DeviceCall* DeviceCall::current() noexcept {
    return current_call;
}

size_t idle_queues() {
    const std::lock_guard lock(idle_lock);
    return idle.size();
}

void* DeviceCall::room(size_t bytes) {
    const size_t rounded = (bytes + small_alignment - 1) / small_alignment * small_alignment;
    if (rounded <= small_bytes - small_used_) return queue_.small + std::exchange(small_used_, small_used_ + rounded);
    rooms_.reserve(rooms_.size() + 1);
    void* const memory = device_.allocate(bytes ? bytes : 1);
    if (!memory) throw DeviceMemoryError(device_, bytes, op_);
    rooms_.push_back(memory);
    return memory;
}

void DeviceCall::finish() {
    const char* failure = nullptr;
    size_t no_room = 0;
    {
        const py::gil_scoped_release release;
        failure = device_.wait(&no_room);
        waited_ = true;
    }
    if (failure && no_room > 0) throw DeviceMemoryError(device_, no_room, op_);
    if (failure) throw std::runtime_error(std::string("[") + op_ + "] device '" + device_.name + "': " + failure);
}

void Sides::add(const char* name, const py::array& array, const Device* device) {
    if (!first_) first_ = name, device_ = device;
    if (device == device_) return;
    const auto indices = [](const py::array& a) { return a.dtype().kind() == 'i'; };
    if (!device && indices(array)) return;
    throw py::type_error(std::string("[") + op_ + "] '" + name + "' expects an array " + place_text(device_) + " as '" +
                         first_ + "' is, got one " + place_text(device));
}

}  // namespace fusednet::bindings
