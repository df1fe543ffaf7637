#include "cache.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace fusednet::cuda {
namespace {

constexpr size_t most_idle = 256;  // blocks
constexpr size_t small = size_t(1) << 20, small_unit = 512, large_unit = size_t(2) << 20;

std::atomic<void (*)() noexcept> let_go = nullptr;

size_t rounded(size_t bytes) noexcept {
    const size_t unit = bytes < small ? small_unit : large_unit;
    return (std::max<size_t>(bytes, 1) + unit - 1) / unit * unit;
}

// Of a block that is larger than it need be.
size_t most_for(size_t wanted) noexcept {
    return wanted + wanted / 4 + small / 16;
}

}  // namespace

void make_room_by(void (*others)() noexcept) noexcept {
    let_go.store(others, std::memory_order_relaxed);
}

Cache::Cache(const Source& source) : source_(source), process_(getpid()) {
    idle_.reserve(most_idle + 1);
}

// A child has its parent's lock as some thread had left it, and none of the parent's devices: nothing goes back there.
bool Cache::forked() const noexcept {
    return getpid() != process_;
}

void* Cache::take(size_t bytes) noexcept {
    if (void* const memory = get(bytes, true)) return memory;
    const auto others = let_go.load(std::memory_order_relaxed);
    if (!others || forked()) return nullptr;
    others();  // without the lock: they give back here
    return get(bytes, true);
}

void* Cache::take_if_free(size_t bytes) noexcept {
    return get(bytes, false);
}

void* Cache::get(size_t bytes, bool makes_room) noexcept {
    if (forked()) return source_.allocate(rounded(bytes));
    const std::lock_guard lock(lock_);
    // of what nothing is kept of, no block is for others: a sanitizer sees where each ends
    const size_t wanted = keeps_none() ? std::max<size_t>(bytes, 1) : rounded(bytes);
    if (void* const memory = find(wanted)) return memory;
    void* memory = source_.allocate(wanted);
    if (!memory && makes_room && !idle_.empty()) {
        shrink(0, 0);
        memory = source_.allocate(wanted);
    }
    if (!memory || note(memory, wanted)) return memory;
    source_.free(memory);
    return nullptr;
}

void* Cache::find(size_t wanted) noexcept {
    auto best = idle_.end();
    for (auto i = idle_.begin(); i != idle_.end(); ++i)
        if (i->bytes >= wanted && i->bytes <= most_for(wanted) && (best == idle_.end() || i->bytes < best->bytes))
            best = i;
    if (best == idle_.end()) return nullptr;
    const Block block = *best;
    idle_.erase(best);
    idle_bytes_ -= block.bytes;
    if (source_.spoil) source_.spoil(block.memory, block.bytes);
    return block.memory;
}

bool Cache::note(void* memory, size_t bytes) noexcept try {
    sizes_[memory] = bytes;
    return true;
} catch (...) {
    return false;
}

void Cache::give(void* memory) noexcept {
    if (!memory || forked()) return;
    const std::lock_guard lock(lock_);
    const size_t bytes = sizes_.find(memory)->second;
    idle_.push_back({memory, bytes});  // there is room: see the constructor
    idle_bytes_ += bytes;
    if (!limited_) limit_ = source_.limit(), limited_ = limit_ > 0;
    shrink(limit_, most_idle);
}

void Cache::drop(void* memory) noexcept {
    if (!memory || forked()) return;
    {
        const std::lock_guard lock(lock_);
        sizes_.erase(memory);
    }
    source_.free(memory);
}

void Cache::limit(size_t bytes) noexcept {
    if (forked()) return;
    const std::lock_guard lock(lock_);
    limit_ = bytes;
    limited_ = true;
    shrink(limit_, most_idle);
}

void Cache::trim() noexcept {
    if (forked()) return;
    const std::lock_guard lock(lock_);
    shrink(0, 0);
}

size_t Cache::idle() noexcept {
    if (forked()) return 0;
    const std::lock_guard lock(lock_);
    return idle_bytes_;
}

bool Cache::exact() noexcept {
    if (forked()) return false;
    const std::lock_guard lock(lock_);
    return keeps_none();
}

// Those that have been idle longest go first.
void Cache::shrink(size_t bytes, size_t blocks) noexcept {
    auto kept = idle_.begin();
    for (size_t count = idle_.size(); idle_bytes_ > bytes || count > blocks; --count, ++kept) {
        idle_bytes_ -= kept->bytes;
        sizes_.erase(kept->memory);
        source_.free(kept->memory);
    }
    idle_.erase(idle_.begin(), kept);
}

}  // namespace fusednet::cuda
