// The end of a step: its scalars, how it is judged, and the cursor's way to the next one.

// A gradient's roots and divisions take longer than all else, so each thread has its own; a thread alone decides. What
// it reads, one number after the other, is in shared memory by then.
struct JudgeKernel {
    static constexpr int threads = 128;
    static constexpr bool decides = true;
    struct Shared {
        double norm[threads], penalty[threads], sound[threads], global;
        int32_t unfit;  // the first of the gradients that are not finite, or none
        bool fit[threads];
    };
    using Local = Nothing;
    Judgement j;

    FUSEDNET_DEVICE int steps() const { return j.tensors <= threads ? 4 : 2; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        const int i = t.index;
        if (step == 0) begin(i, shared);
        if (step + 1 == steps() && i == 0) decide(shared);
        if (step + 1 == steps() && i == threads - 1 && j.cursor)
            *j.cursor = {j.cursor->row + j.rows, j.cursor->step + 1, j.cursor->pass + 1};
        if (j.tensors > threads) return;
        if (step == 1 && i == 0) {
            double total = 0;
            shared.unfit = j.tensors;
            for (int k = j.tensors - 1; k >= 0; --k)
                if (!finite(shared.norm[k])) shared.unfit = k;
            for (int k = 0; k < j.tensors; ++k) total += shared.norm[k] * shared.norm[k];
            shared.global = __builtin_sqrt(total);
        } else if (step == 2 && i < j.tensors) {
            j.scales[i] = scale_of(j, shared.norm[i], shared.global);
            shared.fit[i] = is_fit(j, i, shared.norm[i], j.scales[i]);
        }
    }

private:
    FUSEDNET_DEVICE void begin(int i, Shared& shared) const {
        if (j.cursor)
            for (int k = i; k < j.multipliers; k += threads) j.now[k] = j.ahead[j.cursor->step * j.multipliers + k];
        if (i < j.tensors) shared.norm[i] = __builtin_sqrt(j.squares[i]);
        if (i < j.penalties) shared.penalty[i] = j.penalty[i];
        if (i < j.statistics) shared.sound[i] = j.sound[i];
    }
    FUSEDNET_DEVICE void decide(const Shared& shared) const {
        Judgement near = j;
        if (j.penalties <= threads) near.penalty = shared.penalty;
        if (j.statistics <= threads) near.sound = shared.sound;
        judge(near, [&]() -> Verdict {
            if (j.tensors > threads) return judged_gradients(near);
            int32_t bad = shared.unfit;
            for (int k = 0; bad == j.tensors && k < j.tensors; ++k)
                if (!shared.fit[k]) bad = k;
            if (bad < j.tensors) return {Status::gradient, bad, shared.norm[bad], shared.norm[bad]};
            return judged_statistics(near, shared.global);
        });
    }
};

inline void judge_step(const Judgement& j) noexcept {
    launch("judge", 1, JudgeKernel{j});
}
