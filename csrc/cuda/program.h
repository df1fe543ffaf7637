// A step of a narrow network as a list of its kernels, which one launch of few blocks runs many times over.
#pragma once

#include <stdint.h>

#include <new>
#include <type_traits>

namespace fusednet::cuda {

constexpr int program_threads = 512;        // a block: two of most kernels' blocks side by side
constexpr int most_program_kernels = 512;   // of a step
constexpr int most_program_blocks = 16;     // more would wait for each other longer than they help
constexpr int held_kernel_bytes = 512;      // of a kernel's arguments that its threads keep in registers
constexpr int most_kernel_bytes = 2048;     // of a kernel's arguments; CUDA's own limit is 4096
constexpr double operations_a_block = 4e6;  // of a step, about; an estimate

// How many blocks share a step of so many operations.
constexpr int program_blocks(double operations) noexcept {
    const double blocks = operations / operations_a_block;
    return blocks > most_program_blocks ? most_program_blocks : blocks > 1 ? int(blocks) : 1;
}

// A kernel of the list, with its arguments as they were when it was recorded.
struct alignas(16) Record {
    void (*run)(int slot);  // a function of the device
    int32_t threads, blocks;
    bool decides;  // whether the step is refused: what is behind it does nothing then
    alignas(16) unsigned char kernel[most_kernel_bytes];
};

// What a block keeps on its multiprocessor: the record of the kernel that runs and the next one, and what the threads
// of the kernel's blocks share. Behind it, of a launch of one block, lie arrays of the step for which there is room:
// kernels read and write by generic addresses, which reach both this memory and the device's.
struct ProgramMemory {
    Record records[2];
    alignas(16) unsigned char shared[72 * 1024];
};

#ifdef __CUDACC__
extern __shared__ uint4 program_memory[];
#endif

}  // namespace fusednet::cuda
