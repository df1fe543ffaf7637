// The device's kernels on the host: blocks and threads are loops, the device's memory is the host's. Compiled for tests
// only, so that they can be held against the truth without a device.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "cache.h"
#include "cublaslt.h"
#include "emulated_queue.h"
#include "program.h"
#include "runtime.h"
#include "target.h"

namespace fusednet::cuda_emulated {

using cuda::most_kernel_bytes;

bool failed() noexcept {
    return queue && (queue->no_room > 0 || queue->failure[0]);
}
// The host's loops have as many blocks as they like: without a queue nobody could be told.
bool can_launch(const char* kernel, ptrdiff_t blocks) noexcept {
    if (queue && goes_wrong(Asked::kernel) && !failed())
        cuda::print(queue->failure, sizeof queue->failure, "kernel '%s': a test wants it to fail", kernel);
    if (blocks <= cuda::most_launched || !queue) return true;
    if (!failed()) cuda::too_many_blocks(queue->failure, sizeof queue->failure, kernel, blocks);
    return false;
}

// Now, or when what is captured is replayed; guarded as it is now, but for what does not look at the guard.
template <class W>
void enqueue(const W& work, bool decides = false, bool launch = true, bool guarded = true) {
    if (failed()) return;
    const Kept kept{work, queue && guarded ? queue->guard : nullptr, decides};
    if (queue && queue->captured) {
        queue->captured->kernels.push_back(kept);
        queue->captured->launches += launch;
    } else if (!kept.refused()) {
        kept.work(0);
    }
}

// Full of NaN whenever a kernel begins with it.
template <class A>
A* workspace(Space space, Index count) {
    static thread_local Workspace without_queue;
    const size_t bytes = size_t(count) * sizeof(A);
    const bool more = queue && !queue->workspace.has(space, bytes);
    if (more && (goes_wrong(Asked::allocation) || bytes > all_memory) && !failed()) queue->no_room = bytes;
    if (failed()) return nullptr;
    void* const memory = (queue ? queue->workspace : without_queue).get(space, bytes);
    enqueue([=](Index) { __builtin_memset(memory, 0xff, bytes); }, false, false);
    return static_cast<A*>(memory);
}

inline void add_one(unsigned long long* counter) {
    ++*counter;
}

// Of 384 KiB of cache, and without being asked, so that tests reach panels with arrays of a few hundred rows.
ptrdiff_t panel_room() noexcept {
    static const ptrdiff_t room = cuda::panel_setting() == cuda::PanelSetting::no ? 0 : cuda::room_of_panels(384 << 10);
    return room;
}

}  // namespace fusednet::cuda_emulated

#include "emulated_library.h"

