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
#include <utility>
#include <vector>

#include "../base/table.h"

namespace fusednet {

// A training step writes activations and gradients before it reads them. Of a step that is done, activations are made
// again for whoever looks at them, and gradients may be those of an earlier one.
enum class Use { parameters, gradients, slots, activations, scratch, count };

// What of a plan a program keeps on the chip: nothing, activations, or gradients as well.
struct OnChip {
    void* memory = nullptr;
    bool gradients = false;
    size_t bytes = 0;
    bool holds(Use use) const noexcept {
        return memory && (use == Use::activations || (gradients && use == Use::gradients));
    }
};

constexpr size_t most_bytes = size_t(1) << 48;  // that an address reaches
constexpr size_t countless = ~size_t(0);        // more than that, by how much nobody has counted

inline std::string megabytes(size_t bytes) {
    const bool counted = bytes != countless;
    return (counted ? "" : "more than ") + std::to_string(((counted ? bytes : most_bytes) + 999999) / 1000000) + " MB";
}

// More bytes than any memory holds.
class TooLarge : public std::bad_alloc {
public:
    TooLarge() : text_("[Plan] expects " + megabytes(countless) + " of memory") {}
    const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

class DeviceMemoryError : public std::bad_alloc {
public:
    DeviceMemoryError(const Device& device, size_t asked, const char* owner = "Plan") {
        text_ = std::string("[") + owner + "] expects " + megabytes(asked) + " of memory of device '" + device.name +
                "', got ";
        // of more than most_bytes no device was asked
        if (const char* const why = asked <= most_bytes ? device.refusal() : nullptr) {
            text_ += std::string("an error: ") + why;
            return;
        }
        size_t free = 0, total = 0;
        device.memory(&free, &total);
        text_ += megabytes(free) + " free of " + megabytes(total);
    }
    const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

class Arena {
public:
    static constexpr size_t alignment = 64, chip_alignment = 16, large_page = size_t(2) << 20;

    Arena() = default;
    // Of a plan that shares the memory of `other`, which outlives it, but for what lies on the chip.
    Arena(const Arena& other, const OnChip& chip) : base_(other.base_.get(), [](void*) {}), chip_(chip) {}

    template <class A>
    A* take(Index count, Use use) {
        return place<A>(count, count, use).first;
    }

    // A matrix whose rows start on cache lines and do not share the cache's sets.
    template <class A>
    View<A> matrix(Index rows, Index cols, Use use) {
        const Index ld = padded<A>(cols, rows), chip_ld = use == Use::activations ? chip_padded<A>(cols) : ld;
        const auto [at, on_chip] = place<A>(checked(rows, ld), checked(rows, chip_ld), use);
        return {at, on_chip ? chip_ld : ld};
    }

    template <class A>
    static Index padded(Index cols, Index rows) {
        constexpr Index line = Index(alignment / sizeof(A));
        const Index ld = checked(cols, 1, line - 1) / line * line;
        // rows a multiple of 512 bytes apart would fall into few sets of the first-level cache
        return rows > 1 && ld > line && (ld * Index(sizeof(A))) % 512 == 0 ? ld + line : ld;
    }

    // On the chip elements below each other lie in different banks: eight rows of four take all of them.
    template <class A>
    static Index chip_padded(Index cols) {
        constexpr Index bank = Index(chip_alignment / sizeof(A));
        return (checked(cols, 1, bank - 1) / bank | 1) * bank;
    }

    // a * b + c, or an error where no memory could hold it.
    static Index checked(Index a, Index b, Index c = 0) {
        Index product = 0;
        if (__builtin_mul_overflow(a, b, &product) || product > Index(most_bytes)) throw TooLarge();
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
    // What would be taken of a chip.
    size_t chip_bytes(bool gradients) const noexcept {
        return chip_by_use_[int(Use::activations)] + (gradients ? chip_by_use_[int(Use::gradients)] : 0);
    }

private:
    // So many elements here, or so many on the chip: where, and whether it is there. Both are counted either way.
    template <class A>
    std::pair<A*, bool> place(Index count, Index chip_count, Use use) {
        const auto rounded = [](Index n, size_t to) {
            return size_t(checked(n, Index(sizeof(A)), Index(to) - 1)) / to * to;
        };
        const size_t bytes = rounded(count, alignment), chip_bytes = rounded(chip_count, chip_alignment);
        const bool on_chip = chip_.holds(use);
        char* const at = on_chip ? static_cast<char*>(chip_.memory) + chip_used_
                         : base_ ? base_.get() + used_
                                 : nullptr;
        used_ = size_t(checked(Index(used_), 1, Index(bytes)));
        if (on_chip) chip_used_ += chip_bytes;
        by_use_[int(use)] += bytes;
        chip_by_use_[int(use)] += chip_bytes;
        return {reinterpret_cast<A*>(at), on_chip};
    }
    void allocate_on(const Device& device) {
        base_ = {static_cast<char*>(device.allocate(used_ ? used_ : alignment)), device.release};
        if (!base_) throw DeviceMemoryError(device, used_);
        device.clear(base_.get(), used_);
        restart();
    }
    void restart() {
        used_ = chip_used_ = 0;
        for (size_t& counted : by_use_) counted = 0;
        for (size_t& counted : chip_by_use_) counted = 0;
    }

    std::unique_ptr<char, void (*)(void*)> base_{nullptr, std::free};
    OnChip chip_;
    size_t used_ = 0, chip_used_ = 0;
    size_t by_use_[int(Use::count)] = {}, chip_by_use_[int(Use::count)] = {};
};

}  // namespace fusednet
