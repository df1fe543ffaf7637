// float32 operands packed as pairs of bf16, two neighbours of k in one 32-bit word. An operand is seen as lines of k
// numbers: the rows of A, the columns of B. pairs_<kind>.h says how 16 words are made, turned and stored.

// What is packed: `lines` of `k` numbers. line_step, k_step: elements from one to the next.
struct PairSource {
    const float* x;
    Index line_step, k_step, lines, k;
};

enum class Run { along, across, none };  // which of k_step, line_step is 1

FUSEDNET_INLINE Floats load_steps(const float* p, Index step, Index n) {
    float copy[16] = {};
    for (Index i = 0; i < (n < 16 ? n : 16); ++i) copy[i] = p[i * step];
    return load_floats(copy);
}

template <bool low>
FUSEDNET_INLINE Floats part(Floats x) {
    return low ? rest(x) : x;
}

// 16 lines of 32 numbers; what is beyond them is zero, and not read. by_line: a line's pairs are stored side by side,
// lines `ld` words apart; else the pairs of 16 lines are, the pairs of a line `ld` words apart. low: what rounding
// takes from the numbers, in their stead.
template <Run run, bool by_line, bool low, bool whole>
FUSEDNET_INLINE void pack_block(const PairSource& s, uint32_t* to, Index ld) {
    const auto line = [&](Index i, Index k) FUSEDNET_INLINE_LAMBDA {
        const float* from = s.x + i * s.line_step + k * s.k_step;
        if constexpr (whole)
            return part<low>(load_floats(from));
        else if constexpr (run == Run::none)
            return part<low>(load_steps(from, s.k_step, i < s.lines ? s.k - k : 0));
        else
            return part<low>(load_floats(from, i < s.lines ? s.k - k : 0));
    };
    const auto lines = [&](Index k) FUSEDNET_INLINE_LAMBDA {
        const float* from = s.x + k * s.k_step;
        return part<low>(whole ? load_floats(from) : load_floats(from, k < s.k ? s.lines : 0));
    };
    Pairs words[16];
    FUSEDNET_UNROLL
    for (int i = 0; i < 16; ++i) {
        if constexpr (run == Run::across)
            words[i] = pairs_across(lines(2 * i), lines(2 * i + 1));
        else
            words[i] = pairs_along(line(i, 0), line(i, 16));
    }
    if constexpr ((run == Run::across) == by_line) transpose(words);
    FUSEDNET_UNROLL
    for (int i = 0; i < 16; ++i) store_pairs(to + i * ld, words[i]);
}

// Lines that need no turning, one after the other.
template <bool low>
void pack_lines(const PairSource& s, uint32_t* to, Index ld) noexcept {
    for (Index i = 0; i < s.lines; ++i) {
        const float* from = s.x + i * s.line_step;
        Index k = 0;
        for (; k + 32 <= s.k; k += 32)
            store_pairs(to + i * ld + k / 2,
                        pairs_along(part<low>(load_floats(from + k)), part<low>(load_floats(from + k + 16))));
        if (k < s.k)
            store_pairs(to + i * ld + k / 2, pairs_along(part<low>(load_floats(from + k, s.k - k)),
                                                         part<low>(load_floats(from + k + 16, s.k - k - 16))));
    }
}

template <Run run, bool by_line, bool low>
void pack_run(const PairSource& s, uint32_t* to, Index ld) noexcept {
    if constexpr (run == Run::along && by_line) return pack_lines<low>(s, to, ld);
    for (Index k = 0; k < s.k; k += 32)
        for (Index line = 0; line < s.lines; line += 16) {
            const PairSource block = {s.x + line * s.line_step + k * s.k_step, s.line_step, s.k_step, s.lines - line,
                                      s.k - k};
            uint32_t* at = by_line ? to + line * ld + k / 2 : to + k / 2 * ld + line;
            if (run != Run::none && block.lines >= 16 && block.k >= 32)
                pack_block<run, by_line, low, run != Run::none>(block, at, ld);
            else
                pack_block<run, by_line, low, false>(block, at, ld);
        }
}

// Lines are filled up to a multiple of 16 and k to one of 32.
template <bool by_line, bool low = false>
void pack_pairs(const PairSource& s, uint32_t* to, Index ld) noexcept {
    if (s.k_step == 1)
        pack_run<Run::along, by_line, low>(s, to, ld);
    else if (s.line_step == 1)
        pack_run<Run::across, by_line, low>(s, to, ld);
    else
        pack_run<Run::none, by_line, low>(s, to, ld);
}

// What follows a product, on a part of C that is complete.
inline void finish_part(const Gemm<float>& g, Index row, Index col, Index rows, Index cols) noexcept {
    if (!g.epilogue) return;
    g.epilogue({.rows = rows,
                .cols = cols,
                .x = {g.c.row(row) + col, g.c.ld},
                .y = {g.y.row(row) + col, g.y.ld},
                .params = g.params,
                .slope = {g.slope.data ? g.slope.row(row) + col : nullptr, g.slope.ld}});
}
