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

inline void add_one(unsigned long long* counter) {
    ++*counter;
}

#include "launch.h"

#include "vec_float.h"

#include "../cpu/math.h"

#include "../cpu/wide.h"

constexpr Index lanes = 1;

#include "kernels.h"

extern const Table<T> table;
constinit const Table<T> table = make_table("cuda_emulated");

}  // namespace fusednet::cuda_emulated
