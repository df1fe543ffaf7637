// The device's kernels on the host, for races: each thread of a launch is a fiber with a stack of its own, which to
// ThreadSanitizer is a thread. It is told that the launch comes after what came before it, that threads of a block meet
// between steps, and nothing else: not that blocks, or threads within a step, run one after the other here. What two of
// them touch without a meeting, one of them to write, it reports. Runs what its first argument names, with the second
// without the meeting before that step of each kernel, until a race of it is reported.
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "../csrc/base/at_once.h"
#include "../csrc/cuda/cublaslt.h"
#include "../csrc/cuda/program.h"
#include "../csrc/cuda/runtime.h"
#include "../csrc/cuda/target.h"

extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* at);
void __tsan_release(void* at);
}
#define UNSEEN __attribute__((no_sanitize("thread"), noinline))

namespace fusednet::cuda {
Served library_product(const LibraryProduct&) noexcept {
    return {};
}
void note_failure(const char*, const char*) noexcept {}
}  // namespace fusednet::cuda

namespace fusednet::races {

using cuda::library_product;
using cuda::LibraryProduct;
using cuda::most_kernel_bytes;
using cuda::note_failure;
using cuda::Operands;
using cuda::program_threads;
using cuda::Served;

enum class Space { own, parts, operands, library, count };
template <class A>
A* workspace(Space space, Index count) {
    static std::vector<char> held[int(Space::count)];
    held[int(space)].assign(size_t(count) * sizeof(A), char(0xff));
    return reinterpret_cast<A*>(held[int(space)].data());
}
inline bool recording() noexcept {
    return false;
}
inline void refuse_recording() noexcept {}
inline bool can_launch(const char*, Index) noexcept {
    return true;
}
inline bool library_found() noexcept {
    return false;
}
inline ptrdiff_t panel_room() noexcept {
    return 0;
}
inline void add_one(unsigned long long* counter) {
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

struct Thread {
    Index block, blocks;
    int index;
};
struct Nothing {};

constexpr unsigned no_order = 1;  // a switch by itself orders nothing
constexpr Index most_fibers = 512;
constexpr size_t stack_bytes = size_t(256) << 10;  // a report is written on it

struct Fiber {
    void* known;
    ucontext_t context;
};
struct Host {
    Fiber* const fibers = new Fiber[most_fibers];
    Fiber here;
    Index current = 0;
    void (*body)(const void* launched, Index fiber) = nullptr;
    const void* launched = nullptr;
    long launches = 0;
    int missing = -1, kernel = -1, kernels = 0;  // the step, the kernel that runs, how many there are
    static constexpr int most = 256;
    bool lacks[most] = {}, raced[most] = {};  // whether it has such a step, and a race was reported
} host;

// A number for each kernel.
template <class K>
UNSEEN int number_of() {
    static const int number = host.kernels++;
    if (number >= Host::most) std::abort();
    return number;
}

UNSEEN void meet_before(int step, int64_t& meeting, void (*what)(void*)) {
    if (step != host.missing || host.raced[host.kernel]) what(&meeting);
}

UNSEEN void change(Fiber& from, Fiber& to) {
    __tsan_switch_to_fiber(to.known, no_order);
    swapcontext(&from.context, &to.context);
}
UNSEEN void to_host() {
    change(host.fibers[host.current], host.here);
}
UNSEEN void resume(Index fiber) {
    host.current = fiber;
    change(host.here, host.fibers[fiber]);
}
UNSEEN void live() {
    for (;;) {
        host.body(host.launched, host.current);
        to_host();
    }
}
bool make_fibers() {
    void* const stacks = mmap(nullptr, stack_bytes * most_fibers, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return false;
    host.here.known = __tsan_get_current_fiber();
    for (Index i = 0; i < most_fibers; ++i) {
        Fiber& fiber = host.fibers[i];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = static_cast<char*>(stacks) + size_t(i) * stack_bytes;
        fiber.context.uc_stack.ss_size = stack_bytes;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, live, 0);
        fiber.known = __tsan_create_fiber(0);
    }
    return true;
}

template <class K>
struct Launched {
    const K& kernel;
    Index blocks, first;  // of those that are run at once
    typename K::Shared* shared;
    int64_t* meetings;  // two of a block, for their addresses: who begins a step meets nobody who has ended it
    int64_t begun, done;
};
template <class K>
__attribute__((noinline)) void run_step(const K& kernel, int step, const Thread& t, typename K::Shared& shared,
                                        typename K::Local& local) {
    kernel.run(step, t, shared, local);
}
template <class K>
UNSEEN void live_thread(const void* launched, Index fiber) {
    auto& l = *static_cast<Launched<K>*>(const_cast<void*>(launched));
    const Index block = l.first + fiber / K::threads;
    const Thread thread{block, l.blocks, int(fiber % K::threads)};
    typename K::Local local;
    __tsan_acquire(&l.begun);
    const int steps = l.kernel.steps();
    for (int step = 0; step < steps; ++step) {
        if (step > 0) {
            int64_t& meeting = l.meetings[2 * block + step % 2];
            meet_before(step, meeting, __tsan_release);
            to_host();
            meet_before(step, meeting, __tsan_acquire);
        }
        run_step(l.kernel, step, thread, l.shared[block], local);
    }
    __tsan_release(&l.done);
}
// Some blocks at once, each of whose threads is a fiber; more of them later, by the same fibers.
template <class K>
UNSEEN void launch(const char*, Index blocks, const K& kernel) noexcept {
    if (blocks == 0) return;
    constexpr Index at_once = most_fibers / K::threads;
    auto* const shared = new typename K::Shared[size_t(blocks)];
    auto* const meetings = new int64_t[2 * size_t(blocks)];
    auto* const l = new Launched<K>{kernel, blocks, 0, shared, meetings, 0, 0};
    host.body = live_thread<K>;
    host.launched = l;
    ++host.launches;
    const int steps = kernel.steps();
    host.kernel = number_of<K>();
    if (steps > host.missing && host.missing > 0) host.lacks[host.kernel] = true;
    __tsan_release(&l->begun);
    for (; l->first < blocks; l->first += at_once) {
        const Index now = std::min(at_once, blocks - l->first);
        for (Index block = now; block-- > 0;)
            for (int step = 0; step < steps; ++step)
                for (int i = 0; i < K::threads; ++i)
                    resume(block * K::threads + ((step + block) % 2 ? i : K::threads - 1 - i));
    }
    __tsan_acquire(&l->done);
    delete l;
    delete[] meetings;
    delete[] shared;
}

#include "../csrc/base/philox.h"
//
#include "../csrc/cuda/vec_float.h"
//
#include "../csrc/cpu/math.h"
//
#include "../csrc/cpu/wide.h"
//
#include "../csrc/cpu/gates_unfused.h"
constexpr Index lanes = 1;
#include "../csrc/cuda/kernels.h"
//
#include "../csrc/cuda/products.h"
//
#include "../csrc/cuda/products_reduced.h"
//
#include "../csrc/cuda/frame.h"

// What has to be reported: threads of a block, and threads of two blocks, without a meeting.
struct RaceInBlock {
    static constexpr int threads = 64;
    struct Shared {
        float x[threads];
    };
    using Local = Nothing;
    float* out;
    int steps() const { return 1; }
    void run(int, const Thread& t, Shared& shared, Local&) const {
        shared.x[t.index] = float(t.index);
        out[t.index] = shared.x[threads - 1 - t.index];
    }
};
struct RaceInTheMiddle {
    static constexpr int threads = 64;
    using Shared = RaceInBlock::Shared;
    using Local = Nothing;
    float* out;
    int steps() const { return 3; }
    void run(int step, const Thread& t, Shared& shared, Local& local) const {
        if (step == 1) RaceInBlock{out}.run(0, t, shared, local);
    }
};
struct RaceOfBlocks {
    static constexpr int threads = 32;
    using Shared = Nothing;
    using Local = Nothing;
    float* out;
    int steps() const { return 2; }
    void run(int step, const Thread& t, Shared&, Local&) const {
        if (step == 0 && t.block == 0) out[t.index] = 1;
        if (step == 1 && t.block == 1) out[t.index + threads] = out[t.index];
    }
};
// One that meets is none.
struct NoRace {
    static constexpr int threads = 64;
    using Shared = RaceInBlock::Shared;
    using Local = Nothing;
    float* out;
    int steps() const { return 2; }
    void run(int step, const Thread& t, Shared& shared, Local&) const {
        if (step == 0) shared.x[t.index] = float(t.index);
        if (step == 1) out[t.block * threads + t.index] = shared.x[threads - 1 - t.index];
    }
};

// Drawn arrays, none of them on a stack.
struct Memory {
    std::deque<std::vector<T>> arrays;
    uint32_t state = 1;

    T* numbers(Index count) {
        auto& array = arrays.emplace_back(size_t(count));
        for (T& x : array) x = T(int((state = state * 1664525u + 1013904223u) >> 8) % 2000 - 1000) / 1000;
        return array.data();
    }
    View<T> matrix(Index rows, Index cols, Index gap = 0) { return {numbers(rows * (cols + gap)), cols + gap}; }
};
template <class A>
View<const A> read(const View<A>& view) {
    return {view.data, view.ld};
}
template <class A>
A* made(size_t count = 1, const A& value = {}) {
    static std::deque<std::vector<A>> all;
    return all.emplace_back(count, value).data();
}

const auto product_of_ours = product<product_as_is, relu_forward>;

void normalizations(Index n, Index c, Memory m) {
    const View<T> x = m.matrix(n, c), y = m.matrix(n, c), dy = m.matrix(n, c), dx = m.matrix(n, c);
    T *const mean = m.numbers(c), *const variance = m.numbers(c), *const gamma = m.numbers(c),
             *const beta = m.numbers(c);
    T *const dgamma = m.numbers(c), *const dbeta = m.numbers(c), *const slope = m.numbers(c), *const ds = m.numbers(c);
    const BatchNormForward<T> forward{n, c, read(x), y, mean, variance, gamma, beta, 1e-3, {{1.0}}};
    batchnorm_by_batch<Elu<V>>(forward, mean, variance);
    batchnorm_statistics({n, c, read(x), mean, variance});
    batchnorm_forward<Elu<V>>(forward);
    for (const View<T>& to : {dx, dy})
        batchnorm_backward<Elu<V>>(
            {n, c, read(dy), read(x), read(y), to, mean, variance, gamma, beta, dgamma, dbeta, 1e-3, {{1.0}}, true});
    batchnorm_backward<Prelu<V>>({n,
                                  c,
                                  read(dy),
                                  read(x),
                                  read(y),
                                  dx,
                                  mean,
                                  variance,
                                  gamma,
                                  beta,
                                  dgamma,
                                  dbeta,
                                  1e-3,
                                  {},
                                  true,
                                  {slope, 0},
                                  ds});
    if (c % piece == 0)
        fold_columns_by<Moments, piece>("moments", n, c, c, MomentsOfRows{read(x)}, KeepMoments{mean, variance});
    T *const means = m.numbers(n), *const inverses = m.numbers(n);
    layernorm_forward({n, c, read(x), y, gamma, beta, means, inverses, 1e-3});
    layernorm_backward({n, c, read(dy), read(x), dy, gamma, means, inverses});
    layernorm_gradients({n, c, read(dy), read(x), means, inverses, dgamma, dbeta});
}

void activations(Index n, Index c, Memory m) {
    const View<T> x = m.matrix(n, c), y = m.matrix(n, c), dy = m.matrix(n, c), dx = m.matrix(n, c, 3);
    T *const slope = m.numbers(c), *const ds = m.numbers(c);
    activation_forward<Elu<V>>({n, c, read(x), y, {{1.0}}});
    activation_backward<Prelu<V>>({n, c, read(dy), read(x), dy, {}, {slope, 0}, ds});
    softmax_forward({n, c, read(x), y, {}});
    softmax_forward({n, c, read(x), x, {}});
    softmax_backward({n, c, read(dy), read(y), dy, {}});
    log_softmax_backward({n, c, read(dy), read(y), dx, {}});
    maxout_forward({n, c / 3, 3, read(x), y});
    maxout_backward({n, c / 3, 3, read(dy), read(x), read(y), x});
    noise_forward<Dropout<V>>({n, c, read(x), x, {{0.3}}, {1, 2, 0, 0, c}});
    scaled_add({n, c, read(x), read(dy), m.numbers(n), x});
}

void losses(Index n, Index c, Memory m) {
    const View<T> x = m.matrix(n, c), y = m.matrix(n, c), dx = m.matrix(n, c), probabilities = m.matrix(n, c);
    int32_t* const labels = made<int32_t>(size_t(n));
    for (Index i = 0; i < n; ++i) labels[i] = int32_t(i % c);
    double* const loss = made<double>();
    softmax_forward({n, c, read(x), probabilities, {}});
    softmax_crossentropy({n, c, read(x), labels, {}, y, dx, 1.0 / double(n), loss, {}, m.numbers(n)});
    softmax_crossentropy({n, c, read(x), labels, {}, {}, x, 1.0 / double(n), loss});
    softmax_focal_crossentropy({n, c, read(x), nullptr, read(probabilities), y, dx, 1.0, loss, {{2.0}}});
    cosine_similarity({n, c, read(x), nullptr, read(y), {}, dx, 1.0, loss});
    crossentropy({n, c, read(probabilities), labels, {}, {}, dx, 1.0, loss});
    smooth_targets({n, c, labels, y, 0.1, false});
    const MetricArgs<T> metric{n, c, read(x), labels, {}, {{0.5}}, made<double>(size_t(3 * c + 500))};
    for (const auto& measured : {accuracy, auc, r2_score, top_k_accuracy, binary_accuracy, precision}) measured(metric);
}

void sums(Index n, Index c, Memory m) {
    const View<T> x = m.matrix(n, c), y = m.matrix(n, c);
    double* const sum = made<double>();
    squared_norm(n, c, read(x), sum);
    dot(n, c, read(x), read(y), made<Dot>());
    penalty_value({n, c, read(x), 0.1, 0.1}, sum);
    penalty_gradient({n, c, read(x), y, 0.1, 0.1}, sum);
    accumulate({n, c, x, y, 0.5}, sum);
    first_nonfinite_row(n, c, read(x), made<Index>());
    max_norm({n, c, x, {{0.5}}});
    non_negative({n, c, x, {}});
    column_sums(n, c, read(x), m.numbers(c));
}

void gatherings(Index n, Index c, Memory m) {
    int64_t* const order = made<int64_t>(size_t(n));
    for (Index i = 0; i < n; ++i) order[i] = n - 1 - i;
    int32_t *const labels = made<int32_t>(size_t(n)), *const to = made<int32_t>(size_t(n));
    gather_labels(n, labels, order, to);
    const View<T> from = m.matrix(n, c), x = m.matrix(n, c);
    const Gathering<T> rows{{n, c, from.data, c * Index(sizeof(T)), order, x}, Source::float32};
    const Gathering<T> all[] = {rows, {{n, 1, nullptr, 0, order, {}}, Source::float32, labels, to}};
    gathers(all, 2);
    fill({n, x.data, nullptr, 1.0});
}

// Both of ours, with what shares their launches.
void products(Index n, Index c, Memory m) {
    const Index k = c / 2 + 4;
    const View<T> a = m.matrix(n, k), w = m.matrix(k, c), z = m.matrix(n, c), y = m.matrix(n, c);
    const View<T> da = m.matrix(n, k), dw = m.matrix(k, c);
    T *const mean = m.numbers(c), *const variance = m.numbers(c), *const gamma = m.numbers(c),
             *const beta = m.numbers(c);
    Gemm<T> g{.m = n,
              .n = c,
              .k = k,
              .a = a.data,
              .a_row = k,
              .a_col = 1,
              .b = w.data,
              .b_row = c,
              .b_col = 1,
              .c = z,
              .bias = m.numbers(c)};
    gemm(g);
    launch("gemm", divide_up(n, GemmKernel::tile) * divide_up(c, GemmKernel::tile), GemmKernel{g});
    launch("gemm", blocks_of_slices(g), SlicedGemm{g});
    Gemm<T> followed = g;
    followed.y = z;
    followed.epilogue = activation_forward<Elu<V>>;
    followed.params = {{1.0}};
    dense_forward<Elu<V>, goes_by_our_slices>(followed, product_of_ours);
    dense_by_batch<Elu<V>, goes_by_our_slices>(g, {n, c, read(z), y, mean, variance, gamma, beta, 1e-3, {{1.0}}}, mean,
                                               variance, product_of_ours);
    const Gemm<T> two[] = {
        {.m = k, .n = c, .k = n, .a = a.data, .a_row = 1, .a_col = k, .b = z.data, .b_row = c, .b_col = 1, .c = dw},
        {.m = n, .n = k, .k = c, .a = z.data, .a_row = c, .a_col = 1, .b = w.data, .b_row = 1, .b_col = c, .c = da}};
    const ColumnSums<T> beside{n, c, read(z), m.numbers(c)};
    products_at_once<goes_by_our_slices>(two, 2, &beside, product_of_ours);
    const Index down = divide_up(n, 4) * 4;
    to_two_parts({a.data, false, k}, false, k, n, {m.matrix(k + 16, down), m.matrix(k + 16, down)});  // turned
}

void updates(Index, Index c, Memory m) {
    constexpr Index count = 40;
    StepScalars* const scalars = made<StepScalars>();
    for (auto& x : scalars->optimizer) x = 0.1;
    std::vector<UpdateArgs<T>> updated;
    std::vector<Measure<T>> measured;
    for (Index i = 0; i < count; ++i) {
        const Index size = c * (i % 8 + 1);
        const View<T> gradient = m.matrix(1, size);
        updated.push_back({1,
                           size,
                           size,
                           m.numbers(size),
                           read(gradient),
                           {m.numbers(size), m.numbers(size), nullptr},
                           scalars,
                           made<double>(1, 0.5),
                           1e9});
        measured.push_back({1, size, read(gradient), made<double>()});
    }
    const MovingAverage<T> averages[] = {{c, m.numbers(c), m.numbers(c), 0.9}, {c, m.numbers(c), m.numbers(c), 0.9}};
    optimizer_updates<Adam<V>>(updated.data(), count, averages, 2);
    measure(measured.data(), count);
}

// Around as many arrays as it has threads.
void judgements(Index, Index, Memory) {
    for (const int tensors : {3, 128, 129}) {
        Judgement j{};
        j.rows = 32;
        j.loss_scale = 1;
        j.losses = 1;
        j.loss = made<double>(1, 1.0);
        j.penalties = tensors;
        j.penalty = made<double>(size_t(tensors), 0.1);
        j.activities = 1;
        j.activity = made<double>();
        j.tensors = tensors;
        j.squares = made<double>(size_t(tensors), 1.0);
        j.rules = made<TensorRule>(size_t(tensors), {1.0, false});
        j.scales = made<double>(size_t(tensors));
        j.clipping = {1e30, 1e30, 1.0};
        j.checks = j.updates = true;
        j.largest = 3e38;
        j.statistics = 3;
        j.sound = made<double>(3);
        j.verdict = made<Verdict>();
        j.totals = made<Totals>();
        j.cursor = made<Cursor>();
        j.multipliers = 2;
        j.ahead = made<StepScalars>(4);
        j.now = made<StepScalars>(2);
        j.learning_rate = &j.now[0].learning_rate;
        judge_step(j);
    }
}

constexpr struct {
    const char* name;
    void (*run)(Index rows, Index cols, Memory);
} families[] = {
    {"normalizations", normalizations}, {"activations", activations}, {"losses", losses},   {"sums", sums},
    {"gatherings", gatherings},         {"products", products},       {"updates", updates}, {"judgements", judgements}};

}  // namespace fusednet::races

// ThreadSanitizer calls it within a report: what is seen here would be one more, and wait for it.
extern "C" UNSEEN void __tsan_on_report(void*) {
    using fusednet::races::host;
    if (host.kernel >= 0) host.raced[host.kernel] = true;
}

int main(int count, char** arguments) {
    using namespace fusednet::races;
    if (count > 2) host.missing = std::atoi(arguments[2]);
    const char* const asked = count > 1 ? arguments[1] : "";
    if (!make_fibers()) return 1;
    float* const out = made<float>(128);
    if (!std::strcmp(asked, "in a block")) launch(asked, 1, RaceInBlock{out});
    if (!std::strcmp(asked, "in the middle")) launch(asked, 1, RaceInTheMiddle{out});
    if (!std::strcmp(asked, "of blocks")) launch(asked, 2, RaceOfBlocks{out});
    if (!std::strcmp(asked, "none")) launch(asked, 2, NoRace{out});
    for (const auto& family : families)
        if (!std::strcmp(asked, "kernels") || !std::strcmp(asked, family.name)) {
            family.run(5, 6, {});
            family.run(33, 36, {});
            family.run(600, 9, {});
        }
    for (const auto* kernels : {&host.lacks, &host.raced})
        std::printf("%ld ", long(std::count(std::begin(*kernels), std::end(*kernels), true)));
    std::printf("launches %ld\n", host.launches);
}