namespace fusednet::cuda_emulated {

#include "launch.h"

#include "../base/philox.h"

namespace float32 {

#include "vec_float.h"

#include "../cpu/math.h"

#include "../cpu/wide.h"

#include "../cpu/gates_unfused.h"

constexpr Index lanes = 1;

#include "kernels.h"

#include "products.h"

#include "products_reduced.h"

constexpr Table<T> made = make_device_table<goes_by_our_slices>("cuda_emulated");

constexpr Table<T> with_library() noexcept {
    Table<T> table = made;
    table.gemm = product<product_as_is, relu_forward>;
    table.reduced[int(Precision::high)] = product<product_of_two_parts, relu_forward>;
    table.reduced[int(Precision::medium)] = product<product_of_bfloat16, relu_forward>;
    return table;
}

}  // namespace float32

namespace float64 {

#include "../cpu/vec_float64.h"

#include "kernels.h"

#include "products.h"

constexpr Table<T> with_library() noexcept {
    Table<T> table = make_device_table<goes_by_our_slices>("cuda_emulated");
    table.gemm = product<product_as_is, relu_forward>;
    return table;
}

}  // namespace float64

#include "frame.h"

extern const Table<float> table;  // for the host's arrays
constinit const Table<float> table = float32::made;
extern const Table<float> device_table;
extern const Table<double> device_table64;
constinit const Table<float> device_table = float32::with_library();
constinit const Table<double> device_table64 = float64::with_library();
extern const Table<float> recorded_table;
constinit const Table<float> recorded_table =
    float32::with_library();  // the same kernels: they are recorded either way

namespace {

void* open(const char** why) noexcept {
    static const struct Problem {
        char text[160] = {};
        Problem() noexcept { cuda::panel_problem(text, sizeof text); }
    } problem;
    *why = problem.text;
    return problem.text[0] ? nullptr : new (std::nothrow) Queue;
}
void close(void* q) noexcept {
    if (queue == q) queue = nullptr;
    delete static_cast<Queue*>(q);
}
void* enter(void* q) noexcept {
    return std::exchange(queue, static_cast<Queue*>(q));
}
// Full of NaN: what is read has to have been written.
void spoil(void* memory, size_t bytes) noexcept {
    __builtin_memset(memory, 0xff, bytes);
}
// What there is no room for is not what `memory` says: tests ask for more than a page of it. A system that promises
// memory which it lacks is not asked for more than a machine has.
constexpr size_t most_bytes = size_t(1) << 42;
cuda::Cache& cache() noexcept {
    static cuda::Cache* const made = new cuda::Cache({
        .allocate = [](size_t bytes) noexcept -> void* {
            void* memory = nullptr;  // of any size, which aligned_alloc might refuse
            if (bytes > most_bytes || posix_memalign(&memory, 256, bytes) != 0) return nullptr;
            spoil(memory, bytes);
            return memory;
        },
        .free = [](void* memory) noexcept { std::free(memory); },
        .limit = []() noexcept { return all_memory / 8; },
        .spoil = spoil,
    });
    return *made;
}
void* allocate(size_t bytes) noexcept {
    if (goes_wrong(Asked::allocation)) return nullptr;
    return cache().take(bytes);
}
const char* refusal() noexcept {
    return nullptr;
}
void release(void* memory) noexcept {
    cache().give(memory);
}
void discard(void* memory) noexcept {
    cache().drop(memory);
}
void keep(size_t bytes) noexcept {
    cache().limit(bytes);
}
size_t kept() noexcept {
    return cache().idle();
}
void trim() noexcept {
    cache().trim();
}
void memory(size_t* free, size_t* total) noexcept {
    *free = *total = all_memory;
}
// Whether it goes well; nothing is begun after a failure.
bool transfers(const char* what) noexcept {
    if (queue->captured) std::abort();  // a graph would do it again
    const bool wrong = goes_wrong(Asked::transfer);
    if (failed()) return false;
    if (wrong) cuda::print(queue->failure, sizeof queue->failure, "%s: a test wants it to fail", what);
    return !wrong;
}
void clear(void* to, size_t bytes) noexcept {
    if (bytes && transfers("clearing the device's memory")) __builtin_memset(to, 0, bytes);
}
void upload(void* to, const void* from, size_t bytes) noexcept {
    if (bytes && transfers("copying to the device")) __builtin_memcpy(to, from, bytes);
}
void send(void* to, size_t bytes, Pack pack, const void* context) noexcept {
    if (!bytes || !transfers("copying to the device")) return;
    char* const begin = static_cast<char*>(to);
    for (const auto& [place, size] : queue->received)
        if (begin < place + size && place < begin + bytes) std::abort();  // a device would be there too early
    std::vector<char> packed(bytes);
    const size_t half = bytes / 2;  // as a device's halves take turns
    pack(context, packed.data(), 0, half);
    pack(context, packed.data() + half, half, bytes - half);
    queue->sent.emplace_back(begin, std::move(packed));
}
// All that was sent.
void arrive() noexcept {
    for (const auto& [to, packed] : queue->sent) {
        __builtin_memcpy(to, packed.data(), packed.size());
        queue->received.emplace_back(to, packed.size());
    }
    queue->sent.clear();
}
void receive() noexcept {
    if (queue->captured) std::abort();
    if (!failed()) arrive();
}
void all_read() noexcept {
    queue->received.clear();
    for (Coming& c : queue->coming) c.read = 0;
}
void download(void* to, const void* from, size_t bytes) noexcept {
    note(Asked::wait);
    if (!bytes || !transfers("copying from the device")) return;
    __builtin_memcpy(to, from, bytes);
    all_read();
}
void bring(const void* from, size_t bytes, Unpack unpack, const void* context) noexcept {
    if (bytes && transfers("copying from the device"))
        queue->coming.push_back({static_cast<const char*>(from), bytes, unpack, context, queue->received.size()});
}
bool brought(int but) noexcept {
    while (queue->coming.size() > size_t(but)) {
        note(Asked::wait);
        const Coming c = queue->coming.front();
        queue->coming.erase(queue->coming.begin());
        if (!failed()) {
            const std::vector<char> packed(c.from, c.from + c.bytes);
            const size_t half = c.bytes / 2;
            c.unpack(c.context, packed.data(), 0, half);
            c.unpack(c.context, packed.data() + half, half, c.bytes - half);
        }
        queue->received.erase(queue->received.begin(), queue->received.begin() + ptrdiff_t(c.read));
        for (Coming& later : queue->coming) later.read -= c.read;
    }
    return !failed();
}
void guard(const int32_t* status) noexcept {
    queue->guard = status;
}
void* chip(size_t* bytes) noexcept {
    *bytes = chip_bytes;
    return queue->chip.get();
}
void begin_capture(double operations, const void* at, size_t of_chip) noexcept {
    if (failed()) return;
    queue->captured = new Captured;
    queue->captured->chip_bytes = of_chip;
    if (operations > 0) queue->captured->places = program_blocks(operations);
    if (of_chip > (queue->captured->places == 1 ? chip_bytes : 0)) std::abort();
    if (of_chip > 0 && at != queue->chip.get()) std::abort();
}
void* end_capture() noexcept {
    Captured* const step = std::exchange(queue->captured, nullptr);
    if (!step) return nullptr;
    const bool is_program = !step->refused && step->kernels.size() <= cuda::most_program_kernels;
    if (!failed() && (step->places == 0 || is_program)) return step;
    if (step->places == 0) queue->failure[0] = 0, queue->no_room = 0;  // the caller enqueues it then
    delete step;
    return nullptr;
}
int places(const void* captured) noexcept {
    return static_cast<const Captured*>(captured)->places;
}
int kernels(const void* captured) noexcept {
    return static_cast<const Captured*>(captured)->launches;
}
void run_steps(const Captured& step, int64_t times) noexcept {
    bool looks = true;  // a program looks at the guard only where it may have changed
    for (int64_t i = 0; i < times; ++i) {
        spoil(queue->chip.get(), step.chip_bytes);  // no step reads what another has left there
        for (const Kept& kept : step.kernels) {
            if ((looks || step.places == 0) && kept.refused()) {
                if (step.places > 0) return;
                continue;
            }
            kept.work(step.places);
            looks = kept.decides;
        }
    }
}
// The chip's memory is full of NaN before and after. A step has to use its part, and nothing behind that.
void replay(void* captured, int64_t times) noexcept {
    if (failed()) return;
    const Captured& step = *static_cast<Captured*>(captured);
    const bool refused = step.kernels.empty() || step.kernels.front().refused();
    unsigned char *const begin = queue->chip->bytes, *const end = begin + chip_bytes;
    const auto spoilt = [](const unsigned char* from, const unsigned char* to) {
        return std::all_of(from, to, [](unsigned char byte) { return byte == 0xff; });
    };
    spoil(begin, chip_bytes);
    run_steps(step, times);
    const size_t used = step.chip_bytes;
    if (!spoilt(begin + used, end) || (used > 0 && times > 0 && !refused && spoilt(begin, begin + used))) std::abort();
    spoil(begin, chip_bytes);
}
void forget(void* captured) noexcept {
    delete static_cast<Captured*>(captured);
}
const char* wait(size_t* no_room) noexcept {
    note(Asked::wait);
    arrive();
    brought(0);
    all_read();
    const size_t bytes = std::exchange(queue->no_room, 0);
    if (no_room) *no_room = bytes;
    if (bytes) return "a workspace: out of memory";
    if (!queue->failure[0]) return nullptr;
    std::copy(std::begin(queue->failure), std::end(queue->failure), queue->told);
    queue->failure[0] = 0;
    return queue->told;
}
// All of the host's memory is the device's; what is no memory at all is found where that is easy.
const char* holds(const void* memory) noexcept {
    return reinterpret_cast<uintptr_t>(memory) < 4096 ? "it is no memory of the device" : nullptr;
}
const char* settle(uintptr_t stream) noexcept {
    return stream > 2 ? "there is no such stream" : nullptr;
}

}  // namespace

extern const Device device;
constinit const Device device = {.name = "cuda_emulated",
                                 .open = open,
                                 .close = close,
                                 .enter = enter,
                                 .allocate = allocate,
                                 .refusal = refusal,
                                 .release = release,
                                 .discard = discard,
                                 .keep = keep,
                                 .kept = kept,
                                 .trim = trim,
                                 .memory = memory,
                                 .clear = clear,
                                 .upload = upload,
                                 .send = send,
                                 .receive = receive,
                                 .download = download,
                                 .bring = bring,
                                 .brought = brought,
                                 .guard = guard,
                                 .judge = judge_step,
                                 .library = library_ready,
                                 .begin_capture = begin_capture,
                                 .end_capture = end_capture,
                                 .chip = chip,
                                 .blocks = program_blocks,
                                 .places = places,
                                 .kernels = kernels,
                                 .replay = replay,
                                 .forget = forget,
                                 .wait = wait,
                                 .holds = holds,
                                 .settle = settle,
                                 .dlpack = 1};

}  // namespace fusednet::cuda_emulated

// For tests: how often the calling thread has asked for something, and that it goes wrong behind so many more.
extern "C" {
__attribute__((visibility("default"))) long fusednet_emulated_count(int what) {
    return fusednet::cuda_emulated::asked[what];
}
__attribute__((visibility("default"))) void fusednet_emulated_fail(int what, long behind) {
    fusednet::cuda_emulated::wrong[what] = fusednet::cuda_emulated::asked[what] + behind + 1;
}
}
