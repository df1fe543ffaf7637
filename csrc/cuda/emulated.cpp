// The device's kernels on the host: blocks and threads are loops, the device's memory is the host's. Compiled for tests
// only, so that they can be held against the truth without a device.
#include <cstdlib>
#include <new>

#include "target.h"

namespace fusednet::cuda_emulated {

// Memory for a kernel's partial results, until the next kernel asks for the same space.
enum class Space { own, parts, count };

class Workspace {
public:
    ~Workspace() {
        for (void* p : data_) std::free(p);
    }
    void* get(Space space, size_t bytes) noexcept {
        void*& p = data_[int(space)];
        std::free(p);
        p = std::malloc(bytes + 1);
        __builtin_memset(p, 0xff, bytes);
        return p;
    }

private:
    void* data_[int(Space::count)] = {};
};

template <class A>
A* workspace(Space space, Index count) noexcept {
    static thread_local Workspace held;
    return static_cast<A*>(held.get(space, size_t(count) * sizeof(A)));
}

// What of the device the calling thread has entered.
struct Queue {
    const int32_t* guard = nullptr;
};
thread_local Queue* queue = nullptr;

inline bool halted() noexcept {
    return queue && queue->guard && *queue->guard != 0;
}

inline void add_one(unsigned long long* counter) {
    ++*counter;
}

#include "launch.h"

#include "../base/philox.h"

namespace float32 {

#include "vec_float.h"

#include "../cpu/math.h"

#include "../cpu/wide.h"

constexpr Index lanes = 1;

#include "kernels.h"

constexpr Table<T> made = make_table("cuda_emulated");

}  // namespace float32

namespace float64 {

#include "../cpu/vec_float64.h"

#include "kernels.h"

constexpr Table<T> made = make_table("cuda_emulated");

}  // namespace float64

extern const Table<float> table;
extern const Table<double> table64;
constinit const Table<float> table = float32::made;
constinit const Table<double> table64 = float64::made;

namespace {

void* open(const char**) noexcept {
    return new (std::nothrow) Queue;
}
void close(void* q) noexcept {
    if (queue == q) queue = nullptr;
    delete static_cast<Queue*>(q);
}
void enter(void* q) noexcept {
    queue = static_cast<Queue*>(q);
}
// Full of NaN: what is read has to have been written.
void* allocate(size_t bytes) noexcept {
    void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (memory) __builtin_memset(memory, 0xff, bytes);
    return memory;
}
void release(void* memory) noexcept {
    std::free(memory);
}
void memory(size_t* free, size_t* total) noexcept {
    *free = *total = 0;
}
void clear(void* to, size_t bytes) noexcept {
    __builtin_memset(to, 0, bytes);
}
void copy(void* to, const void* from, size_t bytes) noexcept {
    __builtin_memcpy(to, from, bytes);
}
void guard(const int32_t* status) noexcept {
    queue->guard = status;
}
void judge_step(const Judgement& judgement) noexcept {
    if (!halted()) judge(judgement);
}
const char* wait() noexcept {
    return nullptr;
}

}  // namespace

extern const Device device;
constinit const Device device = {.name = "cuda_emulated",
                                 .open = open,
                                 .close = close,
                                 .enter = enter,
                                 .allocate = allocate,
                                 .release = release,
                                 .memory = memory,
                                 .clear = clear,
                                 .upload = copy,
                                 .download = copy,
                                 .guard = guard,
                                 .judge = judge_step,
                                 .wait = wait};

}  // namespace fusednet::cuda_emulated
