// Launches over more elements than 32 bits count, on the host: how many blocks there are, and where some of them look.
// Nothing so large is held: bodies only note where they are, matrices are address space of which a few pages are used.
// Prints what is wrong, then the names of what was looked at.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "../csrc/cuda/cublaslt.h"
#include "../csrc/cuda/panels.h"
#include "../csrc/cuda/program.h"
#include "../csrc/cuda/runtime.h"
#include "../csrc/cuda/target.h"

namespace fusednet::cuda {

namespace {

using Exact = __int128;

bool right = true;
void check(bool is_right, const char* what, int line) {
    if (!is_right) std::printf("line %d: %s\n", line, what);
    right = right && is_right;
}
#define CHECK(...) check(bool(__VA_ARGS__), #__VA_ARGS__, __LINE__)

// Of the latest launches; which of a launch's blocks run, and the thread that does.
struct Host {
    std::vector<Index> launched;
    std::vector<Index> (*wanted)(Index blocks) = nullptr;
    Index block = 0, blocks = 0;
    int thread = 0, threads = 0;
    Index place() const { return block * threads + thread; }
    Index stride() const { return blocks * threads; }
} host;

std::string refused;
LibraryProduct asked;

template <class A>
A* address_space(Index count) {
    void* const memory = mmap(nullptr, size_t(count) * sizeof(A), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) return static_cast<A*>(memory);
    std::printf("no address space\n");
    std::exit(3);
}

}  // namespace

bool can_launch(const char* kernel, ptrdiff_t blocks) noexcept {
    char text[256];
    too_many_blocks(text, sizeof text, kernel, blocks);
    if (blocks > most_launched) refused = text;
    return blocks <= most_launched;
}
bool failed() noexcept {
    return false;
}
void note_failure(const char*, const char*) noexcept {}
void* workspace_bytes(Space, size_t bytes) noexcept {
    return address_space<char>(Index(bytes));
}
bool recording() noexcept {
    return false;
}
void refuse_recording() noexcept {}
bool library_found() noexcept {
    return true;
}
Served library_product(const LibraryProduct& p) noexcept {
    asked = p;
    return {.product = true};
}

namespace float32 {

struct Thread {
    Index block, blocks;
    int index;
};
struct Nothing {};

template <class K>
void launch(const char*, Index blocks, const K& kernel) noexcept {
    host.launched.push_back(blocks);
    host.blocks = blocks;
    host.threads = K::threads;
    for (const Index block : host.wanted(blocks)) {
        typename K::Shared shared;
        typename K::Local local[K::threads];
        host.block = block;
        for (int step = 0; step < kernel.steps(); ++step)
            for (host.thread = 0; host.thread < K::threads; ++host.thread)
                kernel.run(step, {block, blocks, host.thread}, shared, local[host.thread]);
    }
}

#include "../csrc/cuda/vec_float.h"
//
#include "../csrc/cuda/loops.h"
//
#include "../csrc/cuda/groups.h"

inline void column_sums(Index, Index, View<const T>, T*) noexcept {}
inline void no_activation(const ActivationForward<T>&) noexcept {}

#include "../csrc/cuda/gemm.h"
//
#include "../csrc/cuda/products.h"
//
#include "../csrc/cuda/products_reduced.h"

namespace {

// A launch of which those blocks run.
void expect(std::vector<Index> (*wanted)(Index blocks)) {
    host.launched.clear();
    host.wanted = wanted;
}

constexpr Index sizes[] = {Index(INT32_MAX), (Index(1) << 31) + 1, (Index(1) << 32) + 1, (Index(3) << 32) + 5};

std::vector<Index> ends(Index blocks) {
    return blocks > 1 ? std::vector<Index>{0, blocks - 1} : std::vector<Index>{0};
}

std::vector<Index> the_last(Index blocks) {
    return {blocks - 1};
}

Index up(Exact a, Exact b) {
    return Index((a + b - 1) / b);
}
// How many of `count` numbers a block's threads have.
Index share(Exact count, Index block, Index blocks, Index threads) {
    Exact all = 0;
    for (Index t = block * threads; t < (block + 1) * threads; ++t)
        all += t < count ? (count - t + blocks * threads - 1) / (blocks * threads) : 0;
    return Index(all);
}

template <class Look>
void shapes(const Look& look) {
    for (const Index n : sizes)
        for (const Index cols : {Index(1), Index(7), Index(65539), n}) look(n / cols, cols);
}

void elements() {
    shapes([](Index rows, Index cols) {
        expect(ends);
        Index seen = 0, wrong = 0;
        each("each", rows, cols, [&](Index i, Index j) {
            wrong += i < 0 || i >= rows || j < 0 || j >= cols || (Exact(i) * cols + j) % host.stride() != host.place();
            ++seen;
        });
        const Exact count = Exact(rows) * cols;
        const Index blocks = std::min(up(count, 256), most_blocks);
        CHECK(host.launched == std::vector<Index>{blocks});
        CHECK(wrong == 0 && seen == share(count, 0, blocks, 256) + share(count, blocks - 1, blocks, 256));
    });
}

// Those in pieces come first, the rest goes to the last threads.
void pieces() {
    shapes([](Index rows, Index cols) {
        expect(ends);
        const Index whole = cols / piece * piece, left = cols - whole;
        Index seen = 0, alone = 0, wrong = 0;
        each_piece("pieces", rows, cols, whole, [&](const auto& at) {
            constexpr int n = std::decay_t<decltype(at)>::count;
            const Index first = n == 1 ? whole : 0, across = n == 1 ? left : whole / piece;
            const Exact number = Exact(at.i) * across + (at.j - first) / n;
            const Index place = n == 1 ? host.stride() - 1 - host.place() : host.place();
            wrong += at.i < 0 || at.i >= rows || at.j < first || at.j > (n == 1 ? cols : whole) - n;
            wrong += number % host.stride() != place;
            ++(n == 1 ? alone : seen);
        });
        const Exact in_pieces = Exact(rows) * (whole / piece), rest = Exact(rows) * left;
        const Index blocks = std::min(up(std::max(in_pieces, rest), 256), most_blocks);
        CHECK(host.launched == std::vector<Index>{blocks});
        const auto of_ends = [&](Exact count) {
            return share(count, 0, blocks, 256) + (blocks > 1 ? share(count, blocks - 1, blocks, 256) : 0);
        };
        CHECK(wrong == 0 && seen == of_ends(in_pieces) && alone == of_ends(rest));
    });
}

void folds() {
    shapes([](Index rows, Index cols) {
        expect(ends);
        Index seen = 0;
        fold_all<Sums<1>>(
            "fold", rows, cols, [&](Sums<1>&, Index i, Index j) { seen += i >= 0 && i < rows && j >= 0 && j < cols; },
            [](const Sums<1>&) {});
        const Exact count = Exact(rows) * cols;
        CHECK(host.launched == std::vector<Index>{1056, 1});
        CHECK(seen == share(count, 0, 1056, 256) + share(count, 1055, 1056, 256));
    });
}

struct CountRows {
    struct State {
        Index count;
    };
    static constexpr int passes = 1;
    std::set<Index>* seen;
    template <int>
    static State none() {
        return {0};
    }
    template <int>
    void add(State& state, Index, Index, const State*) const {
        ++state.count;
    }
    template <int>
    static void join(State& a, const State& b) {
        a.count += b.count;
    }
    void finish(Index i, const State* totals) const {
        if (totals[0].count == 3) seen->insert(i);
    }
};

void rows() {
    for (const Index n : sizes) {
        expect(ends);
        std::set<Index> seen, want = {0, 1, 2, 3};
        fold_rows("rows", n, 3, CountRows{&seen});
        for (Index i = (n - 1) / 4 * 4; i < n; ++i) want.insert(i);
        CHECK(host.launched == std::vector<Index>{up(n, 4)});
        CHECK(seen == want);
    }
}

// All blocks of the last columns have each row once. each_column takes its blocks backwards.
void columns() {
    static Index across = 0, begin = 0;
    const auto last = [](Index blocks) {
        std::vector<Index> all;
        for (Index block = begin; block < blocks; block += across) all.push_back(block);
        return all;
    };
    const auto look = [&]<int n>(Index rows, Index cols, const Piece<n>&) {
        across = up(cols, (n == 1 ? 32 : 16) * n);
        const Index first = (across - 1) * (n == 1 ? 32 : 16) * n;
        for (const bool folds : {true, false}) {
            begin = folds ? across - 1 : 0;
            expect(last);
            Index seen = 0, wrong = 0, highest = -1, widest = -1;
            const auto note = [&](const Descent<n>& down) {
                const Index bottom = down.at.i + (down.count - 1) * down.stride, top = std::min(down.at.i, bottom);
                seen += down.count;
                if (down.count == 0) return;
                wrong += top < 0 || std::max(down.at.i, bottom) >= rows || down.at.j < first || down.at.j + n > cols;
                highest = std::max(highest, std::max(down.at.i, bottom));
                widest = std::max(widest, down.at.j + n - 1);
            };
            if (folds)
                fold_columns_by<Sums<1>, n>(
                    "columns", rows, cols, cols, [&](Sums<1>*, const Descent<n>& down) { note(down); },
                    [](Index, const Sums<1>&) {});
            else
                each_column("columns", Strip{rows, cols, cols, n > 1}, [&](const auto& down) {
                    if constexpr (std::is_same_v<std::decay_t<decltype(down)>, Descent<n>>) note(down);
                });
            const Index splits = host.launched.empty() ? 0 : host.launched[0] / across;
            CHECK(!host.launched.empty() && host.launched[0] == across * splits && splits >= 1);
            CHECK(wrong == 0 && Exact(seen) == Exact(rows) * ((cols - first) / n));
            CHECK(highest == rows - 1 && widest == cols - 1);
        }
    };
    for (const Index n : sizes) {
        look(n, 3, Piece<1>{});
        look(n, 4, Piece<piece>{});
        look(2, n, Piece<1>{});
        look(2, n / piece * piece, Piece<piece>{});
    }
}

// A tall C and a wide one: the last tile has the right numbers, and so have its neighbours' addresses nothing.
void products() {
    constexpr Index large = (Index(1) << 32) + 67, few = 3, k = 5;
    T* const c = address_space<T>(large * few);
    T* const a = address_space<T>(large * k);
    const T b[few * k] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (Index i = large - 64; i < large; ++i)
        for (Index l = 0; l < k; ++l) a[i * k + l] = T((i + l) % 7);
    for (const bool tall : {true, false})
        for (const bool sliced : {false, true}) {
            Gemm<T> g = {};
            g.m = tall ? large : few, g.n = tall ? few : large, g.k = k;
            g.a = tall ? a : b, g.a_row = k, g.a_col = 1;
            g.b = tall ? b : a, g.b_row = 1, g.b_col = k;
            g.c = {c, g.n};
            expect(the_last);
            const Index side = sliced ? 32 : 64;
            if (sliced)
                launch("gemm", blocks_of_slices(g), SlicedGemm{g});
            else
                gemm(g);
            CHECK(host.launched == std::vector<Index>{up(large, side)});
            Index wrong = 0;
            for (Index i = (large - 1) / side * side; i < large; ++i)
                for (Index j = 0; j < few; ++j) {
                    T sum = 0;
                    for (Index l = 0; l < k; ++l) sum += a[i * k + l] * b[j * k + l];
                    T& found = tall ? c[i * few + j] : c[j * large + i];
                    wrong += found != sum;
                    found = 0;
                }
            CHECK(wrong == 0);
        }
}

// m n k beyond 64 bits is large all the same.
void work() {
    constexpr Index n = Index(1) << 22;
    Gemm<T> g = {};
    g.m = g.n = g.k = n;
    g.a_row = g.b_row = n;
    g.a_col = g.b_col = 1;
    g.c = {nullptr, n};
    asked = {};
    expect(ends);
    product<product_as_is, no_activation>(g);
    CHECK(host.launched.empty() && asked.rows == n && asked.cols == n && asked.inner == n);
}

void parts() {
    constexpr Index inner = (Index(1) << 32) + 67, rows = 3, from_ld = 4;
    T* const from = address_space<T>(inner * from_ld);
    const Rewritten<T> at(rows, inner);
    CHECK(at.ld == up(inner, 4) * 4 && at.size == up(rows * at.ld, 64) * 64);
    T *const high = address_space<T>(at.size), *const low = address_space<T>(at.size);
    for (Index l = inner - 64; l < inner; ++l)
        for (Index i = 0; i < rows; ++i) from[l * from_ld + i] = T(l % 31) + T(i) / 4096;
    expect(the_last);
    to_two_parts({from, true, from_ld}, false, rows, inner, {{high, at.ld}, {low, at.ld}});
    CHECK(host.launched == std::vector<Index>{up(inner, 64)});
    Index wrong = 0;
    for (Index l = (inner - 1) / 64 * 64; l < inner; ++l)
        for (Index i = 0; i < rows; ++i) wrong += high[i * at.ld + l] + low[i * at.ld + l] != from[l * from_ld + i];
    CHECK(wrong == 0);
}

struct Short {
    static constexpr int threads = 32;
    using Shared = Nothing;
    using Local = Nothing;
    Index number;
    constexpr int steps() const { return 1; }
    void run(int, const Thread& t, Shared&, Local&) const {
        static_assert(sizeof number == 8);
        CHECK(t.blocks == (number == 2 ? 4 : number == 1 ? most_launched - 2 : 2) && t.block < t.blocks);
    }
};

// Blocks of a group are counted in 32 bits: what has no room there begins another, what never has is refused.
void groups() {
    expect(ends);
    refused.clear();
    {
        Together<Short> together("many");
        together.add(2, {0});
        together.add(most_launched - 2, {1});
        together.add(4, {2});
        together.add(most_launched + 1, {3});
    }
    CHECK(host.launched == std::vector<Index>{most_launched, 4});
    CHECK(refused == "kernel 'many': expects at most 2147483647 blocks, got 2147483648");
}

void panels() {
    for (const Index n : sizes)
        for (const Index column : {Index(4), Index(128), n}) {
            const Index room = Index(32) << 20;
            const Panels p = cuda::panels_of(n, column, room);
            CHECK(p.begin(0) == 0 && p.begin(p.count) == n);
            if (p.count == 1) continue;
            for (const Index i : {Index(0), p.count / 2, p.count - 2}) {
                CHECK(p.begin(i) < p.begin(i + 1) && Exact(p.begin(i + 1) - p.begin(i)) * column <= room);
                CHECK(std::abs(p.begin(i) - Index(Exact(n) * i / p.count)) < 2 * panel_unit);
            }
        }
}

}  // namespace
}  // namespace float32
}  // namespace fusednet::cuda

int main() {
    using namespace fusednet::cuda;
    const struct {
        const char* name;
        void (*look)();
    } all[] = {{"elements", float32::elements}, {"pieces", float32::pieces},   {"folds", float32::folds},
               {"rows", float32::rows},         {"columns", float32::columns}, {"products", float32::products},
               {"work", float32::work},         {"parts", float32::parts},     {"groups", float32::groups},
               {"panels", float32::panels}};
    for (const auto& one : all) {
        one.look();
        std::printf("%s\n", one.name);
        std::fflush(stdout);
    }
    return right ? 0 : 1;
}
