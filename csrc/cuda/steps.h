// What Device offers as judge and the replay of a recorded step, on the calling thread's queue.
#pragma once

#include "../base/device.h"
#include "program.h"

namespace fusednet::cuda {

void judge_step(const Judgement& judgement) noexcept;

// A recorded step, to be run so many times by one launch. `arrivals` counts where its blocks meet.
struct Program {
    Record* records;
    int kernels, blocks;
    const int32_t* guard;
    unsigned* arrivals;
};
void launch_program(const Program& program, int64_t times) noexcept;

}  // namespace fusednet::cuda
