// A stand-in for CUDA's runtime, for tests: what is enqueued runs on the host, in an order that a device may have it
// in.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace stand_in {

// What runs when. Lazy: nothing before somebody waits for it, and then no more than has to. Eager: at once. Else what
// a seed draws, streams before, behind and between each other as far as events allow.
constexpr int lazy = -1, eager = -2;
extern int pace;

// What there is. The numbers of the driver and of this build are CUDA's, 13000 is 13.0.
struct Machine {
    int devices = 2, driver = 13000;
    cudaError_t counted = cudaSuccess;  // what cudaGetDeviceCount says
    cudaError_t loaded = cudaSuccess;   // what becomes of looking for a kernel
    size_t memory = size_t(256) << 20;  // of each device
};
extern Machine machine;

// The nth call of the function from now on, or of any for "", returns an error and does nothing else; a device that is
// lost by it has it for every later call. nth 0: all of them.
void fail(const std::string& function, int nth, cudaError_t error);
void fail_no_more();
const char* failed_call();  // the first that did; "" if none
int calls(const std::string& function);
bool lost();
int device_of_thread();

// What is allocated or created and not given back.
struct Live {
    int memory, pinned, streams, events, graphs, executables;
    int all() const { return memory + pinned + streams + events + graphs + executables; }
};
Live live();

// Kernels: what they do, as a launch does it. They reach the device's memory through `at`, which ends the process where
// it is not allocated; nobody else can.
cudaError_t launch(cudaStream_t stream, std::function<void()> kernel);
char* at(const void* memory, size_t bytes);
void crash(cudaError_t error);  // the kernel that calls it: the device is lost
void* managed();                // a page that both see

// Ends the process with a reason: what the runtime leaves undefined.
[[noreturn]] void misuse(const char* what);

}  // namespace stand_in
