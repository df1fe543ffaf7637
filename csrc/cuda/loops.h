// The shapes of work that kernels are made of. How an array is split over blocks follows from its shape alone, and
// sums are joined in one order: results are the same bits on every run.

constexpr Index most_blocks = 8448;  // 64 for each multiprocessor of an H100; a block takes several turns

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

// n numbers side by side. Several are read and written by one access of 16 bytes at most.
template <class A, int n>
struct alignas(n == 1               ? alignof(A)
               : n * sizeof(A) < 16 ? n * sizeof(A)
                                    : 16) Pack {
    static constexpr int count = n;
    A v[n];
    FUSEDNET_MEMBER A& operator[](int k) { return v[k]; }
    FUSEDNET_MEMBER const A& operator[](int k) const { return v[k]; }

#ifdef __CUDACC__
    FUSEDNET_MEMBER static Pack from(const A* memory) { return *reinterpret_cast<const Pack*>(memory); }
    __device__ void to(A* memory) const {
        if constexpr (sizeof(Pack) == 16) {  // of an assignment the compiler makes one access only at times
            const uint4 bits = __builtin_bit_cast(uint4, *this);
            if constexpr (launched)
                asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(memory)),
                             "r"(bits.x), "r"(bits.y), "r"(bits.z), "r"(bits.w)
                             : "memory");
            else  // a program's arrays may lie on the chip
                asm volatile("st.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(memory), "r"(bits.x), "r"(bits.y), "r"(bits.z),
                             "r"(bits.w)
                             : "memory");
        } else {
            *reinterpret_cast<Pack*>(memory) = *this;
        }
    }
#else  // which ends where the device would not read
    FUSEDNET_MEMBER static Pack from(const A* memory) {
        Pack pack;
        if (reinterpret_cast<uintptr_t>(memory) % alignof(Pack) != 0) __builtin_trap();
        __builtin_memcpy(&pack, memory, sizeof pack);
        return pack;
    }
    FUSEDNET_MEMBER void to(A* memory) const {
        if (reinterpret_cast<uintptr_t>(memory) % alignof(Pack) != 0) __builtin_trap();
        __builtin_memcpy(memory, this, sizeof *this);
    }
#endif
};

constexpr int piece = 16 / sizeof(T);

// Whether kernels that there are one of for each activation or loss end with what follows from them, too. float64 is
// for gradient checks, whose launches nobody counts, and each of these is code for every architecture.
constexpr bool each_shares = sizeof(T) == 4;

// n elements of a row from (i, j) on: one, or `piece` of views that have packs there.
template <int n>
struct Piece {
    static constexpr int count = n;
    Index i, j;

    template <class A>
    FUSEDNET_DEVICE Pack<std::remove_const_t<A>, n> load(const View<A>& view) const {
        return Pack<std::remove_const_t<A>, n>::from(view.row(i) + j);
    }
    template <class A>
    FUSEDNET_DEVICE void store(const View<A>& view, const Pack<A, n>& pack) const {
        pack.to(view.row(i) + j);
    }
    FUSEDNET_DEVICE Piece below(Index rows) const { return {i + rows, j}; }
};

// Whether memory has packs of A at all columns that `piece` divides.
template <class A>
bool has_packs(const A* memory, Index rows, Index row_bytes) {
    constexpr size_t alignment = alignof(Pack<std::remove_const_t<A>, piece>);
    return reinterpret_cast<uintptr_t>(memory) % alignment == 0 && (rows < 2 || size_t(row_bytes) % alignment == 0);
}

// How many of the columns go in pieces: those behind them go one by one.
template <class... Views>
Index columns_in_pieces(Index rows, Index cols, const Views&... views) {
    const bool all = (has_packs(views.data, rows, views.ld * Index(sizeof *views.data)) && ...);
    return all ? cols / piece * piece : 0;
}

// A thread's places in a (rows, cols) array: number `first`, then every `stride`-th. It divides once, not at each.
struct Places {
    Index rows, cols, i, j, down, right;

    FUSEDNET_DEVICE Places(Index first, Index stride, Index height, Index width) : rows(height), cols(width) {
        divide(first, i, j);
        divide(stride, down, right);
    }
    FUSEDNET_DEVICE bool inside() const { return i < rows; }
    FUSEDNET_DEVICE void next() {
        i += down;
        j += right;
        if (j < cols) return;
        j -= cols;
        ++i;
    }

private:
    FUSEDNET_DEVICE void divide(Index number, Index& quotient, Index& rest) const {
        if (number < cols) {
            quotient = 0;
            rest = number;
        } else if (number <= INT32_MAX) {  // a short division, since cols <= number
            quotient = Index(uint32_t(number) / uint32_t(cols));
            rest = Index(uint32_t(number) % uint32_t(cols));
        } else {
            quotient = number / cols;
            rest = number % cols;
        }
    }
};

