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
template <int n>
struct Columns {
    static constexpr int side = n, wide = n == 1 ? 32 : 16, deep = 256 / wide, threads = wide * deep;
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
template <class State, int n, class Add, class Finish>
struct FoldColumns {
    using Split = Columns<n>;
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

    FUSEDNET_DEVICE constexpr int steps() const { return n == 1 ? 4 : 5; }  // one and log2(deep)
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
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

template <class State, class Finish>
void join_parts(const char* name, Index splits, Index cols, const State* parts, const Finish& finish) noexcept {
    const auto join = [=] FUSEDNET_DEVICE(State* state, const Descent<1>& down) {
        down.visit<4>([&](const Piece<1>& at) { return parts[at.i * cols + at.j]; },
                      [&](const Piece<1>&, const State& part) { state->join(part); });
    };
    launch(name, Columns<1>::across(cols),
           FoldColumns<State, 1, decltype(join), Finish>{{splits, cols, 1}, join, finish, nullptr});
}

FUSEDNET_INLINE Index splits_of_fold(Index rows, Index across) {
    return rows < 512 ? 1 : greater(1, lesser(rows / 64, 2112 / across));
}

template <class State, int n, class Add, class Finish>
void fold_columns_by(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    const Index across = Columns<n>::across(cols);
    if (across == 0) return;
    const Index splits = splits_of_fold(rows, across);
    auto* parts = splits > 1 ? workspace<State>(Space::parts, splits * cols) : nullptr;
    launch(name, across * splits, FoldColumns<State, n, Add, Finish>{{rows, cols, splits}, add, finish, parts});
    if (parts) join_parts<State>(name, splits, cols, parts, finish);
}

// Is there enough to read that a quarter of the threads across are as many as memory needs?
FUSEDNET_INLINE bool enough_for_pieces(Index rows, Index cols) {
    return rows * cols >= Index(1) << 18;
}

// Columns in pieces where all of them can be.
template <class State, class Add, class Finish>
void fold_columns(const char* name, Index rows, Index cols, Index whole, const Add& add,
                  const Finish& finish) noexcept {
    if (whole == cols && enough_for_pieces(rows, cols))
        fold_columns_by<State, piece>(name, rows, cols, add, finish);
    else
        fold_columns_by<State, 1>(name, rows, cols, add, finish);
}

// Sums with add(sums, i, j) for each element.
template <int n, class Add, class Finish>
void sum_columns(const char* name, Index rows, Index cols, const Add& add, const Finish& finish) noexcept {
    fold_columns_by<Sums<n>, 1>(
        name, rows, cols,
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
void each_column(const char* name, Index rows, Index cols, Index whole, const Body& body) noexcept {
    const auto by = [&](auto columns) {
        using Split = decltype(columns);
        const Index across = Split::across(cols);
        if (across == 0 || rows == 0) return;
        const Index splits = greater(1, lesser(divide_up(rows, Split::deep), most_blocks / 2 / across));
        launch(name, across * splits, EachColumn<Split::side, Body>{{rows, cols, splits}, body});
    };
    if (whole == cols)
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
