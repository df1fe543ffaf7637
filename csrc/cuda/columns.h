// Work down the columns of an array, whose sums are joined in an order that its shape gives. Included by loops.h.

// Rows below each other: a thread's `count` of them from `at` on, `stride` apart, up or down. Some are loaded at a
// time: use(at, load(at)) for each.
template <int n>
struct Descent {
    Piece<n> at;
    Index count, stride;

    template <int together, class Load, class Use>
    FUSEDNET_DEVICE void visit(const Load& load, const Use& use) const {
        for (Index done = 0; done < count; done += together) {
            decltype(load(at)) loaded[together];
            FUSEDNET_UNROLL
            for (int k = 0; k < together; ++k) loaded[k] = load(at.below(lesser(done + k, count - 1) * stride));
            FUSEDNET_UNROLL
            for (int k = 0; k < together; ++k)
                if (done + k < count) use(at.below((done + k) * stride), loaded[k]);
        }
    }
};

// Columns of a (rows, cols) array over blocks: `wide` threads with n columns each beside each other, `deep` below, and
// `splits` blocks for all rows.
template <int n, int beside = n == 1 ? 32 : 16>
struct Columns {
    static constexpr int side = n, wide = beside, deep = 256 / wide, threads = wide * deep;
    Index rows, cols, splits;

    FUSEDNET_MEMBER static Index across(Index cols) { return divide_up(cols, wide * n); }
    // Divisions take as long as short columns do: one split goes without.
    FUSEDNET_DEVICE Index column(Index block, int x) const {
        return ((splits == 1 ? block : block % across(cols)) * wide + x) * n;
    }
    FUSEDNET_DEVICE Index split(Index block) const { return splits == 1 ? 0 : block / across(cols); }
    // Of a thread that has columns.
    FUSEDNET_DEVICE Descent<n> descent(Index block, int x, int y) const {
        const Index share = splits == 1 ? rows : divide_up(rows, splits);
        const Index first = split(block) * share, end = lesser(rows, first + share);
        return {{first + y, column(block, x)}, end > first + y ? divide_up(end - first - y, deep) : 0, deep};
    }
};

// add(states, descent) down the columns, `join` of the parts, finish(j, state). A tall array has several blocks for a
// column, whose states meet in the workspace.
template <class State, int n, class Add, class Finish, class Over = Columns<n>>
struct FoldColumns {
    using Split = Over;
    static constexpr int threads = Split::threads, deep = Split::deep;
    struct Local {
        State state[n];
    };
    struct Shared {
        Local of[deep / 2][Split::wide];
    };
    Split columns;
    Add add;
    Finish finish;
    State* parts;  // (splits, cols), or null for one split

    FUSEDNET_DEVICE constexpr int steps() const {  // one and log2(deep)
        return deep == 8 ? 4 : deep == 16 ? 5 : 6;
    }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        static_assert(deep == 8 || deep == 16 || deep == 32);
        const int x = t.index % Split::wide, y = t.index / Split::wide, half = deep >> step;
        const Index j = columns.column(t.block, x);
        if (j >= columns.cols || (step > 0 && y >= half)) return;
        if (step == 0) {
            FUSEDNET_UNROLL
            for (State& state : local.state) state = State::none();
            add(local.state, columns.descent(t.block, x, y));
        } else {
            const Local& other = shared.of[(y + half) % (deep / 2)][x];
            FUSEDNET_UNROLL
            for (int k = 0; k < n; ++k) local.state[k].join(other.state[k]);
        }
        if (half > 1) {  // the lower half's go to the upper half
            if (y >= half / 2) shared.of[y % (deep / 2)][x] = local;
            return;
        }
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k)
            if (parts)
                parts[columns.split(t.block) * columns.cols + j + k] = local.state[k];
            else
                finish(j + k, local.state[k]);
    }
};

// Few columns a block, so that a thread has few parts: they take longer to join one after the other than to read.
template <class State, class Finish>
void join_parts(const char* name, Index splits, Index cols, const State* parts, const Finish& finish) noexcept {
    const auto join = [=] FUSEDNET_DEVICE(State* state, const Descent<1>& down) {
        down.visit<4>([&](const Piece<1>& at) { return parts[at.i * cols + at.j]; },
                      [&](const Piece<1>&, const State& part) { state->join(part); });
    };
    using Split = Columns<1, 8>;
    launch(name, Split::across(cols),
           FoldColumns<State, 1, decltype(join), Finish, Split>{{splits, cols, 1}, join, finish, nullptr});
}

// Some columns of an array that has `all`; in pieces where all of them can be. They are split down the rows as all of
// them would be, so that a panel's sums are the same bits.
struct Strip {
    Index rows, cols, all;
    bool in_pieces;
    Strip of(Index columns) const { return {rows, columns, all, in_pieces}; }
};

inline Strip all_columns(Index rows, Index cols, Index whole) {
    return {rows, cols, cols, whole == cols};
}

