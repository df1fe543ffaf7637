// What Device offers as judge and the replay of a recorded step, on the calling thread's queue.
#pragma once

#include "../base/device.h"
#include "program.h"

namespace fusednet::cuda {

void judge_step(const Judgement& judgement) noexcept;

// A recorded step, to be run so many times by one launch. `arrivals` counts where its blocks meet.
struct Program {
    Record* records = nullptr;
    int kernels = 0, blocks = 0;
    const int32_t* guard = nullptr;
    unsigned* arrivals = nullptr;
    size_t chip_bytes = 0;       // of arrays that lie behind ProgramMemory
    const void* chip = nullptr;  // where the step was told that they do
    void** tells = nullptr;      // not null: it says there where they would, and does nothing else
};
void launch_program(const Program& program, int64_t times) noexcept;

// Found by such a launch; null, and no failure, where that did not go. Needs a queue.
void* chip_of_programs(size_t* bytes) noexcept;

}  // namespace fusednet::cuda
