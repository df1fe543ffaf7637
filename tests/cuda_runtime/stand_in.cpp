#include "stand_in.h"

#include "engine.h"

namespace stand_in {

void fail(const std::string& function, int nth, cudaError_t error) {
    failures.push_back({function, nth, nth == 0, error});
}
void fail_no_more() {
    failures.clear();
}
const char* failed_call() {
    return first_failed.c_str();
}
int calls(const std::string& function) {
    int all = 0;
    for (const auto& [name, count] : counts)
        if (function.empty() || name == function) all += count;
    return all;
}
bool lost() {
    return gone != cudaSuccess;
}
int device_of_thread() {
    return current;
}
Live live() {
    const auto there = std::count_if(streams.begin(), streams.end(), [](const auto& s) { return !s.destroyed; });
    return {int(allocated.size()), int(pinned.size()), int(there),
            int(events.size()),    int(graphs.size()), int(executables.size())};
}

cudaError_t launch(cudaStream_t stream, Work kernel) {
    const Call call("cudaLaunchKernel");
    if (call.error) return call.error;
    const CUstream_st* const there = known(stream);
    if (!there || there->device != current) return said(cudaErrorInvalidResourceHandle);
    return enqueue(stream, {std::move(kernel)});
}

char* at(const void* p, size_t bytes) {
    if (range_of(both, p, bytes) != both.end()) return const_cast<char*>(static_cast<const char*>(p));
    if (range_of(allocated, p, bytes) == allocated.end()) misuse("a kernel reaches what is not allocated");
    return memory().seen + (static_cast<const char*>(p) - memory().hidden);
}

void crash(cudaError_t error) {
    gone = error;
}

void* managed() {
    static char page[4096];
    both[page] = {sizeof page, 0};
    return page;
}

}  // namespace stand_in

using namespace stand_in;

#define BEGIN                  \
    const Call call(__func__); \
    if (call.error) return call.error

