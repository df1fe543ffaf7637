// Counter-based random numbers. A draw is a function of seed, stream and element only, so that it is the same on every
// backend and thread count.
#pragma once

#include <cmath>
#include <cstdint>

namespace fusednet {

#include "philox.h"

inline PhiloxBlock philox(uint64_t seed, uint64_t stream, uint64_t counter) noexcept {
    return philox_rounds(uint32_t(counter), uint32_t(counter >> 32), stream, seed);
}

// Uniform on [0, 1) with 53 random bits.
inline double philox_uniform(uint64_t seed, uint64_t stream, uint64_t element) noexcept {
    const PhiloxBlock block = philox(seed, stream, element / 2);
    const int half = int(element % 2) * 2;
    const uint64_t bits = (uint64_t(block.word[half]) << 32) | block.word[half + 1];
    return double(bits >> 11) * 0x1p-53;
}

// Standard normal by Box and Muller (1958); element 2i is the cosine and 2i + 1 the sine of one pair.
inline double philox_normal(uint64_t seed, uint64_t stream, uint64_t element) noexcept {
    const uint64_t pair = element & ~uint64_t(1);
    const double radius = std::sqrt(-2.0 * std::log1p(-philox_uniform(seed, stream, pair)));
    const double angle = 6.283185307179586 * philox_uniform(seed, stream, pair + 1);
    return radius * (element % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// A permutation of 0..count-1 by Fisher and Yates. The bias of the multiply-shift draw is below count / 2^64.
inline void philox_permutation(uint64_t seed, uint64_t stream, int64_t count, int64_t* order) noexcept {
    for (int64_t i = 0; i < count; ++i) order[i] = i;
    for (int64_t i = count - 1; i > 0; --i) {
        const PhiloxBlock block = philox(seed, stream, uint64_t(i));
        const uint64_t bits = (uint64_t(block.word[0]) << 32) | block.word[1];
        const auto j = int64_t((static_cast<unsigned __int128>(bits) * uint64_t(i + 1)) >> 64);
        const int64_t held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}

}  // namespace fusednet
