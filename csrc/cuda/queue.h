// A queue of device "cuda": what runtime.cpp keeps of a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "../base/device.h"
#include "current.h"
#include "runtime.h"
#include "steps.h"
#include "text.h"

namespace fusednet::cuda {

constexpr size_t mebibyte = size_t(1) << 20;
constexpr int text_size = 320;
constexpr const char* uploading = "copying to the device";
constexpr const char* downloading = "copying from the device";

// Errors of what ran before, which any later call returns.
inline bool is_late(cudaError_t error) noexcept {
    return error >= cudaErrorIllegalAddress && error < cudaErrorNotPermitted &&
           error != cudaErrorLaunchOutOfResources && error != cudaErrorCooperativeLaunchTooLarge;
}

// What becomes of an allocation where there is no room: the host's, if the device had some.
inline bool is_no_room(cudaError_t error) noexcept {
    return error == cudaSuccess || error == cudaErrorMemoryAllocation;
}

// Where host memory waits for its copy: two pinned halves, the one filled while the device reads the other. As large
// as what is copied, within limits.
struct Staging {
    static constexpr size_t least = mebibyte, most = 8 * mebibyte, alignment = 256;
    char* bytes = nullptr;
    size_t half = 0;
    cudaEvent_t read[2] = {};  // when the device has read all of a half, or filled it
    bool pinned = false;
    int side = 0;
    size_t used = 0;

    // Nothing reads it any more.
    void let_go() noexcept {
        if (pinned)
            (void)went(cudaFreeHost(bytes));
        else
            std::free(bytes);
        bytes = nullptr;
        half = used = 0;
    }
};

// What a half has for whom.
struct Coming {
    Unpack unpack = nullptr;  // null: nothing
    const void* context = nullptr;
    size_t offset = 0, bytes = 0;
    int64_t call = 0;
};

struct Block {
    void* memory = nullptr;
    size_t bytes = 0;
    Block* older = nullptr;
};
struct Held {
    Block* newest = nullptr;
};

// A step that is kept: as a graph, or as a program.
struct Captured {
    cudaGraphExec_t graph = nullptr;
    int kernels = 0;  // of the graph
    Program program = {};
    bool refused = false;
};

inline cudaError_t count_kernels(cudaGraph_t graph,
                                 int& kernels) noexcept {  // a library may have clears and copies there
    size_t count = 0;
    cudaError_t error = cudaGraphGetNodes(graph, nullptr, &count);
    const std::unique_ptr<cudaGraphNode_t[]> nodes(new (std::nothrow) cudaGraphNode_t[count]);
    if (!error) error = nodes ? cudaGraphGetNodes(graph, nodes.get(), &count) : cudaErrorMemoryAllocation;
    if (error) return error;
    for (size_t i = 0; i < count; ++i) {
        cudaGraphNodeType type;
        if (error = cudaGraphNodeGetType(nodes[i], &type); error) return error;
        kernels += type == cudaGraphNodeTypeKernel;
    }
    return cudaSuccess;
}

struct Queue {
    cudaStream_t stream = nullptr;
    const int32_t* guard = nullptr;
    Held held[int(Space::count)];
    Staging staging;                // of what is copied in the order of the stream
    cudaStream_t copies = nullptr;  // of what is sent beside it
    cudaEvent_t arrived = nullptr;  // when all of that is there
    Staging sending;
    bool sent = false;               // and the stream was not told to wait for it
    cudaStream_t returns = nullptr;  // of what is brought back beside it
    cudaEvent_t ready = nullptr;     // when that may be read
    Staging bringing;                // halves take turns: `side` is the older one
    Coming coming[2];
    int64_t brings = 0;  // calls so far
    bool returning = false;
    const char* last_kernel = nullptr;
    bool busy = false;  // something was enqueued that nobody has waited for
    bool failed = false, capturing = false;
    Captured* recording = nullptr;
    size_t no_room = 0;  // bytes that it failed for
    char failure[text_size] = {}, told[text_size] = {};

