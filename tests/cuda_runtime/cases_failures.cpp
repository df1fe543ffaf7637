// What is said of what fails, and that a queue goes on afterwards.
#include <cstdio>
#include <cstring>

#include "cases.h"

namespace cases {
namespace {

using fusednet::cuda::launch;
using fusednet::cuda::Space;
using fusednet::cuda::workspace_bytes;

constexpr size_t mebibyte = size_t(1) << 20;

// Why CUDA cannot be used, asked for twice, and what there is.
void found() {
    const auto& info = fusednet::cuda::device_info();
    const char* why = "";
    for (int i = 0; i < 2; ++i) {
        const bool there = fusednet::cuda::find_device(&why) != nullptr;
        std::printf("%s\n", there ? "a device" : why);
        CHECK(cudaPeekAtLastError() == cudaSuccess);
        void* const queue = device.open(&why);
        CHECK((queue != nullptr) == there);
        device.close(queue);
    }
    std::printf("driver %d runtime %d devices %d", info.driver, info.runtime, info.count);
    for (int i = 0; i < info.count; ++i)
        std::printf(", %s %d.%d", info.devices[i].name, info.devices[i].major, info.devices[i].minor);
    std::printf("\n%s\n", info.reason ? info.reason : "");
}

// No kernel loads at first: there may be room later.
void found_later() {
    const char* why = "";
    stand_in::machine.loaded = cudaErrorMemoryAllocation;
    CHECK(!fusednet::cuda::find_device(&why) && text(why) == "Stand-in 0: out of memory");
    CHECK(!device.open(&why) && text(why) == "Stand-in 0: out of memory");
    stand_in::machine.loaded = cudaSuccess;
    CHECK(fusednet::cuda::find_device(&why));
    const Queue queue;
}

struct Nothing {
    void operator()() const {}
};
struct Crash {
    void operator()() const { stand_in::crash(cudaErrorIllegalAddress); }
};

// A launch that does not go names its kernel, and nothing is begun after it.
void launches() {
    const Queue queue;
    const Array array(1000);
    array.upload(bytes(1000, 1));
    launch("first", Nothing{});
    for (const cudaError_t error : {cudaErrorLaunchOutOfResources, cudaErrorCooperativeLaunchTooLarge}) {
        stand_in::fail("cudaLaunchKernel", 1, error);
        launch("second", Nothing{});
        const int before = stand_in::calls("");
        CHECK(fusednet::cuda::failed());
        launch("third", Nothing{});
        add(array.get(), array.get(), 1000, 1);
        array.upload(bytes(1000, 2));
        array.send(bytes(1000, 2));
        device.receive();
        device.clear(array.get(), 1000);
        device.begin_capture(0, nullptr, 0);
        CHECK(!device.end_capture() && !workspace_bytes(Space::own, 1));
        CHECK(array.download() == std::vector<char>(1000, 'x'));
        CHECK(stand_in::calls("") == before);
        CHECK(told() == std::string("kernel 'second': ") + cudaGetErrorString(error));
        CHECK(told() == "" && !fusednet::cuda::failed());
        CHECK(array.download() == bytes(1000, 1));
    }
    // memory that could not be pinned is not the next kernel's failure
    stand_in::fail("cudaMallocHost", 1, cudaErrorMemoryAllocation);
    const Array large(3 * mebibyte);
    large.upload(bytes(3 * mebibyte, 1));
    launch("third", Nothing{});
    CHECK(told() == "");
}

// More blocks than a launch can have: nothing is launched, and the kernel and the count are told. A graph is none then,
// and the caller's launches tell it; what is recorded tells it itself.
void too_many_blocks() {
    using fusednet::cuda::can_launch;
    const ptrdiff_t most = 2147483647;
    const std::string want = "kernel 'wide': expects at most 2147483647 blocks, got 2147483648";
    const Queue queue;
    CHECK(can_launch("wide", 0) && can_launch("wide", most) && told() == "");
    const int before = stand_in::calls("");
    CHECK(!can_launch("wide", most + 1) && !can_launch("wider", most + 2) && fusednet::cuda::failed());
    launch("next", Nothing{});
    CHECK(stand_in::calls("") == before);
    CHECK(told() == want && told() == "");
    for (const double operations : {0.0, 1e6}) {
        device.begin_capture(operations, nullptr, 0);
        launch("first", Nothing{});
        CHECK(!can_launch("wide", most + 1));
        CHECK(!device.end_capture());
        CHECK(told() == (operations > 0 ? want : ""));
    }
    CHECK(!can_launch("wide", ptrdiff_t(1) << 40));
    CHECK(told() == "kernel 'wide': expects at most 2147483647 blocks, got 1099511627776");
    launch("next", Nothing{});
    CHECK(told() == "");
}

// What others have left behind when a queue is entered is not our kernel's.
void errors_of_others() {
    const Queue queue;
    for (const cudaError_t error : {cudaErrorInvalidValue, cudaErrorLaunchOutOfResources}) {
        CHECK(device.enter(nullptr) == queue.get());
        stand_in::fail("cudaFree", 1, error);
        CHECK(cudaFree(nullptr) == error && cudaPeekAtLastError() == error);
        CHECK(device.enter(queue.get()) == nullptr);
        launch("ours", Nothing{});
        CHECK(told() == "");
    }
}

// Lost while no kernel of ours has run: what was being done is named.
void lost_before_any_kernel() {
    const Queue queue;
    const Array array(1000);
    array.upload(bytes(1000, 1));
    stand_in::crash(cudaErrorIllegalAddress);
    CHECK(told() == "waiting for the device: an illegal memory access was encountered");
    array.upload(bytes(1000, 1));
    CHECK(told() == "copying to the device: an illegal memory access was encountered");
}

// Lost as a capture begins, which is no mere lack of a capture: it stays told, though nothing else is to be waited for.
void lost_in_a_capture() {
    const Queue queue;
    CHECK(told() == "");
    stand_in::crash(cudaErrorLaunchFailure);
    device.begin_capture(0, nullptr, 0);
    CHECK(!device.end_capture() && fusednet::cuda::failed());
    CHECK(told() == "a capture: unspecified launch failure");
}

// What fails while it runs is told by the next that waits, with the latest kernel; the device is lost then, to all.
void late(void (*enqueue)(), const std::string& name) {
    const Queue queue;
    const Array array(1000);
    enqueue();
    const std::string want = "kernel '" + name + "' or one before it: an illegal memory access was encountered";
    CHECK(told() == want);
    CHECK(told() == want);
    (void)array.download();
    CHECK(told() == want);
    launch("more", Nothing{});
    CHECK(told() == want);
    array.upload(bytes(1000, 1));
    CHECK(told() == want);
    CHECK(!workspace_bytes(Space::own, 1000));
    size_t no_room = 0;
    CHECK(text(device.wait(&no_room)) == want && no_room == 0);
    CHECK(text(device.holds(array.get())) == "an illegal memory access was encountered");
    CHECK(text(device.settle(0)) == "an illegal memory access was encountered");
    const char* why = "";
    CHECK(!device.open(&why) && text(why) == "no stream: an illegal memory access was encountered");
    size_t free = 1, total = 1;
    device.memory(&free, &total);
    CHECK(total == 0);
}
void late_kernel() {
    late(
        [] {
            launch("fine", Nothing{});
            launch("crashes", Crash{});
        },
        "crashes");
}
void replay_crash(double operations) {
    device.begin_capture(operations, nullptr, 0);
    launch("crashes", Crash{});
    void* const step = device.end_capture();
    CHECK(step);
    device.replay(step, 2);
    device.forget(step);
}
void late_graph() {
    late([] { replay_crash(0); }, "of a captured step");
}
void late_program() {
    late([] { replay_crash(1e6); }, "of steps in one launch");
}

// A step that cannot be kept is none: the caller enqueues it kernel by kernel. Nothing of it has run.
void no_capture() {
    const Queue queue;
    const Array array(1000);
    array.upload(bytes(1000, 1));
    int refused = 0;
    const auto capture = [&](double operations) {
        device.begin_capture(operations, nullptr, 0);
        add(array.get(), array.get(), 1000, 1);
        void* const step = device.end_capture();
        CHECK(told() == "" && stand_in::live().graphs == 0);
        CHECK(cudaPeekAtLastError() == cudaSuccess);
        refused += !step;
        return step;
    };
    for (const char* function : {"cudaStreamBeginCapture", "cudaLaunchKernel", "cudaStreamEndCapture",
                                 "cudaGraphGetNodes", "cudaGraphInstantiate"}) {
        stand_in::fail(function, 1, cudaErrorNotPermitted);
        CHECK(!capture(0));
    }
    object_refused = 1;
    CHECK(!capture(0) && object_refused == 0);
    // no room for the list of a program: nor for a workspace in a capture
    device.trim();
    stand_in::fail("cudaMalloc", 1, cudaErrorMemoryAllocation);
    CHECK(!capture(1e6));
    device.begin_capture(0, nullptr, 0);
    stand_in::fail("cudaMalloc", 1, cudaErrorMemoryAllocation);
    stand_in::fail("cudaMalloc", 2, cudaErrorMemoryAllocation);
    CHECK(!workspace_bytes(Space::own, 1000));
    CHECK(!device.end_capture());
    size_t no_room = 0;
    CHECK(device.wait(&no_room) == nullptr && no_room == 0);
    // what failed before stays told
    stand_in::fail("cudaLaunchKernel", 1, cudaErrorNotPermitted);
    add(array.get(), array.get(), 1000, 1);
    device.begin_capture(0, nullptr, 0);
    CHECK(!device.end_capture());
    CHECK(told() == "kernel 'add': operation not permitted");
    CHECK(array.download() == bytes(1000, 1));
    for (const double operations : {0.0, 1e6}) {
        void* const step = capture(operations);
        CHECK(step);
        device.replay(step, 1);
        device.forget(step);
    }
    CHECK(array.download() == plus(bytes(1000, 1), 2));
    CHECK(refused == 7 && stand_in::live().executables == 0);
}

// What is too long for a program, or looks at two guards, is none.
void no_program() {
    const Queue queue;
    const Array array(1000);
    const auto record = [&](int kernels, bool guards) {
        device.begin_capture(1e6, nullptr, 0);
        for (int i = 0; i < kernels; ++i) launch("short", Nothing{});
        if (guards) device.guard(reinterpret_cast<const int32_t*>(array.get()));
        launch("last", Nothing{});
        device.guard(nullptr);
        void* const step = device.end_capture();
        CHECK(told() == "");
        const int count = step ? device.kernels(step) : 0;
        device.forget(step);
        return count;
    };
    const int most = fusednet::cuda::most_program_kernels;
    CHECK(record(most - 1, false) == most);
    CHECK(record(most, false) == 0);
    CHECK(record(2, true) == 0);
    device.trim();
    CHECK(stand_in::live().memory == 1);
}

// The objects that the host keeps of a queue.
void no_objects() {
    const char* why = "";
    CHECK(fusednet::cuda::find_device(&why));
    object_refused = 1;
    CHECK(!device.open(&why) && text(why) == "no stream: out of memory");
    const Queue queue;
    object_refused = 1;
    CHECK(!workspace_bytes(Space::own, 1000));
    size_t no_room = 0;
    CHECK(text(device.wait(&no_room)) == "a workspace: out of memory" && no_room > 0);
    object_refused = 1;
    device.begin_capture(1e6, nullptr, 0);
    launch("short", Nothing{});
    CHECK(!device.end_capture());
    CHECK(told() == "recording a step: out of the host's memory");
    CHECK(workspace_bytes(Space::own, 1000) && told() == "");
}

}  // namespace

const std::vector<Named> failures = {
    {"found", found},
    {"found later", found_later},
    {"launches", launches},
    {"too many blocks", too_many_blocks},
    {"late kernel", late_kernel},
    {"late graph", late_graph},
    {"late program", late_program},
    {"no capture", no_capture},
    {"no program", no_program},
    {"no objects", no_objects},
    {"errors of others", errors_of_others},
    {"lost before any kernel", lost_before_any_kernel},
    {"lost in a capture", lost_in_a_capture},
};

}  // namespace cases