// `across` blocks beside each other, of all columns. A panel has few of them, so a block of a tall array has some 256
// rows, in pieces 64 KiB of an array: 64 columns of 65536 rows are 256 blocks, two for each of 128 multiprocessors.
FUSEDNET_INLINE Index splits_of_fold(Index rows, Index across) {
    if (rows < 512) return 1;
    const Index enough = lesser(rows / 64, 2112 / across), short_enough = lesser(rows / 256, 264);
    return greater(1, greater(enough, short_enough));
}

template <class State, int n, class Add, class Finish>
void fold_columns_by(const char* name, Index rows, Index cols, Index all, const Add& add,
                     const Finish& finish) noexcept {
    const Index across = Columns<n>::across(cols);
    if (across == 0) return;
    const Index splits = splits_of_fold(rows, Columns<n>::across(all));
    auto* parts = splits > 1 ? workspace<State>(Space::parts, splits * cols) : nullptr;
    launch(name, across * splits, FoldColumns<State, n, Add, Finish>{{rows, cols, splits}, add, finish, parts});
    if (parts) join_parts<State>(name, splits, cols, parts, finish);
}

// Is there enough to read that a quarter of the threads across are as many as memory needs?
FUSEDNET_INLINE bool enough_for_pieces(Index rows, Index cols) {
    return rows * cols >= Index(1) << 18;
}

template <class State, class Add, class Finish>
void fold_columns(const char* name, const Strip& s, const Add& add, const Finish& finish) noexcept {
    if (s.in_pieces && enough_for_pieces(s.rows, s.all))
        fold_columns_by<State, piece>(name, s.rows, s.cols, s.all, add, finish);
    else
        fold_columns_by<State, 1>(name, s.rows, s.cols, s.all, add, finish);
}

// Sums with add(sums, i, j) for each element.
template <int n, class Add, class Finish>
void sum_columns(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    fold_columns_by<Sums<n>, 1>(
        name, rows, cols, cols,
        [add] FUSEDNET_DEVICE(Sums<n>* sums, const Descent<1>& down) {
            Piece<1> at = down.at;
            for (Index k = 0; k < down.count; ++k, at.i += down.stride) add(*sums, at.i, at.j);
        },
        finish);
}

// body(descent) down all columns. The last rows come first: of those that a fold has read before the last may still be
// in the cache.
template <int n, class Body>
struct EachColumn {
    using Split = Columns<n>;
    static constexpr int threads = Split::threads;
    using Shared = Nothing;
    using Local = Nothing;
    Split columns;
    Body body;

    FUSEDNET_DEVICE constexpr int steps() const { return 1; }
    FUSEDNET_DEVICE void run(int, const Thread& t, Shared&, Local&) const {
        const Index block = t.blocks - 1 - t.block;
        const int x = t.index % Split::wide, y = t.index / Split::wide;
        if (columns.column(block, x) >= columns.cols) return;
        const Descent<n> down = columns.descent(block, x, y);
        body(Descent<n>{down.at.below((down.count - 1) * down.stride), down.count, -down.stride});
    }
};

template <class Body>
void each_column(const char* name, const Strip& s, const Body& body) noexcept {
    const auto by = [&](auto columns) {
        using Split = decltype(columns);
        const Index across = Split::across(s.cols);
        if (across == 0 || s.rows == 0) return;
        const Index most = most_blocks / 2 / Split::across(s.all);
        const Index splits = greater(1, lesser(divide_up(s.rows, Split::deep), most));
        launch(name, across * splits, EachColumn<Split::side, Body>{{s.rows, s.cols, splits}, body});
    };
    if (s.in_pieces)
        by(Columns<piece>{});
    else
        by(Columns<1>{});
}

// Is a thread's part of a column, 16 rows at most, read again in less time than another launch takes? All rows of a
// column are one block's then.
FUSEDNET_INLINE bool is_short(Index rows, Index cols) {
    return rows <= 16 * Columns<1>::deep && !enough_for_pieces(rows, cols);
}

// A fold of whole columns, then body(descent) down the same ones, which finds what finish has written.
template <class Fold, class Body>
struct FoldThenEach {
    using Split = typename Fold::Split;
    static constexpr int threads = Fold::threads;
    using Shared = typename Fold::Shared;
    using Local = typename Fold::Local;
    Fold fold;
    Body body;

    FUSEDNET_DEVICE constexpr int steps() const { return fold.steps() + 1; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        if (step < fold.steps()) return fold.run(step, t, shared, local);
        const int x = t.index % Split::wide, y = t.index / Split::wide;
        if (fold.columns.column(t.block, x) < fold.columns.cols) body(fold.columns.descent(t.block, x, y));
    }
};

// What fold_columns and each_column do with a short array, to the same bits.
template <class State, class Add, class Finish, class Body>
void fold_then_each_column(const char* name, Index rows, Index cols, const Add& add, const Finish& finish,
                           const Body& body) noexcept {
    using Fold = FoldColumns<State, 1, Add, Finish>;
    launch(name, Columns<1>::across(cols), FoldThenEach<Fold, Body>{{{rows, cols, 1}, add, finish, nullptr}, body});
}