    void fail(const char* what, const char* why) noexcept {
        if (!failed) print(failure, sizeof failure, "%s: %s", what, why);
        failed = true;
    }
    bool check(cudaError_t error, const char* what) noexcept {
        if (went(error)) return true;
        if (!is_late(error) || !last_kernel) {
            fail(what, cudaGetErrorString(error));
            return false;
        }
        char kernel[text_size];
        print(kernel, sizeof kernel, "kernel '%s' or one before it", last_kernel);
        fail(kernel, cudaGetErrorString(error));
        return false;
    }
    // All that was asked of the device is done; else it is waited for again, and told again if the device is lost.
    bool finish() noexcept {
        constexpr const char* what = "waiting for the device";
        if (sent) {
            if (!check(cudaStreamSynchronize(copies), what)) return false;
            sent = false;
            sending.used = 0;
        }
        if (returning) {
            if (!check(cudaStreamSynchronize(returns), what)) return false;
            returning = false;
        }
        if (!busy) return true;
        if (!check(cudaStreamSynchronize(stream), what)) return false;
        busy = false;
        staging.used = 0;
        return true;
    }
    // Where no memory can be pinned, the copies are from memory as it is: CUDA has taken what it needs when they
    // return. To grow waits for all that was enqueued, so it comes before anything is said to be.
    bool stage(Staging& s, size_t bytes) noexcept {
        size_t wanted = Staging::least;
        while (wanted < bytes && wanted < Staging::most) wanted *= 2;
        if (wanted <= s.half) return true;
        for (cudaEvent_t& event : s.read)
            if (!event && !check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event")) return false;
        if (s.bytes && !finish()) return false;
        s.let_go();
        void* memory = nullptr;
        s.pinned = went(cudaMallocHost(&memory, 2 * wanted));
        if (!s.pinned) memory = std::malloc(2 * wanted);
        if (!memory) {
            fail("room for what is copied", "out of the host's memory");
            return false;
        }
        s.bytes = static_cast<char*>(memory);
        s.half = wanted;
        return true;
    }

    bool next_half(Staging& s, cudaStream_t on) noexcept {
        if (!check(cudaEventRecord(s.read[s.side], on), uploading)) return false;
        s.side ^= 1;
        s.used = 0;
        return check(cudaEventSynchronize(s.read[s.side]), uploading);
    }
    void copy_there(Staging& s, cudaStream_t on, void* to, size_t bytes, Pack pack, const void* context) noexcept {
        for (size_t done = 0; done < bytes;) {
            if (s.used >= s.half && !next_half(s, on)) return;
            const size_t n = std::min(bytes - done, s.half - s.used);
            char* place = s.bytes + size_t(s.side) * s.half + s.used;
            pack(context, place, done, n);
            if (!check(cudaMemcpyAsync(static_cast<char*>(to) + done, place, n, cudaMemcpyHostToDevice, on), uploading))
                return;
            done += n;
            s.used += (n + Staging::alignment - 1) / Staging::alignment * Staging::alignment;
        }
    }

    // Nobody gets what has failed.
    void hand_out(int side) noexcept {
        const Coming c = std::exchange(coming[side], {});
        if (!c.unpack || failed || !check(cudaEventSynchronize(bringing.read[side]), downloading)) return;
        c.unpack(c.context, bringing.bytes + size_t(side) * bringing.half, c.offset, c.bytes);
    }
    void brought(int but) noexcept {
        for (const int side : {bringing.side, bringing.side ^ 1})
            if (brings - coming[side].call >= but) hand_out(side);
    }
    void bring(const char* from, size_t bytes, Unpack unpack, const void* context) noexcept {
        if (!returns && !check(cudaStreamCreateWithFlags(&returns, cudaStreamNonBlocking), "a stream")) return;
        if (!ready && !check(cudaEventCreateWithFlags(&ready, cudaEventDisableTiming), "an event")) return;
        if (bytes > bringing.half) brought(0);  // else what is there would be gone where it grows
        if (!stage(bringing, bytes) || !check(cudaEventRecord(ready, stream), downloading) ||
            !check(cudaStreamWaitEvent(returns, ready, 0), downloading))
            return;
        returning = true;
        ++brings;
        for (size_t done = 0; done < bytes; bringing.side ^= 1) {
            const int side = bringing.side;
            hand_out(side);
            const size_t n = std::min(bytes - done, bringing.half);
            char* const place = bringing.bytes + size_t(side) * bringing.half;
            if (failed ||
                !check(cudaMemcpyAsync(place, from + done, n, cudaMemcpyDeviceToHost, returns), downloading) ||
                !check(cudaEventRecord(bringing.read[side], returns), downloading))
                return;
            coming[side] = {unpack, context, done, n, brings};
            done += n;
        }
    }
};

}  // namespace fusednet::cuda
