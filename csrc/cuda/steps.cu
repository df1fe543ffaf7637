// The ends and beginnings of steps: what the device decides and looks up by itself.
#include "target.h"

#include "runtime.h"
#include "steps.h"

namespace fusednet::cuda {

#include "launch.h"

#include "advance.h"

namespace {

// A few hundred numbers, in the host's order: the same answer as there.
struct JudgeKernel {
    static constexpr int threads = 1;
    using Shared = Nothing;
    using Local = Nothing;
    Judgement j;

    FUSEDNET_DEVICE constexpr int steps() const { return 1; }
    FUSEDNET_DEVICE void run(int, const Thread&, Shared&, Local&) const { judge(j); }
};

}  // namespace

void judge_step(const Judgement& j) noexcept {
    launch("judge", 1, JudgeKernel{j});
}

void advance_step(const Advance& a) noexcept {
    advance_cursor(a);
}

}  // namespace fusednet::cuda
