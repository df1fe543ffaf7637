// What the stand-in keeps, and what it runs when. For stand_in.cpp alone.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "stand_in.h"

using Work = std::function<void()>;

// What an event stands for once it is recorded.
struct Mark {
    CUstream_st* stream;
    bool done = false;
};
struct Operation {
    Work work;
    std::shared_ptr<Mark> waits, sets;
    bool copies = false, clears = false;
    const void* pinned = nullptr;  // what it reads or writes of the host's
};
struct CUstream_st {
    int device;
    std::deque<Operation> operations;
    CUgraph_st* captures = nullptr;
    bool invalidated = false, destroyed = false;
};
struct CUevent_st {
    int device;
    std::shared_ptr<Mark> mark;
};
struct CUgraphNode_st {
    Work work;
    cudaGraphNodeType type;
};
struct CUgraph_st {
    std::vector<CUgraphNode_st> nodes;
};
struct CUgraphExec_st {
    std::vector<CUgraphNode_st> nodes;
};

namespace stand_in {

int pace = lazy;
Machine machine;

void misuse(const char* what) {
    std::fprintf(stderr, "stand-in: %s\n", what);
    std::abort();
}

namespace {

// The device's memory lies twice in the process: where its pointers point nobody may look.
struct Memory {
    static constexpr size_t size = size_t(16) << 30;
    char *hidden, *seen;
    size_t used = 0;
    Memory() {
        const int file = memfd_create("device", 0);
        if (file < 0 || ftruncate(file, off_t(size)) != 0) misuse("no memory for the device");
        const auto map = [&](int protection) {
            void* const memory = mmap(nullptr, size, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
            if (memory == MAP_FAILED) misuse("no memory for the device");
            return static_cast<char*>(memory);
        };
        hidden = map(PROT_NONE);
        seen = map(PROT_READ | PROT_WRITE);
        close(file);
    }
};
Memory& memory() {
    static Memory made;
    return made;
}

struct Range {
    size_t bytes;
    int device;
};
using Ranges = std::map<const char*, Range>;
struct Failure {
    std::string function;
    int left;
    bool every;
    cudaError_t error;
};

std::recursive_mutex lock;
pid_t process = 0;
Ranges allocated, both;
Ranges& pinned = *new Ranges;    // never destroyed: what could not be given back is not lost to a sanitizer that looks
std::list<CUstream_st> streams;  // destroyed ones too: what they were given runs
std::list<CUevent_st> events;
std::list<CUgraph_st> graphs;
std::list<CUgraphExec_st> executables;
std::map<std::string, int> counts;
std::vector<Failure> failures;
std::string first_failed;
cudaError_t gone = cudaSuccess;  // why no call works any more
std::minstd_rand drawn(1);
thread_local int current = 0;
thread_local cudaError_t last = cudaSuccess;

Ranges::iterator range_of(Ranges& ranges, const void* begin, size_t bytes = 0) {
    const char* const p = static_cast<const char*>(begin);
    auto found = ranges.upper_bound(p);
    if (found == ranges.begin()) return ranges.end();
    --found;
    return p < found->first + found->second.bytes && p + bytes <= found->first + found->second.bytes ? found
                                                                                                     : ranges.end();
}
template <class T>
typename std::list<T>::iterator find(std::list<T>& all, const T* one) {
    return std::find_if(all.begin(), all.end(), [&](const T& other) { return &other == one; });
}
template <class T>
cudaError_t remove(std::list<T>& all, const T* one) {
    const auto found = find(all, one);
    if (found == all.end()) misuse("what is not there is destroyed");
    all.erase(found);
    return cudaSuccess;
}

cudaError_t said(cudaError_t error) {
    if (error != cudaSuccess) last = error;
    return error;
}

size_t free_memory() {
    size_t free = machine.memory;
    for (const auto& [p, range] : allocated)
        if (range.device == current) free -= range.bytes;
    return free;
}

void run_next(CUstream_st& stream) {
    const Operation next = std::move(stream.operations.front());
    stream.operations.pop_front();
    if (next.work && gone == cudaSuccess) next.work();
    if (next.sets) next.sets->done = true;
}
bool can_run(const CUstream_st& stream) {
    if (stream.operations.empty()) return false;
    const auto& waits = stream.operations.front().waits;
    return !waits || waits->done;
}
void run_drawn(unsigned most) {
    for (unsigned n = unsigned(drawn()) % (most + 1); n > 0 && !streams.empty(); --n) {
        const auto stream = std::next(streams.begin(), long(drawn() % streams.size()));
        if (can_run(*stream)) run_next(*stream);
    }
}
// Until the mark is reached, or all has run.
void run(CUstream_st& stream, const Mark* until = nullptr) {
    while (!stream.operations.empty() && !(until && until->done)) {
        if (can_run(stream)) {
            run_next(stream);
        } else {
            const auto waits = stream.operations.front().waits;
            run(*waits->stream, waits.get());
        }
        if (pace >= 0) run_drawn(2);
    }
}
void run_all() {
    for (CUstream_st& stream : streams) run(stream);
}

// Each function begins with it.
class Call {
public:
    explicit Call(std::string function) : guard_(lock) {
        if (function.ends_with("_v2")) function.resize(function.size() - 3);  // a macro of CUDA 12's header
        if (process == 0) {
            process = getpid();
            drawn.seed(unsigned(pace + 3));
        }
        if (getpid() != process) {
            error = said(cudaErrorInitializationError);
            return;
        }
        if (pace >= 0) run_drawn(3);
        ++counts[function];
        if (machine.counted != cudaSuccess && !function.ends_with("Version")) error = machine.counted;
        for (Failure& f : failures) {
            if (!f.function.empty() && f.function != function) continue;
            if (!f.every && --f.left != 0) continue;
            if (first_failed.empty()) first_failed = function;
            error = f.error;
            if (error == cudaErrorIllegalAddress || error == cudaErrorLaunchFailure) gone = error;
        }
        if (gone != cudaSuccess) error = gone;
        said(error);
    }
    cudaError_t error = cudaSuccess;

private:
    std::lock_guard<std::recursive_mutex> guard_;
};

CUstream_st* known(cudaStream_t stream) {
    const auto found = find(streams, static_cast<const CUstream_st*>(stream));
    return found == streams.end() || found->destroyed ? nullptr : &*found;
}

cudaError_t enqueue(cudaStream_t to, Operation operation) {
    CUstream_st* const stream = known(to);
    if (!stream) return said(cudaErrorInvalidResourceHandle);
    if (stream->captures) {
        if (operation.waits || operation.sets || operation.copies) misuse("a copy or an event in a capture");
        const cudaGraphNodeType type = operation.clears ? cudaGraphNodeTypeMemset : cudaGraphNodeTypeKernel;
        stream->captures->nodes.push_back({std::move(operation.work), type});
        return cudaSuccess;
    }
    stream->operations.push_back(std::move(operation));
    if (pace == eager) run_all();
    return cudaSuccess;
}

}  // namespace
}  // namespace stand_in
