// Device "cuda" over CUDA's runtime. A queue is a stream of its own with its workspaces, one for rows on their way, and
// pinned buffers for both.
#include "runtime.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "cache.h"
#include "device.h"
#include "queue.h"

namespace fusednet::cuda {
namespace {

// What the calling thread has entered; another may have closed it since.
thread_local Queue* queue = nullptr;

thread_local cudaError_t allocated = cudaSuccess;  // what became of the calling thread's latest allocation

// What is free and all there is; 0 where nobody knows.
void ask(size_t* free, size_t* total) noexcept {
    const Current current;
    if (current.error() == cudaSuccess && went(cudaMemGetInfo(free, total))) return;
    *free = *total = 0;
}

// Kept for as long as the process lives: at its end CUDA may be gone before we are.
Cache& cache() noexcept {
    static Cache* const made = new Cache({
        .allocate = [](size_t bytes) noexcept -> void* {
            const Current current;
            void* memory = nullptr;
            allocated = current.error() == cudaSuccess ? cudaMalloc(&memory, bytes) : current.error();
            return went(allocated) ? memory : nullptr;
        },
        .free =
            [](void* memory) noexcept {
                const Current current;  // else it stays where it is: to ask opens what device is current
                if (current.error() == cudaSuccess) (void)went(cudaFree(memory));
            },
        .limit = []() noexcept -> size_t {
            size_t free, total;
            ask(&free, &total);
            return total / 8;
        },
        .spoil = nullptr,
    });
    return *made;
}

void* allocate(size_t bytes) noexcept {
    return cache().take(bytes);
}

const char* refusal() noexcept {
    return is_no_room(allocated) ? nullptr : cudaGetErrorString(allocated);
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

void destroy(Queue* q) noexcept {
    const Current current;
    for (cudaStream_t stream : {q->copies, q->returns, q->stream})
        if (stream) (void)cudaStreamSynchronize(stream);
    for (const Held& held : q->held)
        for (Block* block = held.newest; block;) {
            release(block->memory);
            delete std::exchange(block, block->older);
        }
    for (Staging* const staging : {&q->staging, &q->sending, &q->bringing}) {
        for (cudaEvent_t event : staging->read)
            if (event) (void)cudaEventDestroy(event);
        staging->let_go();
    }
    for (cudaEvent_t event : {q->arrived, q->ready})
        if (event) (void)cudaEventDestroy(event);
    for (cudaStream_t stream : {q->stream, q->copies, q->returns})
        if (stream) (void)cudaStreamDestroy(stream);
    (void)cudaGetLastError();
    delete q;
}

void* open(const char** why) noexcept {
    if (!find_device(why)) return nullptr;
    const Current current;
    Queue* q = new (std::nothrow) Queue;
    cudaError_t error = q ? current.error() : cudaErrorMemoryAllocation;
    if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&q->stream, cudaStreamNonBlocking);
    if (went(error)) return q;
    static thread_local char text[text_size];
    print(text, sizeof text, "no stream: %s", cudaGetErrorString(error));
    *why = text;
    if (q) destroy(q);
    return nullptr;
}

// The device that the thread had before it entered any queue comes back when it leaves the last.
thread_local int device_outside = device_number;

void* enter(void* next) noexcept {
    Queue* const before = queue;
    queue = static_cast<Queue*>(next);
    if (!before && queue) {
        (void)cudaGetLastError();  // what others have left is not our next kernel's
        device_outside = device_number;
        if (queue->check(cudaGetDevice(&device_outside), "the current device") && device_outside != device_number)
            queue->check(cudaSetDevice(device_number), "choosing the device");
    } else if (before && !queue && device_outside != device_number) {
        (void)went(cudaSetDevice(device_outside));
    }
    return before;
}

void close(void* old) noexcept {
    if (queue == old) enter(nullptr);
    if (old) destroy(static_cast<Queue*>(old));
}

void memory(size_t* free, size_t* total) noexcept {
    ask(free, total);
    if (*total > 0) *free += kept();
}

void clear(void* to, size_t bytes) noexcept {
    if (!failed() && bytes) queue->check(cudaMemsetAsync(to, 0, bytes, stream()), "clearing the device's memory");
}

void upload(void* to, const void* from, size_t bytes) noexcept {
    if (failed() || bytes == 0) return;
    const Pack as_it_is = [](const void* context, char* place, size_t offset, size_t n) noexcept {
        std::memcpy(place, static_cast<const char*>(context) + offset, n);
    };
    if (!queue->stage(queue->staging, bytes)) return;
    queue->copy_there(queue->staging, stream(), to, bytes, as_it_is, from);
}

// In a stream of its own, so that it does not wait for kernels.
void send(void* to, size_t bytes, Pack pack, const void* context) noexcept {
    if (failed() || bytes == 0) return;
    Queue& q = *queue;
    if (!q.copies && !q.check(cudaStreamCreateWithFlags(&q.copies, cudaStreamNonBlocking), "a stream")) return;
    if (!q.stage(q.sending, bytes)) return;
    q.sent = true;
    q.copy_there(q.sending, q.copies, to, bytes, pack, context);
}

void receive() noexcept {
    if (failed() || !queue->sent) return;
    Queue& q = *queue;
    if (!q.arrived && !q.check(cudaEventCreateWithFlags(&q.arrived, cudaEventDisableTiming), "an event")) return;
    if (q.check(cudaEventRecord(q.arrived, q.copies), uploading) &&
        q.check(cudaStreamWaitEvent(stream(), q.arrived, 0), uploading))
        q.sent = false;
}

void download(void* to, const void* from, size_t bytes) noexcept {
    if (failed() || bytes == 0) return;
    Queue& q = *queue;
    if (q.check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream()), downloading)) q.finish();
}

