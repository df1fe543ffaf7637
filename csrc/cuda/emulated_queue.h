// What the emulated device keeps of a queue, and what of it tests count and choose.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "../base/table.h"
#include "program.h"

namespace fusednet::cuda_emulated {

using cuda::program_blocks;
using cuda::program_threads;
using cuda::ProgramMemory;

// Memory for a kernel's partial results, until the next kernel asks for the same space. It only grows, and what was
// handed out stays: a captured kernel comes back to it.
enum class Space { own, parts, operands, library, count };

class Workspace {
public:
    bool has(Space space, size_t bytes) const {
        const auto& held = held_[int(space)];
        return !held.empty() && held.back().size() >= bytes;
    }
    void* get(Space space, size_t bytes) {
        auto& held = held_[int(space)];
        if (!has(space, bytes)) held.emplace_back(bytes + 1);
        return held.back().data();
    }

private:
    std::vector<std::vector<char>> held_[int(Space::count)];
};

// Runs a kernel's blocks: in a launch of its own for 0, or by so many blocks of a program's launch.
using Work = std::function<void(Index places)>;

struct Kept {
    Work work;
    const int32_t* guard;
    bool decides;  // it may set the guard
    bool refused() const { return guard && *guard != 0; }
};
struct Captured {
    std::vector<Kept> kernels;  // and what spoils workspaces before them
    int launches = 0;
    int places = 0;  // of a program
    bool refused = false;
    size_t chip_bytes = 0;
};

// What it says that it has, and what a workspace may have of it.
constexpr size_t all_memory = size_t(64) << 20;

// What a block of a program has for arrays, as on an H100.
constexpr size_t chip_bytes = size_t(227) * 1024 - sizeof(ProgramMemory);
struct alignas(16) Chip {
    unsigned char bytes[chip_bytes];
};

// What is to be brought back, and how much of what was received the kernels before it have read then.
struct Coming {
    const char* from;
    size_t bytes;
    Unpack unpack;
    const void* context;
    size_t read;
};

// What the calling thread has entered.
struct Queue {
    const int32_t* guard = nullptr;
    Captured* captured = nullptr;  // what is enqueued goes there
    Workspace workspace;
    std::unique_ptr<Chip> chip = std::make_unique<Chip>();
    size_t no_room = 0;                                     // bytes that there was no room for: nothing more is begun
    char failure[320] = {}, told[320] = {};                 // nor after it
    std::vector<std::pair<char*, std::vector<char>>> sent;  // there as late as may be
    std::vector<std::pair<char*, size_t>> received;         // what kernels may read until somebody waits
    std::vector<Coming> coming;                             // read as late as may be
};
inline thread_local Queue* queue = nullptr;

// What the calling thread has asked for so far, of any queue, and which of these goes wrong: tests count and choose.
// Waits are only counted.
enum class Asked { wait, transfer, kernel, allocation, count };
inline thread_local long asked[int(Asked::count)] = {}, wrong[int(Asked::count)] = {};
inline void note(Asked what) noexcept {
    ++asked[int(what)];
}
inline bool goes_wrong(Asked what) noexcept {
    note(what);
    return asked[int(what)] == wrong[int(what)];
}

}  // namespace fusednet::cuda_emulated
