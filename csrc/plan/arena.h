// One aligned block for everything that a plan touches. Compilation runs twice over the same code: once to measure,
// with no memory behind it, and once to place every buffer at its final address.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "../base/table.h"

namespace fusednet {

enum class Use { parameters, gradients, slots, activations, scratch, count };

class DeviceMemoryError : public std::bad_alloc {
public:
    DeviceMemoryError(const Device& device, size_t asked, const char* owner = "Plan") {
        size_t free = 0, total = 0;
        device.memory(&free, &total);
        text_ = std::string("[") + owner + "] expects " + megabytes(asked) + " MB of memory of device '" + device.name +
                "', got " + megabytes(free) + " MB free of " + megabytes(total);
    }
    const char* what() const noexcept override { return text_.c_str(); }

private:
    static std::string megabytes(size_t bytes) { return std::to_string((bytes + 999999) / 1000000); }
    std::string text_;
};

class Arena {
public:
    static constexpr size_t alignment = 64, large_page = size_t(2) << 20;

    template <class A>
    A* take(Index count, Use use) {
        const size_t bytes = size_t(checked(count, Index(sizeof(A)), alignment - 1)) / alignment * alignment;
        char* at = base_ ? base_.get() + used_ : nullptr;
        used_ = size_t(checked(Index(used_), 1, Index(bytes)));
        by_use_[int(use)] += bytes;
        return reinterpret_cast<A*>(at);
    }

    // A matrix whose rows start on cache lines and do not share the cache's sets.
    template <class A>
    View<A> matrix(Index rows, Index cols, Use use) {
        const Index ld = padded<A>(cols, rows);
        return {take<A>(checked(rows, ld), use), ld};
    }

    template <class A>
    static Index padded(Index cols, Index rows) {
        constexpr Index line = Index(alignment / sizeof(A));
        const Index ld = checked(cols, 1, line - 1) / line * line;
        // rows a multiple of 512 bytes apart would fall into few sets of the first-level cache
        return rows > 1 && ld > line && (ld * Index(sizeof(A))) % 512 == 0 ? ld + line : ld;
    }

    // a * b + c, or bad_alloc where no memory could hold it.
    static Index checked(Index a, Index b, Index c = 0) {
        constexpr Index most = Index(1) << 48;  // bytes that an address reaches
        Index product = 0;
        if (__builtin_mul_overflow(a, b, &product) || product > most) throw std::bad_alloc();
        return product + c;
    }

    // Ends the measuring run: allocates what it counted, zeroed, and starts again from the first byte.
    void allocate(const Device* device = nullptr) {
        if (device) return allocate_on(*device);
        // Panels of a matrix touch every page of it: where the arena fills large pages, the system is asked for them.
        const size_t page = used_ >= large_page ? large_page : alignment;
        const size_t bytes = size_t(checked(Index(used_ / page), Index(page), used_ % page ? Index(page) : 0));
        base_.reset(static_cast<char*>(std::aligned_alloc(page, bytes ? bytes : page)));
        if (!base_) throw std::bad_alloc();
#if defined(__linux__)
        if (page == large_page) madvise(base_.get(), bytes, MADV_HUGEPAGE);
#endif
        __builtin_memset(base_.get(), 0, used_);
        restart();
    }

    size_t bytes() const noexcept { return used_; }
    size_t bytes(Use use) const noexcept { return by_use_[int(use)]; }

private:
    void allocate_on(const Device& device) {
        base_ = {static_cast<char*>(device.allocate(used_ ? used_ : alignment)), device.release};
        if (!base_) throw DeviceMemoryError(device, used_);
        device.clear(base_.get(), used_);
        restart();
    }
    void restart() {
        used_ = 0;
        for (size_t& counted : by_use_) counted = 0;
    }

    std::unique_ptr<char, void (*)(void*)> base_{nullptr, std::free};
    size_t used_ = 0;
    size_t by_use_[int(Use::count)] = {};
};

}  // namespace fusednet
