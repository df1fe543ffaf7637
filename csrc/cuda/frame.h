// What frames a step: the cursor moves on (see Advance), and at its end it is judged.

struct AdvanceKernel {
    static constexpr int threads = 256;
    using Shared = Nothing;
    using Local = Nothing;
    Advance a;

    FUSEDNET_DEVICE constexpr int steps() const { return 2; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared&, Local&) const {
        if (step == 0) {
            const Cursor cursor = *a.cursor;
            for (Index i = t.index; i < a.size; i += threads)
                a.order[i] = a.source ? a.source[cursor.row + i] : cursor.row + i;
            for (Index i = t.index; i < a.multipliers; i += threads)
                a.now[i] = a.ahead[cursor.step * a.multipliers + i];
            if (t.index == 0) *a.pass = cursor.pass;
        } else if (t.index == 0) {
            *a.cursor = {a.cursor->row + a.size, a.cursor->step + 1, a.cursor->pass + 1};
        }
    }
};

inline void advance_cursor(const Advance& a) noexcept {
    launch("advance", 1, AdvanceKernel{a});
}

// A gradient's roots and divisions take longer than all else, so each thread has its own; a thread alone decides.
struct JudgeKernel {
    static constexpr int threads = 128;
    static constexpr bool decides = true;
    struct Shared {
        double norm[threads], global;
        int32_t unfit;  // the first of the gradients that are not finite, or none
        bool fit[threads];
    };
    using Local = Nothing;
    Judgement j;

    FUSEDNET_DEVICE int steps() const { return j.tensors <= threads ? 4 : 1; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        const int i = t.index;
        if (j.tensors > threads) {
            if (i == 0) judge(j, [&] { return judged_gradients(j); });
        } else if (step == 0) {
            if (i < j.tensors) shared.norm[i] = __builtin_sqrt(j.squares[i]);
        } else if (step == 1 && i == 0) {
            double total = 0;
            shared.unfit = j.tensors;
            for (int k = j.tensors - 1; k >= 0; --k)
                if (!finite(shared.norm[k])) shared.unfit = k;
            for (int k = 0; k < j.tensors; ++k) total += shared.norm[k] * shared.norm[k];
            shared.global = __builtin_sqrt(total);
        } else if (step == 2 && i < j.tensors) {
            j.scales[i] = scale_of(j, shared.norm[i], shared.global);
            shared.fit[i] = is_fit(j, i, shared.norm[i], j.scales[i]);
        } else if (step == 3 && i == 0) {
            judge(j, [&]() -> Verdict {
                int32_t bad = shared.unfit;
                for (int k = 0; bad == j.tensors && k < j.tensors; ++k)
                    if (!shared.fit[k]) bad = k;
                if (bad < j.tensors) return {Status::gradient, bad, shared.norm[bad], shared.norm[bad]};
                return judged_statistics(j, shared.global);
            });
        }
    }
};

inline void judge_step(const Judgement& j) noexcept {
    launch("judge", 1, JudgeKernel{j});
}
