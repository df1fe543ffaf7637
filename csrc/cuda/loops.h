// The shapes of work that kernels are made of. How an array is split over blocks follows from its shape alone, and
// sums are joined in one order: results are the same bits on every run.

constexpr Index most_blocks = 2112;  // sixteen for each multiprocessor of an H100; a block takes several turns

FUSEDNET_INLINE Index divide_up(Index a, Index b) {
    return (a + b - 1) / b;
}
FUSEDNET_INLINE Index lesser(Index a, Index b) {
    return a < b ? a : b;
}
FUSEDNET_INLINE Index greater(Index a, Index b) {
    return a > b ? a : b;
}

// Rows without a gap between them are one long row.
template <class... Views>
void flatten(Index& rows, Index& cols, const Views&... views) {
    if (((views.ld == cols) && ...)) {
        cols *= rows;
        rows = 1;
    }
}

// body(i, j) for each element.
template <class Body>
struct Each {
    static constexpr int threads = 256;
    using Shared = Nothing;
    using Local = Nothing;
    Index rows, cols;
    Body body;

    FUSEDNET_DEVICE constexpr int steps() const { return 1; }
    FUSEDNET_DEVICE void run(int, const Thread& t, Shared&, Local&) const {
        const Index count = rows * cols, stride = t.blocks * threads;
        for (Index e = t.block * threads + t.index; e < count; e += stride) {
            if (rows == 1)
                body(Index(0), e);
            else if (count <= INT32_MAX)  // a short division
                body(Index(uint32_t(e) / uint32_t(cols)), Index(uint32_t(e) % uint32_t(cols)));
            else
                body(e / cols, e % cols);
        }
    }
};

inline Index blocks_of_each(Index count) {
    return lesser(divide_up(count, 256), most_blocks);
}

template <class Body>
void each(const char* name, Index rows, Index cols, const Body& body) noexcept {
    launch(name, blocks_of_each(rows * cols), Each<Body>{rows, cols, body});
}

// n numbers that are added.
template <int n>
struct Sums {
    double v[n];
    FUSEDNET_DEVICE static Sums none() {
        Sums s;
        for (double& x : s.v) x = 0;
        return s;
    }
    FUSEDNET_DEVICE void join(const Sums& other) {
        for (int k = 0; k < n; ++k) v[k] += other.v[k];
    }
};

// Down the rows of each column: add(state, j, first, end, stride) for rows first, first + stride, ..., `join` of the
// parts, finish(j, state). 32 columns and 8 rows at a time go to a block; a tall array has several blocks for a column,
// whose states meet in the workspace.
template <class State, class Add, class Finish>
struct FoldColumns {
    static constexpr int wide = 32, deep = 8, threads = wide * deep;
    struct Shared {
        State state[deep][wide];
    };
    using Local = Nothing;
    Index rows, cols, splits;
    Add add;
    Finish finish;
    State* parts;  // (splits, cols), or null for one split

    FUSEDNET_DEVICE constexpr int steps() const { return 2; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        const int x = t.index % wide, y = t.index / wide;
        const Index split = t.block % splits, j = t.block / splits * wide + x;
        if (j >= cols) return;
        if (step == 0) {
            const Index share = divide_up(rows, splits), first = split * share, end = lesser(rows, first + share);
            State state = State::none();
            add(state, j, first + y, end, Index(deep));
            shared.state[y][x] = state;
        } else if (y == 0) {
            State state = shared.state[0][x];
            for (int k = 1; k < deep; ++k) state.join(shared.state[k][x]);
            if (parts)
                parts[split * cols + j] = state;
            else
                finish(j, state);
        }
    }
};

template <class State, class Add, class Finish>
void fold_columns(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    using Kernel = FoldColumns<State, Add, Finish>;
    const Index blocks = divide_up(cols, Kernel::wide);
    if (blocks == 0) return;
    const Index splits = greater(1, lesser(rows / 256, most_blocks / 4 / blocks));
    auto* parts = splits > 1 ? workspace<State>(Space::parts, splits * cols) : nullptr;
    launch(name, blocks * splits, Kernel{rows, cols, splits, add, finish, parts});
    if (!parts) return;
    each(name, 1, cols, [=] FUSEDNET_DEVICE(Index, Index j) {
        State state = parts[j];
        for (Index s = 1; s < splits; ++s) state.join(parts[s * cols + j]);
        finish(j, state);
    });
}

