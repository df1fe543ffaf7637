// What the cases of runtime.cpp, device.cpp and cache.cpp have in common: a queue, memory, kernels that the stand-in
// runs.
#pragma once

#include <functional>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../csrc/cuda/device.h"
#include "../../csrc/cuda/program.h"
#include "../../csrc/cuda/runtime.h"
#include "stand_in.h"

namespace fusednet::cuda {

extern const Device device;

// A program's kernel as a kernel on the device finds it.
extern const Record* running;

// As launch.h does it.
template <class K>
void launch(const char* name, const K& kernel) {
    static_assert(sizeof(K) <= sizeof(Record::kernel) && std::is_trivially_copyable_v<K>);
    if (failed()) return;
    if (!recording()) {
        (void)stand_in::launch(stream(), kernel);
        return note_launch(name);
    }
    Record* const to = next_record();
    if (!to) return;
    (void)stand_in::launch(stream(), [=] {
        Record& record = *reinterpret_cast<Record*>(stand_in::at(to, sizeof(Record)));
        record.run = [](int) { (*reinterpret_cast<const K*>(running->kernel))(); };
        new (record.kernel) K(kernel);
    });
    note_launch(name);
}

// to[i] = from[i] + add
struct Add {
    char* to;
    const char* from;
    size_t bytes;
    int add;
    void operator()() const {
        char* const t = stand_in::at(to, bytes);
        const char* const f = stand_in::at(from, bytes);
        for (size_t i = 0; i < bytes; ++i) t[i] = char(f[i] + add);
    }
};
inline void add(char* to, const char* from, size_t bytes, int by) {
    launch("add", Add{to, from, bytes, by});
}

}  // namespace fusednet::cuda

namespace cases {

using fusednet::cuda::add;
using fusednet::cuda::device;

// Says what is wrong, and the process ends with 1.
void check(bool right, const char* what, int line);
bool all_right();
#define CHECK(...) ::cases::check(bool(__VA_ARGS__), #__VA_ARGS__, __LINE__)

std::string text(const char* told);  // "" for null
std::string told();                  // by `wait`

// Bytes that differ from seed to seed and from place to place.
std::vector<char> bytes(size_t count, unsigned seed);
std::vector<char> plus(std::vector<char> all, int add);

// A queue that is entered, and left and closed at the end.
class Queue {
public:
    Queue();
    ~Queue();
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    void* get() const { return queue_; }

private:
    const char* why_ = "";
    void *queue_, *before_;
};

// The device's memory, given back at the end.
class Array {
public:
    explicit Array(size_t size);
    ~Array() { device.release(at_); }
    Array(Array&& other) noexcept : size_(other.size_), at_(std::exchange(other.at_, nullptr)) {}
    Array& operator=(Array&&) = delete;
    char* get() const { return at_; }
    size_t size() const { return size_; }
    const std::string& refused() const { return refused_; }  // what a plan says where there is none
    void upload(const std::vector<char>& from) const { device.upload(at_, from.data(), size_); }
    void send(const std::vector<char>& from) const;  // packs what it is asked for in order, once
    std::vector<char> download() const;
    void bring(std::vector<char>& back) const;  // appended in order

private:
    size_t size_;
    char* at_;
    std::string refused_;
};

using Case = void (*)();
struct Named {
    const char* name;
    Case run;
};
extern const std::vector<Named> transfers, memory, failures, every, library;

// So many bytes at once are refused, or the nth object that is asked for without an exception; 0: none.
extern size_t host_memory_up_to;
extern int object_refused;

// Another process: what it printed last, or how it ended.
std::string in_another_process(const std::function<std::string()>& work);

}  // namespace cases