void bring(const void* from, size_t bytes, Unpack unpack, const void* context) noexcept {
    if (!failed() && bytes) queue->bring(static_cast<const char*>(from), bytes, unpack, context);
}

bool brought(int but) noexcept {
    if (queue) queue->brought(but);
    return !failed();
}

void set_guard(const int32_t* status) noexcept {
    if (queue) queue->guard = status;
}

void forget(void* captured) noexcept {
    auto* const old = static_cast<Captured*>(captured);
    if (!old) return;
    const Current current;
    if (old->graph) (void)went(cudaGraphExecDestroy(old->graph));
    if (old->program.arrivals) discard(old->program.arrivals);
    delete old;
}

// In front of the records, in one piece, lies the count of those that have arrived.
Captured* begin_recording(double operations, const void* chip, size_t chip_bytes) noexcept {
    auto* const step = new (std::nothrow) Captured;
    if (!step) {
        queue->fail("recording a step", "out of the host's memory");
        return nullptr;
    }
    constexpr size_t bytes = alignof(Record) * 16 + most_program_kernels * sizeof(Record);
    auto* const memory = static_cast<char*>(allocate(bytes));
    step->refused = !memory;
    if (!memory) return step;
    clear(memory, bytes);  // records are read whole, whatever a kernel fills of its own
    step->program = {.records = reinterpret_cast<Record*>(memory + alignof(Record) * 16),
                     .blocks = program_blocks(operations),
                     .guard = queue->guard,
                     .arrivals = reinterpret_cast<unsigned*>(memory),
                     .chip_bytes = chip_bytes,
                     .chip = chip};
    return step;
}

// Relaxed: a workspace may grow meanwhile. Where it cannot begin nothing is enqueued until it ends.
void begin_capture(double operations, const void* chip, size_t chip_bytes) noexcept {
    if (failed()) return;
    if (operations > 0) {
        queue->recording = begin_recording(operations, chip, chip_bytes);
    } else {
        queue->capturing = true;
        queue->check(cudaStreamBeginCapture(queue->stream, cudaStreamCaptureModeRelaxed), "a capture");
    }
}

// What only a capture cannot do is no failure: the caller enqueues the step as it did before.
void* end_capture() noexcept {
    if (!queue) return nullptr;
    if (Captured* const recorded = std::exchange(queue->recording, nullptr)) {
        if (!recorded->refused && !queue->failed) return recorded;
        forget(recorded);
        return nullptr;
    }
    if (!queue->capturing) return nullptr;
    queue->capturing = false;
    cudaGraph_t graph = nullptr;
    auto* const captured = new (std::nothrow) Captured;
    cudaError_t error = cudaStreamEndCapture(queue->stream, &graph);
    if (error == cudaSuccess && !queue->failed && captured) error = count_kernels(graph, captured->kernels);
    if (error == cudaSuccess && !queue->failed && captured) error = cudaGraphInstantiate(&captured->graph, graph, 0);
    if (graph) (void)went(cudaGraphDestroy(graph));
    if (error == cudaSuccess && captured && captured->graph) return captured;
    if (went(error) || !is_late(error)) queue->failed = false, queue->no_room = 0;
    delete captured;
    return nullptr;
}

int places(const void* captured) noexcept {
    return static_cast<const Captured*>(captured)->program.blocks;
}

int kernels(const void* captured) noexcept {
    const Captured& step = *static_cast<const Captured*>(captured);
    return step.graph ? step.kernels : step.program.kernels;
}

void replay(void* captured, int64_t times) noexcept {
    const Captured& step = *static_cast<Captured*>(captured);
    if (failed()) return;
    if (!step.graph) return launch_program(step.program, times);
    for (int64_t i = 0; i < times && !queue->failed; ++i) {
        queue->last_kernel = "of a captured step";
        queue->check(cudaGraphLaunch(step.graph, stream()), "a captured step");
    }
}