// The same with add(sums, i, j) for each element.
template <int n, class Add, class Finish>
void sum_columns(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    fold_columns<Sums<n>>(
        name, rows, cols,
        [add] FUSEDNET_DEVICE(Sums<n>& sums, Index j, Index first, Index end, Index stride) {
            for (Index i = first; i < end; i += stride) add(sums, i, j);
        },
        finish);
}

// Where element e of `count` lies; the division is short where it can be. Each writes it out: its kernels spill
// registers with this.
struct Element {
    Index i, j;
    FUSEDNET_DEVICE Element(Index e, Index rows, Index cols, Index count) {
        if (rows == 1) {
            i = 0;
            j = e;
        } else if (count <= INT32_MAX) {
            i = Index(uint32_t(e) / uint32_t(cols));
            j = Index(uint32_t(e) % uint32_t(cols));
        } else {
            i = e / cols;
            j = e % cols;
        }
    }
};

// All elements: add(state, i, j), finish(state) once. A thread's elements are those that it would have in Each.
template <class State, class Add, class Finish>
struct FoldAll {
    static constexpr int threads = 256;
    struct Shared {
        State state[threads];
    };
    using Local = Nothing;
    Index rows, cols;
    Add add;
    Finish finish;
    State* parts;  // a block each, or null for one block

    FUSEDNET_DEVICE constexpr int steps() const { return 9; }  // one and log2(threads)
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        if (step == 0) {
            const Index count = rows * cols, stride = t.blocks * threads;
            State state = State::none();
            for (Index e = t.block * threads + t.index; e < count; e += stride) {
                const Element at(e, rows, cols, count);
                add(state, at.i, at.j);
            }
            shared.state[t.index] = state;
            return;
        }
        const int half = threads >> step;
        if (t.index < half) shared.state[t.index].join(shared.state[t.index + half]);
        if (half > 1 || t.index > 0) return;
        if (parts)
            parts[t.block] = shared.state[0];
        else
            finish(shared.state[0]);
    }
};

inline Index blocks_of_fold(Index count) {
    return greater(1, lesser(count / 4096, 1024));
}

template <class State, class Add, class Finish>
void fold_all(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    using Kernel = FoldAll<State, Add, Finish>;
    const Index blocks = blocks_of_fold(rows * cols);
    if (blocks == 1) return launch(name, 1, Kernel{rows, cols, add, finish, nullptr});
    auto* parts = workspace<State>(Space::parts, blocks);
    launch(name, blocks, Kernel{rows, cols, add, finish, parts});
    const auto join = [=] FUSEDNET_DEVICE(State& state, Index, Index j) { state.join(parts[j]); };
    launch(name, 1, FoldAll<State, decltype(join), Finish>{1, blocks, join, finish, nullptr});
}

// Rows, 32 threads each: pass after pass, body.template add<p>(state, row, j) over the columns, the states joined by
// body.template join<p>, so that the next pass has totals[p]; at the end finish(i, totals) by one thread a row.
// A body that only reads in its last pass may write in it.
template <class Body>
struct FoldRows {
    static constexpr int wide = 32, deep = 4, threads = wide * deep;
    using State = typename Body::State;
    struct Shared {
        State state[deep][wide], total[deep][Body::passes];
    };
    using Local = Nothing;
    Index rows, cols;
    Body body;

    template <int p>
    FUSEDNET_DEVICE void pass(int step, Index i, int lane, int y, Shared& shared) const {
        if (step == 2 * p) {
            State state = Body::template none<p>();
            for (Index j = lane; j < cols; j += wide) body.template add<p>(state, i, j, shared.total[y]);
            shared.state[y][lane] = state;
        } else if (step == 2 * p + 1 && lane == 0) {
            State state = shared.state[y][0];
            for (int k = 1; k < wide; ++k) Body::template join<p>(state, shared.state[y][k]);
            shared.total[y][p] = state;
            if constexpr (p + 1 == Body::passes) body.finish(i, shared.total[y]);
        }
        if constexpr (p + 1 < Body::passes) pass<p + 1>(step, i, lane, y, shared);
    }

    FUSEDNET_DEVICE constexpr int steps() const { return 2 * Body::passes; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        const int lane = t.index % wide, y = t.index / wide;
        const Index i = t.block * deep + y;
        if (i < rows) pass<0>(step, i, lane, y, shared);
    }
};

template <class Body>
void fold_rows(const char* name, Index rows, Index cols, const Body& body) noexcept {
    launch(name, divide_up(rows, FoldRows<Body>::deep), FoldRows<Body>{rows, cols, body});
}
