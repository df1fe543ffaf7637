// A step of a narrow network as a list of its kernels, which one launch of few blocks runs many times over.
#pragma once

#include <stdint.h>

#include <new>
#include <type_traits>

namespace fusednet::cuda {

constexpr int program_threads = 512;        // a block: two of most kernels' blocks side by side
constexpr int program_shared = 32 * 1024;   // bytes that kernels' blocks may share in one of them
constexpr int most_program_kernels = 512;   // of a step
constexpr int most_program_blocks = 16;     // more would wait for each other longer than they help
constexpr double operations_a_block = 4e6;  // of a step, about; an estimate that no device has confirmed

// How many blocks share a step of so many operations.
constexpr int program_blocks(double operations) noexcept {
    const double blocks = operations / operations_a_block;
    return blocks > most_program_blocks ? most_program_blocks : blocks > 1 ? int(blocks) : 1;
}

// A kernel of the list, with its arguments as they were when it was recorded.
struct alignas(16) Record {
    void (*run)(const Record& record, unsigned char* shared);  // a function of the device
    int32_t threads, blocks;
    alignas(16) unsigned char kernel[496];
};

}  // namespace fusednet::cuda
