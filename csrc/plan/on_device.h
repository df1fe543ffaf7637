// What a plan holds of a device: its queue, rows on their way there, rows that stay, a step that is replayed.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "../base/device.h"
#include "step.h"

namespace fusednet {

// A queue of a device, for as long as the plan lives.
class Queue {
public:
    Queue() = default;
    ~Queue() {
        if (queue_) device_->close(queue_);
    }
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    void open(const Device& device);
    void* get() const noexcept { return queue_; }

private:
    const Device* device_ = nullptr;
    void* queue_ = nullptr;
};

// The calling thread works on a queue meanwhile, then on the one that it was on before: Python may run code of another
// model where a call looks for signals.
class Entered {
public:
    Entered(const Device* device, void* queue) noexcept
        : device_(device), before_(device ? device->enter(queue) : nullptr) {}
    Entered(Entered&& other) noexcept : device_(std::exchange(other.device_, nullptr)), before_(other.before_) {}
    ~Entered() {
        if (device_) device_->enter(before_);
    }
    Entered& operator=(Entered&&) = delete;

private:
    const Device* device_;
    void* before_;
};

// The plan is one thread's.
struct Turn {
    std::unique_lock<std::mutex> lock;
    Entered entered;
};

Index bytes_of(Source source) noexcept;

// Where rows of the caller's arrays lie on a device until steps have read them.
class Staging {
public:
    explicit Staging(const Device& device) : device_(device) {}
    ~Staging();
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;
    // Where `bytes` a row of `rows` rows from `data` will lie once they are received; null for null. One side may be
    // sent while steps read the other.
    const void* send_rows(int side, int slot, const void* data, Index stride, Index bytes, const int64_t* order,
                          Index begin, Index rows);

    // So many bytes for what steps leave there, until it is brought back; what lies there is waited for where it has to
    // grow.
    void* results(int side, size_t bytes) { return room(slots_[side][3], bytes); }

private:
    struct Slot {
        void* memory = nullptr;
        size_t bytes = 0;
    };
    void* room(Slot& slot, size_t bytes);
    const Device& device_;
    Slot slots_[2][4];
};

// Rows of the host that results are brought to: `bytes` of each, `stride` apart.
struct ResultRows {
    char* to;
    Index stride;
    size_t bytes;
};
void unpack_rows(const void* rows, const char* from, size_t offset, size_t bytes) noexcept;

struct Staged {
    Rows x;
    Targets y;
};

// A step of so many rows of what is staged there, kept by a device.
struct Captured {
    void* graph = nullptr;
    Index rows = 0;
    Rows x, y;
    const void *labels = nullptr, *weights = nullptr, *order = nullptr;
};

// All of the caller's rows, in the device's memory for as long as they are held: copies, or where they lie there.
struct Held {
    Rows x;
    Targets y;
    Index rows = 0;
    Staged there;
    std::vector<void*> memory;
};

}  // namespace fusednet
