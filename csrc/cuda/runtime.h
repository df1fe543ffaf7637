// The queue that the calling thread has entered, as kernels and products see it: where they run, memory for what they
// leave half done, and what failed. Nothing here needs CUDA's headers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "text.h"

struct CUstream_st;

namespace fusednet::cuda {

struct Record;

// Memory until the next use of the same space: a kernel's own, partial results of sums, rewritten operands of a
// product, the library's.
enum class Space { own, parts, operands, library, count };

CUstream_st* stream() noexcept;
// Kernels do nothing while it points at something else than 0.
const int32_t* guard() noexcept;
// Whether something has failed since the last `wait`; what follows is not begun.
bool failed() noexcept;
// Kernels are not launched but recorded, in order, in the device's memory (program.h). What cannot be recorded refuses:
// nothing comes of the recording then. Null: it has been refused.
bool recording() noexcept;
Record* next_record() noexcept;
void refuse_recording() noexcept;
// Null where there is no room, which is a failure. What was handed out stays.
void* workspace_bytes(Space space, size_t bytes) noexcept;
template <class A>
A* workspace(Space space, ptrdiff_t count) noexcept {
    return static_cast<A*>(workspace_bytes(space, size_t(count) * sizeof(A)));
}
// What of the arrays that a kernel reads twice may be in the device's cache (panels.h); 0: nothing goes by panels.
ptrdiff_t panel_room() noexcept;
// Before each launch: may it have so many blocks? If not, that is a failure that names the kernel.
constexpr ptrdiff_t most_launched = INT32_MAX;  // CUDA's limit, and what a record counts
bool can_launch(const char* kernel, ptrdiff_t blocks) noexcept;
// Said of it.
inline void too_many_blocks(char* text, size_t size, const char* kernel, ptrdiff_t blocks) noexcept {
    print(text, size, "kernel '%s': expects at most %td blocks, got %td", kernel, most_launched, blocks);
}
// After each launch: did it go?
void note_launch(const char* kernel) noexcept;
void note_failure(const char* what, const char* why) noexcept;

}  // namespace fusednet::cuda
