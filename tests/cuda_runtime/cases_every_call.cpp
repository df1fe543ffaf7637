// Each call of CUDA's runtime fails in turn, in all that a plan does of a queue from finding the device to closing it:
// it is told, or there is another way, and in any case the next attempt goes well.
#include <algorithm>
#include <cstdio>

#include "cases.h"

namespace cases {
namespace {

using fusednet::cuda::Space;
using fusednet::cuda::workspace_bytes;

constexpr size_t n = 1300000, few = 5000;

// Errors are kept for who asked: other libraries in the process hear of none.
void check_silence() {
    CHECK(cudaPeekAtLastError() == cudaSuccess || stand_in::lost());
}

// Rows come over in turns and beside kernels, some of a step are replayed as a graph, others as a program. What was
// told, or what a plan says where there is no room, or nothing if the result is right.
std::string attempt(void* queue) {
    const char* found = "";
    void* const before = device.enter(queue);
    check_silence();
    std::string said;
    {
        const std::vector<char> all = bytes(n, 6);
        const Array x(few), y(n), z(n), result(few);
        check_silence();
        for (const Array* array : {&x, &y, &z, &result})
            if (said.empty()) said = array->refused();
        if (said.empty()) {
            size_t free = 0, total = 0;
            device.memory(&free, &total);
            found = device.holds(x.get());
            if (!found) found = device.settle(0);
            check_silence();
            result.upload(bytes(few, 1));
            x.send(bytes(few, 2));
            z.send(bytes(n, 3));
            device.receive();
            z.upload(bytes(n, 4));
            z.upload(bytes(n, 5));
            add(result.get(), x.get(), few, 1);
            check_silence();
            y.send(all);
            x.upload(bytes(few, 7));
            device.receive();
            device.clear(result.get() + few - 100, 100);
            char* const space = static_cast<char*>(workspace_bytes(Space::own, few));
            char* const larger = static_cast<char*>(workspace_bytes(Space::own, 2 * n));
            check_silence();
            for (const double operations : {0.0, 1e6}) {
                const auto step = [&] {
                    if (space) add(space, y.get(), few, 1);
                    if (larger) add(larger, space, few, 1);
                    if (larger) add(y.get(), larger, few, 1);
                };
                device.begin_capture(operations, nullptr, 0);
                step();
                void* const kept = device.end_capture();
                check_silence();
                for (int i = 0; i < 3; ++i) kept ? device.replay(kept, 1) : step();
                device.forget(kept);
            }
            add(result.get(), y.get(), few - 100, 1);
            add(x.get(), x.get(), few, 1);
            static std::vector<char> back;
            back.clear();
            x.bring(back);
            device.brought(0);
            check_silence();
            static char got[2][few];  // a copy that nobody could wait for may come late
            device.download(got[0], result.get(), few);
            device.download(got[1], x.get(), few);
            said = told();
            if (said.empty() && found) said = std::string("looking at memory: ") + found;
            if (said.empty()) {
                std::vector<char> want = plus(std::vector<char>(all.begin(), all.begin() + few), 19);
                std::fill(want.end() - 100, want.end(), char(0));
                CHECK(std::equal(want.begin(), want.end(), got[0]));
                want = plus(bytes(few, 7), 1);
                CHECK(std::equal(want.begin(), want.end(), got[1]) && back == want);
            }
        } else {
            const std::string failure = told();
            if (!failure.empty()) said = failure;
        }
    }
    check_silence();
    device.enter(before);
    return said;
}

std::string open(void*& queue) {
    const char* why = "";
    queue = fusednet::cuda::find_device(&why) ? device.open(&why) : nullptr;
    check_silence();
    return queue ? "" : std::string("open: ") + why;
}

// The function that failed, what was told at first, and at the second attempt.
std::string with_failure(int call, cudaError_t error) {
    (void)cudaSetDevice(1);
    stand_in::fail("", call, error);
    void* queue = nullptr;
    std::string first = open(queue), second;
    if (queue) first = attempt(queue);
    if (!queue) second = open(queue);
    if (queue && !first.empty()) second += attempt(queue);
    device.close(queue);
    device.trim();
    check_silence();
    const std::string function = stand_in::failed_call();
    stand_in::fail_no_more();
    if (!stand_in::lost()) {
        const bool frees = function.find("Free") != function.npos || function.find("Destroy") != function.npos;
        const bool stays = frees || function == "cudaGetDevice" || function == "cudaSetDevice";
        CHECK(stand_in::live().all() <= int(stays));
        if (function != "cudaSetDevice") CHECK(stand_in::device_of_thread() == 1);
    }
    return function + " | " + first + " | " + second;
}

void every_call(cudaError_t error) {
    for (int call = 1;; ++call) {
        const std::string said = in_another_process([=] { return with_failure(call, error); });
        if (said.starts_with(" |")) {
            CHECK(said == " |  | ");
            return;
        }
        std::printf("%d %s\n", call, said.c_str());
        if (call == 1000) stand_in::misuse("there is no end of it");
    }
}

}  // namespace

const std::vector<Named> every = {
    {"every call: no memory", [] { every_call(cudaErrorMemoryAllocation); }},
    {"every call: unknown", [] { every_call(cudaErrorUnknown); }},
    {"every call: lost", [] { every_call(cudaErrorIllegalAddress); }},
};

}  // namespace cases
