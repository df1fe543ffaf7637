// A queue of device "cuda": what runtime.cpp keeps of a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "current.h"
#include "runtime.h"
#include "steps.h"
#include "text.h"

namespace fusednet::cuda {

constexpr size_t mebibyte = size_t(1) << 20;
constexpr int text_size = 320;

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
    cudaEvent_t read[2] = {};  // when the device has read all of a half
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
    bool sent = false;  // and the stream was not told to wait for it
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
            fail("copying to the device", "out of the host's memory");
            return false;
        }
        s.bytes = static_cast<char*>(memory);
        s.half = wanted;
        return true;
    }
};

}  // namespace fusednet::cuda
