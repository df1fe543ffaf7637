// A device's memory between two uses of it. To allocate takes the device's library from ten microseconds to a
// millisecond, and to free waits for all that runs there; what is given back here is handed out again at once.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace fusednet::cuda {

// What whoever holds memory that nobody uses does where a `take` finds no room: gives it back. Of all caches; null:
// there is nobody.
void make_room_by(void (*others)() noexcept) noexcept;

class Cache {
public:
    // Where blocks come from, and how many bytes of idle ones are kept at most.
    struct Source {
        void* (*allocate)(size_t bytes) noexcept;  // or null
        void (*free)(void* memory) noexcept;
        size_t (*limit)() noexcept;                          // 0: nobody knows; it is asked again
        void (*spoil)(void* memory, size_t bytes) noexcept;  // before it is handed out again; null: it stays as it is
    };
    explicit Cache(const Source& source);
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

    // The smallest idle block that fits, unless much of it would be wasted; else a new one, for which idle ones make
    // room where there is none, then what others let go. Null where that does not help. Of exactly so many bytes, 1 at
    // least, while nothing is kept (limit 0); else it may be larger.
    void* take(size_t bytes) noexcept;
    void* take_if_free(size_t bytes) noexcept;  // the same, but nothing goes for it
    // Nothing that runs uses it, nor will what was enqueued.
    void give(void* memory) noexcept;
    // Whoever may still use it is waited for: it goes back to where it came from.
    void drop(void* memory) noexcept;
    void limit(size_t bytes) noexcept;
    void trim() noexcept;
    size_t idle() noexcept;
    bool exact() noexcept;  // whether nothing is kept

private:
    struct Block {
        void* memory;
        size_t bytes;
    };
    bool forked() const noexcept;
    void* get(size_t bytes, bool makes_room) noexcept;
    bool keeps_none() const noexcept { return limited_ && limit_ == 0; }
    void* find(size_t wanted) noexcept;
    bool note(void* memory, size_t bytes) noexcept;
    void shrink(size_t bytes, size_t blocks) noexcept;

    const Source source_;
    const pid_t process_;
    std::mutex lock_;
    size_t limit_ = 0, idle_bytes_ = 0;
    bool limited_ = false;                     // the limit is known or was given
    std::vector<Block> idle_;                  // in the order of their release
    std::unordered_map<void*, size_t> sizes_;  // of all blocks
};

}  // namespace fusednet::cuda