const char* wait(size_t* no_room) noexcept {
    if (!queue) return "no queue was entered";
    queue->finish();
    queue->brought(0);
    if (!queue->failed) return nullptr;
    queue->failed = false;
    const size_t bytes = std::exchange(queue->no_room, 0);
    if (no_room) *no_room = bytes;
    std::memcpy(queue->told, queue->failure, sizeof queue->told);
    return queue->told;
}

// About others' memory and streams, which is nobody's failure: the caller refuses them.
const char* text_of(cudaError_t error) noexcept {
    (void)cudaGetLastError();
    return cudaGetErrorString(error);
}

const char* holds(const void* memory) noexcept {
    const Current current;
    cudaPointerAttributes found{};
    const cudaError_t error = cudaPointerGetAttributes(&found, memory);
    if (error != cudaSuccess) return text_of(error);
    if (found.type == cudaMemoryTypeManaged) return nullptr;
    if (found.type != cudaMemoryTypeDevice) return "it is memory of the host";
    if (found.device == device_number) return nullptr;
    static thread_local char text[text_size];
    print(text, sizeof text, "it lies on CUDA device %d, not on %d", found.device, device_number);
    return text;
}

const char* settle(uintptr_t stream) noexcept {
    const Current current;
    const cudaError_t error = cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(stream));
    return error == cudaSuccess ? nullptr : text_of(error);
}

}  // namespace

CUstream_st* stream() noexcept {
    if (!queue) return nullptr;
    queue->busy = true;
    return queue->stream;
}

const int32_t* guard() noexcept {
    return queue ? queue->guard : nullptr;
}

bool failed() noexcept {
    return !queue || queue->failed;
}

bool recording() noexcept {
    return queue && queue->recording;
}

void refuse_recording() noexcept {
    queue->recording->refused = true;
}

// The guard is looked at once for all: it has to be the same.
Record* next_record() noexcept {
    Captured& step = *queue->recording;
    if (step.program.kernels == most_program_kernels || step.program.guard != queue->guard) step.refused = true;
    return step.refused ? nullptr : step.program.records + step.program.kernels++;
}

// Memory that was handed out stays until the queue is closed: kernels in flight and captured ones come back to it. So
// it grows to twice its size where there is room, unless a sanitizer is to see where it ends.
void* workspace_bytes(Space space, size_t bytes) noexcept {
    if (failed()) return nullptr;
    Queue& q = *queue;
    Held& held = q.held[int(space)];
    if (held.newest && bytes <= held.newest->bytes) return held.newest->memory;
    const auto rounded = [](size_t n) { return (n / (2 * mebibyte) + 1) * (2 * mebibyte); };
    const bool exact = cache().exact();
    const size_t least = exact ? bytes : rounded(bytes);
    const size_t twice = exact || !held.newest ? 0 : rounded(2 * held.newest->bytes);
    auto* block = new (std::nothrow) Block{.bytes = std::max(least, twice), .older = held.newest};
    if (block) block->memory = cache().take_if_free(block->bytes);
    if (block && !block->memory) {
        block->bytes = least;
        block->memory = allocate(least);
    }
    if (block && block->memory) return (held.newest = block)->memory;
    const bool no_room = !block || is_no_room(allocated);
    delete block;
    if (!no_room) {
        q.check(allocated, "a workspace");
        return nullptr;
    }
    q.no_room = least;
    q.fail("a workspace", "out of memory");
    return nullptr;
}

bool can_launch(const char* kernel, ptrdiff_t blocks) noexcept {
    if (blocks <= most_launched) return true;
    if (failed()) return false;
    too_many_blocks(queue->failure, sizeof queue->failure, kernel, blocks);
    queue->failed = true;
    return false;
}

void note_launch(const char* kernel) noexcept {
    const cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) {
        queue->last_kernel = kernel;
        return;
    }
    char what[text_size];
    print(what, sizeof what, "kernel '%s'", kernel);
    queue->check(error, what);
}

void note_failure(const char* what, const char* why) noexcept {
    if (queue) queue->fail(what, why);
}

extern const Device device;
constinit const Device device = {.name = "cuda",
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
                                 .guard = set_guard,
                                 .judge = judge_step,
                                 .library = has_library,
                                 .begin_capture = begin_capture,
                                 .end_capture = end_capture,
                                 .chip = chip_of_programs,
                                 .blocks = program_blocks,
                                 .places = places,
                                 .kernels = kernels,
                                 .replay = replay,
                                 .forget = forget,
                                 .wait = wait,
                                 .holds = holds,
                                 .settle = settle,
                                 .dlpack = 2};

}  // namespace fusednet::cuda
