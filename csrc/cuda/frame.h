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

struct JudgeKernel {
    static constexpr int threads = 32;
    static constexpr bool decides = true;
    using Shared = Nothing;
    using Local = Nothing;
    Judgement j;

    FUSEDNET_DEVICE constexpr int steps() const { return 1; }
    FUSEDNET_DEVICE void run(int, const Thread& t, Shared&, Local&) const {
        if (t.index == 0) judge(j);
    }
};

inline void judge_step(const Judgement& j) noexcept {
    launch("judge", 1, JudgeKernel{j});
}
