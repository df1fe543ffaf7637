// Rows of the caller's arrays on their way to a device: packed by all threads into memory that its copies read from,
// and there while the steps before them run.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <tuple>

#include "../cpu/pool.h"
#include "plan.h"

namespace fusednet {
namespace {

constexpr Index source_bytes[] = {sizeof(uint8_t), sizeof(float), sizeof(double)};
constexpr size_t packed_a_task = size_t(256) << 10;  // some 20 µs

// Rows `stride` bytes apart, as they come in the order, or one after the other where that is null.
struct HostRows {
    const char* data;
    Index stride;
    size_t bytes;  // of one
    const int64_t* order;
    const char* row(size_t i) const noexcept { return data + (order ? Index(order[i]) : Index(i)) * stride; }
};

// So many bytes of them from `offset` on, side by side.
void pack_part(const HostRows& rows, char* to, size_t offset, size_t bytes) noexcept {
    if (!rows.order && size_t(rows.stride) == rows.bytes) {
        std::memcpy(to, rows.data + offset, bytes);
        return;
    }
    size_t i = offset / rows.bytes, at = offset % rows.bytes;
    for (size_t n = 0; bytes > 0; ++i, at = 0, to += n, bytes -= n) {
        n = std::min(bytes, rows.bytes - at);
        std::memcpy(to, rows.row(i) + at, n);
    }
}

// By all threads: `part` of so many bytes from an offset on.
template <class Part>
void in_parts(size_t bytes, const Part& part) noexcept {
    struct Job {
        const Part& part;
        size_t bytes;
    } job{part, bytes};
    const Task task = [](void* context, Index i, void*) {
        const auto& held = *static_cast<const Job*>(context);
        const size_t first = size_t(i) * packed_a_task;
        held.part(first, std::min(packed_a_task, held.bytes - first));
    };
    run_tasks(divide_up(Index(bytes), Index(packed_a_task)), task, &job, nullptr, false);
}

void pack(const void* from, char* to, size_t offset, size_t bytes) noexcept {
    const auto& rows = *static_cast<const HostRows*>(from);
    in_parts(bytes, [&](size_t first, size_t n) { pack_part(rows, to + first, offset + first, n); });
}

void unpack_part(const ResultRows& rows, const char* from, size_t offset, size_t bytes) noexcept {
    if (size_t(rows.stride) == rows.bytes) {
        std::memcpy(rows.to + offset, from, bytes);
        return;
    }
    size_t i = offset / rows.bytes, at = offset % rows.bytes;
    for (size_t n = 0; bytes > 0; ++i, at = 0, from += n, bytes -= n) {
        n = std::min(bytes, rows.bytes - at);
        std::memcpy(rows.to + Index(i) * rows.stride + at, from, n);
    }
}

void send(const Device& device, void* to, const void* data, Index stride, Index bytes, const int64_t* order,
          Index begin, Index rows) noexcept {
    const HostRows from{static_cast<const char*>(data) + (order ? 0 : begin * stride), stride, size_t(bytes),
                        order ? order + begin : nullptr};
    device.send(to, size_t(rows * bytes), pack, &from);
}

}  // namespace

void unpack_rows(const void* to, const char* from, size_t offset, size_t bytes) noexcept {
    const auto& rows = *static_cast<const ResultRows*>(to);
    in_parts(bytes, [&](size_t first, size_t n) { unpack_part(rows, from + first, offset + first, n); });
}

Staging::~Staging() {
    for (auto& side : slots_)
        for (Slot& slot : side) device_.release(slot.memory);
}

void* Staging::room(Slot& slot, size_t bytes) {
    if (bytes <= slot.bytes) return slot.memory;
    size_t no_room = 0;
    if (const char* const failure = slot.memory ? device_.wait(&no_room) : nullptr) {  // for what reads it
        if (no_room > 0) throw DeviceMemoryError(device_, no_room);
        throw std::runtime_error(std::string("[Plan] device '") + device_.name + "': " + failure);
    }
    device_.release(slot.memory);
    slot = {};
    slot.memory = device_.allocate(bytes);
    if (!slot.memory) throw DeviceMemoryError(device_, bytes);
    slot.bytes = bytes;
    return slot.memory;
}

const void* Staging::send_rows(int side, int slot, const void* data, Index stride, Index bytes, const int64_t* order,
                               Index begin, Index rows) {
    if (!data) return nullptr;
    void* const to = room(slots_[side][slot], size_t(rows) * size_t(bytes));
    send(device_, to, data, stride, bytes, order, begin, rows);
    return to;
}

Index bytes_of(Source source) noexcept {
    return source_bytes[int(source)];
}

// The caller's rows from `begin` on, as they come in the order, in the device's memory once they are received. What
// lies there already is read where it is, so that it has no order.
template <class T>
Staged Plan<T>::send_rows(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index rows, int side) {
    Staged staged;
    const auto rows_of = [&](const Rows& from, int slot, Index cols) -> Rows {
        if (from.there)
            return {static_cast<const char*>(from.data) + begin * from.row_bytes, from.row_bytes, from.source};
        const Index bytes = cols * bytes_of(from.source);
        return {staging_->send_rows(side, slot, from.data, from.row_bytes, bytes, order, begin, rows), bytes,
                from.source};
    };
    staged.x = rows_of(x, 0, input_.cols);
    if (y.labels)
        staged.y.labels = static_cast<const int32_t*>(
            staging_->send_rows(side, 1, y.labels, sizeof(int32_t), sizeof(int32_t), order, begin, rows));
    if (y.values.data) staged.y.values = rows_of(y.values, 1, output_.cols);
    staged.y.weights = static_cast<const double*>(
        staging_->send_rows(side, 2, y.weights, sizeof(double), sizeof(double), order, begin, rows));
    return staged;
}

template <class T>
Staged Plan<T>::stage(const Rows& x, const Targets& y, Index begin, Index rows) {
    const Staged staged = send_rows(x, y, nullptr, begin, rows, 0);
    table_.device->receive();
    return staged;
}

template <class T>
bool Plan<T>::is_held(const Rows& x, const Targets& y, const int64_t* order, Index begin, Index end) const noexcept {
    const auto same = [](const Rows& a, const Rows& b) {
        return std::tie(a.data, a.row_bytes, a.source, a.there) == std::tie(b.data, b.row_bytes, b.source, b.there);
    };
    const Index last = begin < end && order ? Index(*std::max_element(order + begin, order + end)) : end - 1;
    return held_.x.data && last < held_.rows && same(held_.x, x) && same(held_.y.values, y.values) &&
           held_.y.labels == y.labels && held_.y.weights == y.weights;
}

template <class T>
void Plan<T>::hold(const Rows& x, const Targets& y, Index rows) {
    if (!table_.device) return;
    const Turn turn = use();
    keep_there(x, y, rows);
}

template <class T>
void Plan<T>::keep_there(const Rows& x, const Targets& y, Index rows) {
    let_go();
    size_t free = 0, total = 0;
    table_.device->memory(&free, &total);
    const auto bytes = [&](const Rows& r, Index cols) { return r.data && !r.there ? cols * bytes_of(r.source) : 0; };
    const Index x_bytes = bytes(x, input_.cols), y_bytes = bytes(y.values, output_.cols);
    const Index row_bytes =
        x_bytes + y_bytes + (y.labels ? Index(sizeof *y.labels) : 0) + (y.weights ? Index(sizeof *y.weights) : 0);
    if (!x.there && double(rows) * double(row_bytes) > 0.5 * double(free)) return;  // they come in turns then
    const auto keep_rows = [&](const void* data, Index stride, Index width) -> const void* {
        if (!data) return nullptr;
        void* const memory = table_.device->allocate(size_t(rows * width));
        if (!memory) return nullptr;
        held_.memory.push_back(memory);
        send(*table_.device, memory, data, stride, width, nullptr, 0, rows);
        return memory;
    };
    const auto keep = [&](const Rows& r, Index width) {
        return r.there ? r : Rows{keep_rows(r.data, r.row_bytes, width), width, r.source};
    };
    Staged& there = held_.there;
    there.x = keep(x, x_bytes);
    there.y.labels = static_cast<const int32_t*>(keep_rows(y.labels, sizeof *y.labels, sizeof *y.labels));
    there.y.values = keep(y.values, y_bytes);
    there.y.weights = static_cast<const double*>(keep_rows(y.weights, sizeof *y.weights, sizeof *y.weights));
    table_.device->receive();
    const size_t wanted =
        size_t(x_bytes > 0) + size_t(y_bytes > 0) + size_t(y.labels != nullptr) + size_t(y.weights != nullptr);
    if (held_.memory.size() < wanted) {  // no room after all
        let_go();
        if (x.there) throw DeviceMemoryError(*table_.device, size_t(rows * row_bytes));
        return;
    }
    if (!table_.device->brought(0)) {  // something did not get there
        try {
            check_device();
        } catch (...) {
            let_go();
            throw;
        }
    }
    held_.x = x;
    held_.y = y;
    held_.rows = rows;
}

template <class T>
void Plan<T>::release() {
    if (!table_.device) return;
    const Turn turn = use();
    let_go();
}

template <class T>
void Plan<T>::let_go() noexcept {
    if (!held_.memory.empty()) table_.device->wait(nullptr);  // for what reads it
    for (void* memory : held_.memory) table_.device->release(memory);
    held_ = {};
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
