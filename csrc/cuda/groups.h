// Kernels of one kind that know nothing of each other, in one launch: the small arrays of a network would each take
// longer to launch than to work on. What a block does is what it would do in a launch of its own.

template <class K>
constexpr int most_together = (most_kernel_bytes - 16) / int(sizeof(K) + sizeof(int32_t));

template <class K, int most = most_together<K>>
struct Group {
    static constexpr int threads = K::threads, size = most;
    static_assert(most > 1 && most <= most_together<K> && std::is_trivially_copyable_v<K> && alignof(K) <= 8);
    using Shared = typename K::Shared;
    struct Local {
        int kernel;
        Index first, end;  // its blocks
        typename K::Local local;
    };
    alignas(8) unsigned char kernels[most][sizeof(K)];
    int32_t ends[most];  // the blocks of kernel i come before ends[i]
    int count = 0;

    FUSEDNET_DEVICE const K& kernel(int i) const { return *reinterpret_cast<const K*>(kernels[i]); }
    FUSEDNET_DEVICE int steps() const { return kernel(0).steps(); }  // which all of them have
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& own) const {
        if (step == 0) find(t.block, own);
        kernel(own.kernel).run(step, {t.block - own.first, own.end - own.first, t.index}, shared, own.local);
    }

private:
    // All ends are looked at, without a wait from one to the next.
    FUSEDNET_DEVICE void find(Index block, Local& own) const {
        own.kernel = 0;
        own.first = 0;
        FUSEDNET_UNROLL_8
        for (int k = 0; k + 1 < count; ++k)
            if (block >= ends[k]) {
                own.kernel = k + 1;
                own.first = ends[k];
            }
        own.end = ends[own.kernel];
    }
};

// Of two kinds: the first one's blocks, then the second one's. Threads that a kernel does not have only meet the
// others.
template <class A, class B>
struct Beside {
    static constexpr int threads = A::threads > B::threads ? A::threads : B::threads;
    union Shared {
        typename A::Shared a;
        typename B::Shared b;
    };
    struct Local {
        typename A::Local a;
        typename B::Local b;
    };
    A a;
    B b;
    Index blocks_of_a;

    FUSEDNET_DEVICE int steps() const { return a.steps() > b.steps() ? a.steps() : b.steps(); }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        if (t.block < blocks_of_a) {
            if (t.index < A::threads && step < a.steps())
                a.run(step, {t.block, blocks_of_a, t.index}, shared.a, local.a);
        } else {
            if (t.index < B::threads && step < b.steps())
                b.run(step, {t.block - blocks_of_a, t.blocks - blocks_of_a, t.index}, shared.b, local.b);
        }
    }
};

// Launches what it is given, many at a time, the last at its end.
template <class K, int most = most_together<K>>
class Together {
public:
    explicit Together(const char* name) : name_(name) {}
    ~Together() { flush(); }
    void add(Index blocks, const K& kernel) noexcept {
        if (blocks == 0 || !can_launch(name_, blocks)) return;
        if (full() || blocks > INT32_MAX - blocks_) flush();
        blocks_ += int32_t(blocks);
        new (group_.kernels[group_.count]) K(kernel);
        group_.ends[group_.count++] = blocks_;
    }
    bool full() const noexcept { return group_.count == most; }
    void flush() noexcept {
        if (group_.count > 0) launch(name_, blocks_, group_);
        group_.count = 0;
        blocks_ = 0;
    }

private:
    const char* name_;
    Group<K, most> group_;
    int32_t blocks_ = 0;
};

template <class Body, class Group, class Args>
void add_pieces(Group& together, const Args& args) noexcept {
    Index rows = 0, cols = 0, whole = 0;
    const Body body(args, rows, cols, whole);
    together.add(blocks_of_pieces(rows, cols, whole), {rows, cols, whole, body});
}

template <class State>
struct JoinParts {
    const State* parts;
    template <class At>
    FUSEDNET_DEVICE void operator()(State& state, const At& at) const {
        state.join(parts[at.j]);
    }
};

// All elements of each array: Body adds elements and finishes with their sum. A launch for what the blocks find, then
// one that joins it where an array has several.
template <class State, class Body, class Args>
void fold_each(const char* name, const Args* all, Index count) noexcept {
    Index held = 0;
    for (Index i = 0; i < count; ++i) {
        const Index blocks = blocks_of_fold(all[i].rows * all[i].cols);
        if (blocks > 1) held += blocks;
    }
    State* parts = held > 0 ? workspace<State>(Space::parts, held) : nullptr;
    if (held > 0 && !parts) return;
    Together<FoldAll<State, Body>> found(name);
    Together<FoldAll<State, Both<JoinParts<State>, Body>>> joined(name);
    for (Index i = 0; i < count; ++i) {
        const Args& a = all[i];
        const Index blocks = blocks_of_fold(a.rows * a.cols);
        Index whole = 0;
        const Body body(a, whole);
        found.add(blocks, {a.rows, a.cols, whole, body, blocks > 1 ? parts : nullptr});
        if (blocks == 1) continue;
        if (joined.full()) {  // what it joins is found before
            found.flush();
            joined.flush();
        }
        joined.add(1, {1, blocks, 0, {{parts}, body}, nullptr});
        parts += blocks;
    }
    found.flush();
    joined.flush();
}
