// What a plan needs of a machine whose memory is not the host's. A table of kernels that work there points at it. All
// work goes to the queue that the calling thread has entered, in order. `download` and `wait` wait for it, `brought`
// for some of it; `upload` may, where it needs room.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "judge.h"

namespace fusednet {

using Pack = void (*)(const void* context, char* to, size_t offset, size_t bytes) noexcept;
using Unpack = void (*)(const void* context, const char* from, size_t offset, size_t bytes) noexcept;

struct Device {
    const char* name;
    // A queue with room for kernels' partial results, or null and why. One thread at a time may enter it.
    void* (*open)(const char** why) noexcept;
    void (*close)(void* queue) noexcept;
    void* (*enter)(void* queue) noexcept;      // null: none; returns the one that was entered before
    void* (*allocate)(size_t bytes) noexcept;  // 256-byte aligned, or null
    // Why the calling thread's latest allocation gave null; null: there was no room.
    const char* (*refusal)() noexcept;
    void (*release)(void* memory) noexcept;  // nothing uses it any more: it may be handed out again at once
    void (*discard)(void* memory) noexcept;  // others may: all that runs is waited for
    void (*keep)(size_t bytes) noexcept;  // of released memory, for those who allocate next; an eighth of all at first
    size_t (*kept)() noexcept;
    void (*trim)() noexcept;  // keeps none of it for now
    void (*memory)(size_t* free, size_t* total) noexcept;
    void (*clear)(void* to, size_t bytes) noexcept;
    void (*upload)(void* to, const void* from, size_t bytes) noexcept;  // `from` is free again when it returns
    // On its way while what was enqueued before runs, of which nothing may use `to`. What is enqueued after `receive`
    // waits for it, as `wait` does. `pack` writes so many bytes from an offset on; `context` is free again when it
    // returns.
    void (*send)(void* to, size_t bytes, Pack pack, const void* context) noexcept;
    void (*receive)() noexcept;
    void (*download)(void* to, const void* from, size_t bytes) noexcept;
    // On its way back while what is enqueued behind it runs, of which nothing may write `from` before it is brought.
    void (*bring)(const void* from, size_t bytes, Unpack unpack, const void* context) noexcept;
    // Waits for what was asked of `bring`, and what was enqueued before, but for the latest so many calls: `unpack` has
    // got all of it then, in order, and `context` is free again. `wait` leaves none. False: something has failed, which
    // `wait` tells, and nothing more is begun until then.
    bool (*brought)(int but) noexcept;
    // Kernels do nothing while *status, in the device's memory, is not 0; null: they always run.
    void (*guard)(const int32_t* status) noexcept;
    void (*judge)(const Judgement&) noexcept;  // all pointers in it are to the device's memory
    bool (*library)() noexcept;                // whether one does large products, and those of fewer bits
    // What is enqueued between the two is kept, not run; null where that has failed. A replay enqueues all of it so
    // many times. `operations`, about, of a step so small that one launch had better run all its kernels and many steps
    // of it; 0: each kernel is launched. Its arrays take so many bytes from `chip` on, as below.
    void (*begin_capture)(double operations, const void* chip, size_t chip_bytes) noexcept;
    void* (*end_capture)() noexcept;
    // Memory of the chip, which kernels of a launch of one block find at the same address in every such launch of the
    // queue, and nobody else: it begins with anything and is gone at the end. Null: there is none.
    void* (*chip)(size_t* bytes) noexcept;
    int (*blocks)(double operations) noexcept;      // of the launch for a step of so many operations
    int (*places)(const void* captured) noexcept;   // blocks of the one launch that runs it; 0: a launch a kernel
    int (*kernels)(const void* captured) noexcept;  // how many a step has
    void (*replay)(void* captured, int64_t times) noexcept;
    void (*forget)(void* captured) noexcept;
    // Null, or what failed first since the last call: "kernel 'gemm': out of resources". *no_room, if not null, is set
    // to the bytes that were asked for where it was for want of memory.
    const char* (*wait)(size_t* no_room) noexcept;
    // Of memory that others have allocated. Null, or why kernels cannot read it: "it lies on CUDA device 1".
    const char* (*holds)(const void* memory) noexcept;
    // Waits for another library's work, in the stream of that number as __cuda_array_interface__ has it. Null, or why
    // not.
    const char* (*settle)(uintptr_t stream) noexcept;
    int32_t dlpack;  // DLPack's number for its kind of memory
};

}  // namespace fusednet
