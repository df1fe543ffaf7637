// What Device offers as judge and advance, on the calling thread's queue.
#pragma once

#include "../base/device.h"

namespace fusednet::cuda {

void judge_step(const Judgement& judgement) noexcept;
void advance_step(const Advance& advance) noexcept;

}  // namespace fusednet::cuda