// visit(piece) for a thread's share of an array whose first `whole` columns go in pieces. What is left goes to the last
// threads, which have the fewest of them.
template <class Visit>
FUSEDNET_DEVICE void visit_pieces(Index thread, Index threads, Index rows, Index cols, Index whole,
                                  const Visit& visit) {
    if (whole > 0)
        for (Places p(thread, threads, rows, whole / piece); p.inside(); p.next())
            visit(Piece<piece>{p.i, p.j * piece});
    if (whole < cols)
        for (Places p(threads - 1 - thread, threads, rows, cols - whole); p.inside(); p.next())
            visit(Piece<1>{p.i, whole + p.j});
}

FUSEDNET_INLINE Index count_pieces(Index rows, Index cols, Index whole) {
    return rows * greater(whole / piece, cols - whole);
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
        for (Places p(t.block * threads + t.index, t.blocks * threads, rows, cols); p.inside(); p.next())
            body(p.i, p.j);
    }
};

template <class Body>
void each(const char* name, Index rows, Index cols, const Body& body) noexcept {
    launch(name, lesser(divide_up(rows * cols, Each<Body>::threads), most_blocks), Each<Body>{rows, cols, body});
}

constexpr int piece_threads = 256;

// body(piece) for all pieces. It reads all that it needs before it writes.
template <class Body>
struct EachPiece {
    static constexpr int threads = piece_threads;
    using Shared = Nothing;
    using Local = Nothing;
    Index rows, cols, whole;
    Body body;

    FUSEDNET_DEVICE constexpr int steps() const { return 1; }
    FUSEDNET_DEVICE void run(int, const Thread& t, Shared&, Local&) const {
        visit_pieces(t.block * threads + t.index, t.blocks * threads, rows, cols, whole, body);
    }
};

FUSEDNET_INLINE Index blocks_of_pieces(Index rows, Index cols, Index whole) {
    return lesser(divide_up(count_pieces(rows, cols, whole), piece_threads), most_blocks);
}

template <class Body>
void each_piece(const char* name, Index rows, Index cols, Index whole, const Body& body) noexcept {
    launch(name, blocks_of_pieces(rows, cols, whole), EachPiece<Body>{rows, cols, whole, body});
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

#include "columns.h"

// All elements: fold(state, piece) for each, fold(state) once at the end.
template <class State, class Fold>
struct FoldAll {
    static constexpr int threads = 256;
    struct Shared {
        State state[threads];
    };
    using Local = Nothing;
    Index rows, cols, whole;
    Fold fold;
    State* parts;  // a block each, or null for one block

    FUSEDNET_DEVICE constexpr int steps() const { return 9; }  // one and log2(threads)
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        if (step == 0) {
            State state = State::none();
            visit_pieces(t.block * threads + t.index, t.blocks * threads, rows, cols, whole,
                         [&](const auto& at) { fold(state, at); });
            shared.state[t.index] = state;
            return;
        }
        const int half = threads >> step;
        if (t.index < half) shared.state[t.index].join(shared.state[t.index + half]);
        if (half > 1 || t.index > 0) return;
        if (parts)
            parts[t.block] = shared.state[0];
        else
            fold(shared.state[0]);
    }
};

// A fold of two functions.
template <class Add, class Finish>
struct Both {
    Add add;
    Finish finish;
    template <class State, class At>
    FUSEDNET_DEVICE void operator()(State& state, const At& at) const {
        add(state, at);
    }
    template <class State>
    FUSEDNET_DEVICE void operator()(const State& state) const {
        finish(state);
    }
};

FUSEDNET_INLINE Index blocks_of_fold(Index count) {
    return greater(1, lesser(count / 4096, 1056));
}

template <class State, class Add, class Finish>
void fold_pieces(const char* name, Index rows, Index cols, Index whole, const Add& add, const Finish& finish) noexcept {
    using Kernel = FoldAll<State, Both<Add, Finish>>;
    const Index blocks = blocks_of_fold(rows * cols);
    if (blocks == 1) return launch(name, 1, Kernel{rows, cols, whole, {add, finish}, nullptr});
    auto* parts = workspace<State>(Space::parts, blocks);
    launch(name, blocks, Kernel{rows, cols, whole, {add, finish}, parts});
    const auto join = [=] FUSEDNET_DEVICE(State& state, const auto& at) { state.join(parts[at.j]); };
    launch(name, 1, FoldAll<State, Both<decltype(join), Finish>>{1, blocks, 0, {join, finish}, nullptr});
}

// The same with add(state, i, j) for each element.
template <class State, class Add, class Finish>
void fold_all(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    fold_pieces<State>(
        name, rows, cols, 0, [add] FUSEDNET_DEVICE(State& state, const auto& at) { add(state, at.i, at.j); }, finish);
}

// Rows, 32 threads each: pass after pass, body.template add<p>(state, row, j) over the columns, the states joined by
// body.template join<p>, so that the next pass has totals[p]; at the end finish(i, totals) by one thread a row.
// A body that only reads in its last pass may write in it. `rows_a_block`: 32 threads each.
template <class Body, int rows_a_block = 4>
struct FoldRows {
    static constexpr int wide = 32, deep = rows_a_block, threads = wide * deep;
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
            const int lanes_used = int(lesser(wide, cols));
            for (int k = 1; k < lanes_used; ++k) Body::template join<p>(state, shared.state[y][k]);
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
