// The beginnings and ends of steps: what the device looks up and decides by itself.
#include "target.h"

#include "runtime.h"
#include "steps.h"

namespace fusednet::cuda {

namespace frame {

#include "launch.h"

#include "frame.h"

}  // namespace frame

void judge_step(const Judgement& judgement) noexcept {
    frame::judge_step(judgement);
}

void advance_step(const Advance& advance) noexcept {
    frame::advance_cursor(advance);
}

}  // namespace fusednet::cuda
