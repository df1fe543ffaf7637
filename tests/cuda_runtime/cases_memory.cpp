// The device's memory, the thread's own device, other libraries' memory, and processes that were forked.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "../../csrc/cuda/cache.h"
#include "cases.h"

namespace cases {
namespace {

using fusednet::cuda::Space;
using fusednet::cuda::workspace_bytes;

constexpr size_t mebibyte = size_t(1) << 20;

char* space(size_t bytes) {
    return static_cast<char*>(workspace_bytes(Space::own, bytes));
}
size_t taken() {
    size_t free = 0, total = 0;
    (void)cudaMemGetInfo(&free, &total);
    return total - free;
}

// They grow to twice their size, or to what is wanted where there is no room for that. What was handed out stays.
void workspaces() {
    stand_in::machine.memory = 64 * mebibyte;
    const Queue queue;
    char* const first = space(1000);
    CHECK(first && taken() == 2 * mebibyte);
    CHECK(space(2 * mebibyte) == first && space(1) == first);
    CHECK(workspace_bytes(Space::parts, 1000) != first && taken() == 4 * mebibyte);
    char* const second = space(15 * mebibyte);
    CHECK(second != first && taken() == 20 * mebibyte);
    CHECK(space(17 * mebibyte) != second && taken() == 20 * mebibyte + 34 * mebibyte);
    CHECK(space(39 * mebibyte) == nullptr);
    size_t no_room = 0;
    CHECK(text(device.wait(&no_room)) == "a workspace: out of memory");
    CHECK(no_room == 40 * mebibyte);
    no_room = 0;
    CHECK(device.wait(&no_room) == nullptr && no_room == 0);
    CHECK(space(3 * mebibyte));
    CHECK(workspace_bytes(Space::parts, 9 * mebibyte) && taken() == 64 * mebibyte);  // not 18 of which there are 10
    add(first, first, 1000, 1);
    CHECK(told() == "");
}

// What nobody has a hold of makes room where there is none, and counts as free.
void makes_room() {
    stand_in::machine.memory = 64 * mebibyte;
    device.keep(64 * mebibyte);
    {
        const Array a(20 * mebibyte), b(22 * mebibyte);
    }
    size_t free = 0, total = 0;
    device.memory(&free, &total);
    CHECK(device.kept() == 42 * mebibyte && taken() == 42 * mebibyte);
    CHECK(free == 64 * mebibyte && total == 64 * mebibyte);
    {
        const Array again(19 * mebibyte);
        CHECK(again.get() && device.kept() == 22 * mebibyte);
        const Array large(30 * mebibyte);
        CHECK(large.get() && device.kept() == 0 && taken() == 50 * mebibyte);
        CHECK(Array(16 * mebibyte).refused() ==
              "[Plan] expects 17 MB of memory of device 'cuda', got 15 MB free of 68 MB");
        CHECK(Array(14 * mebibyte).get());
    }
    const Queue queue;
    CHECK(device.kept() == 64 * mebibyte);
    CHECK(space(50 * mebibyte) && taken() == 52 * mebibyte);
    CHECK(told() == "");
    device.trim();
    CHECK(taken() == 52 * mebibyte);
}

// No more is kept than the limit, an eighth of all at first; what others may still use is not kept.
void kept() {
    {
        const Array a(30 * mebibyte);
    }
    CHECK(device.kept() == 30 * mebibyte);
    {
        const Array a(33 * mebibyte);
    }
    CHECK(device.kept() == 0 && stand_in::live().memory == 0);
    device.discard(device.allocate(1000));
    device.discard(nullptr);
    device.release(nullptr);
    CHECK(device.kept() == 0 && stand_in::live().memory == 0);
    {
        const Array a(1000);
    }
    device.keep(0);
    CHECK(device.kept() == 0 && stand_in::live().memory == 0);
}

// Where nothing is kept an array ends where a sanitizer sees it; blocks of such sizes are kept and handed out later.
void exact() {
    device.keep(0);
    for (const size_t size : {size_t(0), size_t(1), size_t(513), mebibyte - 1, 3 * mebibyte + 7}) {
        const Array a(size);
        CHECK(a.get() && taken() == std::max<size_t>(size, 1));
    }
    CHECK(taken() == 0);
    {
        const Queue queue;
        CHECK(space(1000) && taken() == 1000);
        CHECK(space(1001) && taken() == 2001);  // what was handed out stays
        CHECK(space(999) == space(1001) && taken() == 2001);
        CHECK(told() == "");
    }
    CHECK(taken() == 0);
    {
        const Array a(1001);
        device.keep(mebibyte);
        const Array b(1001);
        CHECK(taken() == 1001 + 1024);
    }
    CHECK(device.kept() == 1001 + 1024);
    const Array a(700);
    CHECK(device.kept() == 1001 && taken() == 1001 + 1024);
    device.keep(0);
    CHECK(taken() == 1024);
}

// What others hold is given back before anything is refused: to an array, a workspace, or a list of kernels.
void others_make_room() {
    static void* held = nullptr;
    static int asked = 0;
    stand_in::machine.memory = 64 * mebibyte;
    const auto hold = [] { held = device.allocate(40 * mebibyte); };
    fusednet::cuda::make_room_by([]() noexcept {
        ++asked;
        device.release(std::exchange(held, nullptr));
    });
    hold();
    CHECK(Array(20 * mebibyte).get() && asked == 0);
    device.trim();
    CHECK(Array(30 * mebibyte).get() && asked == 1 && !held);
    device.trim();
    hold();
    const Queue queue;
    CHECK(space(30 * mebibyte) && asked == 2 && !held);
    CHECK(told() == "");
    CHECK(Array(40 * mebibyte).refused() == "[Plan] expects 42 MB of memory of device 'cuda', got 34 MB free of 68 MB");
    CHECK(asked == 3);
    // a workspace of twice the size would be welcome, but only one that is needed is worth that
    held = device.allocate(10 * mebibyte);
    CHECK(workspace_bytes(Space::parts, 7 * mebibyte) && workspace_bytes(Space::parts, 9 * mebibyte));
    CHECK(held && asked == 3 && told() == "");
    CHECK(workspace_bytes(Space::parts, 11 * mebibyte) && !held && asked == 4 && told() == "");
    fusednet::cuda::make_room_by(nullptr);
    CHECK(!Array(40 * mebibyte).get() && asked == 4);
}

// Where another device is current and ours does not become it, that one is not asked in its place. How much is kept is
// asked until somebody knows.
void not_ours() {
    void *const first = device.allocate(2 * mebibyte), *const second = device.allocate(2 * mebibyte);
    const auto asked = [] { return stand_in::calls("cudaMemGetInfo") + stand_in::calls("cudaFree"); };
    (void)cudaSetDevice(1);
    const int before = asked();
    stand_in::fail("cudaSetDevice", 0, cudaErrorUnknown);
    size_t free = 1, total = 1;
    device.memory(&free, &total);
    CHECK(free == 0 && total == 0);
    device.release(first);
    device.discard(second);
    CHECK(asked() == before && device.kept() == 0 && stand_in::live().memory == 2);
    stand_in::fail_no_more();
    stand_in::fail("cudaMemGetInfo", 1, cudaErrorUnknown);
    device.release(device.allocate(2 * mebibyte));
    CHECK(device.kept() == 0 && stand_in::live().memory == 2);
    device.release(device.allocate(2 * mebibyte));
    CHECK(device.kept() == 2 * mebibyte && stand_in::live().memory == 3);
    stand_in::fail("cudaMemGetInfo", 1, cudaErrorUnknown);
    free = total = 1;
    device.memory(&free, &total);
    CHECK(free == 0 && total == 0);
    device.keep(0);
    device.release(device.allocate(2 * mebibyte));
    CHECK(device.kept() == 0 && stand_in::live().memory == 2);
    CHECK(stand_in::device_of_thread() == 1 && cudaPeekAtLastError() == cudaSuccess);
}

// A queue that is closed has done all that it was given before others have its memory.
void closed() {
    for (int round = 0; round < 4; ++round) {
        char* memory = nullptr;
        {
            const Array from(mebibyte);
            const Queue queue;
            memory = space(3 * mebibyte);
            from.send(bytes(mebibyte, 1));
            device.receive();
            add(memory, from.get(), mebibyte, 1);
            if (round % 2) from.send(bytes(mebibyte, 2));
        }
        const Queue queue;
        CHECK(space(3 * mebibyte) == memory);
        const Array to(mebibyte);
        device.upload(memory, bytes(mebibyte, 7).data(), mebibyte);
        add(to.get(), memory, mebibyte, 0);
        CHECK(to.download() == bytes(mebibyte, 7));
        CHECK(told() == "");
    }
    device.trim();
    CHECK(stand_in::live().all() == 0);
}

// Ours is current only within a queue: what the thread had before comes back, however often it changes.
void outside() {
    const auto is = [](int number) { return stand_in::device_of_thread() == number; };
    const char* why = "";
    for (const int own : {1, 0}) {
        (void)cudaSetDevice(own);
        CHECK(fusednet::cuda::find_device(&why) && is(own));
        void *const queue = device.open(&why), *const other = device.open(&why);
        CHECK(queue && other && is(own));
        size_t free = 0, total = 0;
        device.memory(&free, &total);
        CHECK(is(own));
        CHECK(device.enter(queue) == nullptr && is(0));
        CHECK(device.enter(other) == queue && is(0));
        CHECK(device.enter(queue) == other && is(0));
        const Array array(5000);
        array.send(bytes(5000, 1));
        device.receive();
        add(array.get(), array.get(), 5000, 1);
        device.begin_capture(0, nullptr, 0);
        add(array.get(), array.get(), 5000, 1);
        void* const step = device.end_capture();
        device.replay(step, 1);
        CHECK(array.download() == plus(bytes(5000, 1), 2));
        CHECK(device.enter(nullptr) == queue && is(own));
        device.forget(step);
        CHECK(device.holds(array.get()) == nullptr && is(own));
        CHECK(device.settle(0) == nullptr && is(own));
        device.discard(device.allocate(1000));
        device.trim();
        CHECK(is(own));
        if (own == 1) {  // nothing comes to lie there
            stand_in::fail("cudaSetDevice", 1, cudaErrorUnknown);
            CHECK(Array(1000).refused().ends_with("unknown error") && is(own));
            stand_in::fail("cudaSetDevice", 1, cudaErrorUnknown);
            CHECK(!device.open(&why) && text(why) == "no stream: unknown error" && is(own));
        }
        device.close(other);
        device.enter(queue);
        CHECK(told() == "" && is(0));
        device.close(queue);  // which leaves it, too
        CHECK(is(own) && device.enter(nullptr) == nullptr);
        CHECK(told() == "no queue was entered");
    }
    device.trim();
    CHECK(stand_in::live().all() == 0);
    CHECK(cudaGetLastError() == cudaSuccess);
}

// Where memory of others lies.
void holds() {
    char own[100];
    void *there = nullptr, *elsewhere = nullptr, *pinned = nullptr;
    (void)cudaMalloc(&there, 1000);
    (void)cudaMallocHost(&pinned, 1000);
    (void)cudaSetDevice(1);
    (void)cudaMalloc(&elsewhere, 1000);
    CHECK(text(device.holds(there)) == "");
    CHECK(text(device.holds(static_cast<char*>(there) + 999)) == "");
    CHECK(text(device.holds(elsewhere)) == "it lies on CUDA device 1, not on 0");
    CHECK(text(device.holds(pinned)) == "it is memory of the host");
    CHECK(text(device.holds(own)) == "it is memory of the host");
    CHECK(text(device.holds(stand_in::managed())) == "");
    stand_in::fail("cudaPointerGetAttributes", 1, cudaErrorInvalidValue);
    CHECK(text(device.holds(there)) == "invalid argument");
    CHECK(cudaGetLastError() == cudaSuccess);  // nobody else hears of it
    cudaStream_t stream = nullptr;
    (void)cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    CHECK(text(device.settle(reinterpret_cast<uintptr_t>(stream))) == "");
    (void)cudaStreamDestroy(stream);
    CHECK(text(device.settle(reinterpret_cast<uintptr_t>(stream))) == "invalid resource handle");
    CHECK(cudaGetLastError() == cudaSuccess && stand_in::device_of_thread() == 1);
    const Queue queue;
    CHECK(told() == "");
    (void)cudaFree(there);
    (void)cudaFree(elsewhere);
    (void)cudaFreeHost(pinned);
}

// A child has nothing of its parent's device, says so, and takes nothing from it.
void forked() {
    const Queue queue;
    const Array array(mebibyte), idle(1000);
    array.upload(bytes(mebibyte, 1));
    add(array.get(), array.get(), mebibyte, 1);
    const char* why = "";
    void* const other = device.open(&why);
    const std::string child = in_another_process([&] {
        CHECK(!fusednet::cuda::find_device(&why));
        const std::string said = why;
        CHECK(device.open(&why) == nullptr && why == said);
        CHECK(device.allocate(1000) == nullptr);
        device.release(idle.get());
        device.discard(idle.get());
        device.trim();
        device.keep(0);
        CHECK(device.kept() == 0);
        array.upload(bytes(mebibyte, 2));
        add(array.get(), array.get(), mebibyte, 1);
        CHECK(told() != "");
        device.close(other);
        device.close(queue.get());
        return said;
    });
    CHECK(child == "this process was forked from one that had used CUDA; start it anew (multiprocessing: \"spawn\")");
    std::puts(child.c_str());
    device.close(other);
    CHECK(array.download() == plus(bytes(mebibyte, 1), 1));
    CHECK(told() == "");
}

}  // namespace

const std::vector<Named> memory = {
    {"workspaces", workspaces}, {"makes room", makes_room}, {"kept", kept},
    {"closed", closed},         {"exact", exact},           {"others make room", others_make_room},
    {"outside", outside},       {"not ours", not_ours},     {"holds", holds},
    {"forked", forked},
};

}  // namespace cases