extern "C" {

cudaError_t cudaGetLastError() {
    const cudaError_t error = last;
    last = gone;
    return error;
}
cudaError_t cudaPeekAtLastError() {
    return last;
}

const char* cudaGetErrorString(cudaError_t error) {
    struct Text {
        cudaError_t error;
        int number;
        const char* text;
    };
    static constexpr Text texts[] = {
        {cudaSuccess, 0, "no error"},
        {cudaErrorInvalidValue, 1, "invalid argument"},
        {cudaErrorMemoryAllocation, 2, "out of memory"},
        {cudaErrorInitializationError, 3, "initialization error"},
        {cudaErrorStubLibrary, 34, "CUDA driver is a stub library"},
        {cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version"},
        {cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable"},
        {cudaErrorInvalidDeviceFunction, 98, "invalid device function"},
        {cudaErrorNoDevice, 100, "no CUDA-capable device is detected"},
        {cudaErrorInvalidDevice, 101, "invalid device ordinal"},
        {cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device"},
        {cudaErrorInvalidResourceHandle, 400, "invalid resource handle"},
        {cudaErrorIllegalState, 401, "the operation cannot be performed in the present state"},
        {cudaErrorIllegalAddress, 700, "an illegal memory access was encountered"},
        {cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch"},
        {cudaErrorLaunchFailure, 719, "unspecified launch failure"},
        {cudaErrorCooperativeLaunchTooLarge, 720, "too many blocks in cooperative launch"},
        {cudaErrorNotPermitted, 800, "operation not permitted"},
        {cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing"},
        {cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture"},
        {cudaErrorUnknown, 999, "unknown error"},
    };
    static_assert(std::all_of(std::begin(texts), std::end(texts), [](Text t) { return int(t.error) == t.number; }));
    for (const Text& t : texts)
        if (t.error == error) return t.text;
    return "unrecognized error code";
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    BEGIN;
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
    BEGIN;
    *version = machine.driver;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
    BEGIN;
    *count = machine.devices;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    BEGIN;
    if (device >= machine.devices) return said(cudaErrorInvalidDevice);
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Stand-in %d", device);
    properties->totalGlobalMem = machine.memory;
    properties->major = 9;
    properties->l2CacheSize = 50 << 20;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
    BEGIN;
    *device = current;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    BEGIN;
    if (device >= machine.devices) return said(cudaErrorInvalidDevice);
    current = device;
    return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) {
    BEGIN;
    return said(machine.loaded);
}

cudaError_t cudaMalloc(void** to, size_t bytes) {
    BEGIN;
    *to = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (bytes > free_memory()) return said(cudaErrorMemoryAllocation);
    Memory& m = memory();
    if (bytes > Memory::size - m.used) misuse("more memory than a test may take one after the other");
    *to = m.hidden + m.used;
    allocated[m.hidden + m.used] = {bytes, current};
    std::memset(m.seen + m.used, 0xff, std::min(bytes, size_t(1) << 16));
    m.used += (bytes + 511) / 512 * 512;
    return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
    BEGIN;
    run_all();
    if (p && allocated.erase(static_cast<char*>(p)) == 0) misuse("memory is freed that was not allocated");
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void** to, size_t bytes) {
    BEGIN;
    *to = std::malloc(bytes);
    if (!*to) return said(cudaErrorMemoryAllocation);
    pinned[static_cast<char*>(*to)] = {bytes, current};
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void* p) {
    BEGIN;
    const auto found = pinned.find(static_cast<char*>(p));
    if (p && found == pinned.end()) misuse("pinned memory is freed that was not allocated");
    for (const CUstream_st& stream : streams)
        for (const Operation& operation : stream.operations)
            if (p && operation.pinned && range_of(pinned, operation.pinned) == found)
                misuse("pinned memory is freed while it is read or written");
    if (!p) return cudaSuccess;
    pinned.erase(found);
    std::free(p);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    BEGIN;
    *free = free_memory();
    *total = machine.memory;
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
    BEGIN;
    *attributes = {};
    attributes->device = -2;
    const std::pair<Ranges*, cudaMemoryType> kinds[] = {
        {&allocated, cudaMemoryTypeDevice}, {&pinned, cudaMemoryTypeHost}, {&both, cudaMemoryTypeManaged}};
    for (const auto& [ranges, type] : kinds)
        if (const auto found = range_of(*ranges, p); found != ranges->end()) {
            attributes->type = type;
            attributes->device = found->second.device;
        }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
    BEGIN;
    if (range_of(allocated, to, bytes) == allocated.end()) return said(cudaErrorInvalidValue);
    Operation clear;
    clear.clears = true;
    clear.work = [=] { std::memset(at(to, bytes), value, bytes); };
    return enqueue(stream, std::move(clear));
}
// What is read from memory that is not pinned is read at once, what is written there is written when its turn comes.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    BEGIN;
    const bool there = kind == cudaMemcpyHostToDevice;
    if (range_of(allocated, there ? to : from, bytes) == allocated.end()) return said(cudaErrorInvalidValue);
    Operation copy;
    copy.copies = true;
    if (!there) {
        copy.pinned = to;
        copy.work = [=] { std::memcpy(to, at(from, bytes), bytes); };
    } else if (range_of(pinned, from, bytes) != pinned.end()) {
        copy.pinned = from;
        copy.work = [=] { std::memcpy(at(to, bytes), from, bytes); };
    } else {
        const char* const begin = static_cast<const char*>(from);
        copy.work = [to, held = std::vector<char>(begin, begin + bytes)] {
            std::memcpy(at(to, held.size()), held.data(), held.size());
        };
    }
    return enqueue(stream, std::move(copy));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    BEGIN;
    if (flags != cudaStreamNonBlocking) misuse("a stream that waits for others' work in the default stream");
    streams.push_back({current});
    *stream = &streams.back();
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    BEGIN;
    CUstream_st* const there = known(stream);
    if (!there) misuse("a stream is destroyed that is not there");
    there->destroyed = true;
    delete std::exchange(there->captures, nullptr);
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    BEGIN;
    if (reinterpret_cast<uintptr_t>(stream) <= 2) return cudaSuccess;  // the default streams
    CUstream_st* const there = known(stream);
    if (!there) return said(cudaErrorInvalidResourceHandle);
    if (there->captures) {
        there->invalidated = true;
        return said(cudaErrorStreamCaptureUnsupported);
    }
    run(*there);
    return said(gone);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    BEGIN;
    if (!event->mark) return cudaSuccess;
    Operation wait;
    wait.waits = event->mark;
    return enqueue(stream, std::move(wait));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    BEGIN;
    events.push_back({current, nullptr});
    *event = &events.back();
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    BEGIN;
    return remove(events, static_cast<const CUevent_st*>(event));
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    BEGIN;
    CUstream_st* const there = known(stream);
    if (!there || there->device != event->device) return said(cudaErrorInvalidResourceHandle);
    Operation record;
    record.sets = event->mark = std::make_shared<Mark>(Mark{there});
    return enqueue(stream, std::move(record));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    BEGIN;
    if (event->mark && !event->mark->done) run(*event->mark->stream, event->mark.get());
    return said(gone);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    BEGIN;
    CUstream_st* const there = known(stream);
    if (!there || there->captures || mode != cudaStreamCaptureModeRelaxed) return said(cudaErrorIllegalState);
    there->captures = new CUgraph_st;
    there->invalidated = false;
    return cudaSuccess;
}
// A capture ends, whatever comes of it.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    const Call call(__func__);
    *graph = nullptr;
    CUstream_st* const there = known(stream);
    const std::unique_ptr<CUgraph_st> captured(there ? std::exchange(there->captures, nullptr) : nullptr);
    if (call.error) return call.error;
    if (!captured) return said(cudaErrorIllegalState);
    if (there->invalidated) return said(cudaErrorStreamCaptureInvalidated);
    graphs.push_back(*captured);
    *graph = &graphs.back();
    return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
    BEGIN;
    const size_t room = nodes ? std::min(*count, graph->nodes.size()) : 0;
    for (size_t i = 0; i < room; ++i) nodes[i] = &graph->nodes[i];
    *count = nodes ? room : graph->nodes.size();
    return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
    BEGIN;
    *type = node->type;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    BEGIN;
    executables.push_back({graph->nodes});
    *executable = &executables.back();
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    BEGIN;
    return enqueue(stream, {[nodes = executable->nodes] {
                       for (const CUgraphNode_st& node : nodes) node.work();
                   }});
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    BEGIN;
    return remove(graphs, static_cast<const CUgraph_st*>(graph));
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    BEGIN;
    return remove(executables, static_cast<const CUgraphExec_st*>(executable));
}

}  // extern "C"
