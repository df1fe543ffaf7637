// Regions of fractional max pooling along one axis (Graham 2014, "Fractional Max-Pooling", section 2). Borders
// a[0] = 0 < a[1] < ... rise by floor(alpha) or ceil(alpha), alpha = span / out. Disjoint: region i is [a[i], a[i+1])
// and span = size. Overlapping: [a[i], a[i+1]], neighbours share a border, and span = size - 1. The first region begins
// at 0 and the last ends at size in either case. All in integers, so that every machine finds the same regions.
#pragma once

#include <cstdint>

#include "random.h"

namespace fusednet {

constexpr uint32_t pool_middle = 1u << 31;  // u = 1/2

// Pseudo-random: a[i] = ceil(alpha (i + u)) - ceil(alpha u), u = fraction / 2^32. Wants 1 <= out <= size.
inline void pseudo_random_regions(int32_t size, int32_t out, bool overlapping, uint32_t fraction, int32_t* begin,
                                  int32_t* end) noexcept {
    using Wide = unsigned __int128;
    const int32_t span = size - int32_t(overlapping);
    const Wide step = Wide(uint32_t(out)) << 32;
    const auto border = [&](int32_t i) {
        const Wide numerator = Wide(uint32_t(span)) * ((Wide(uint32_t(i)) << 32) + fraction);
        return int64_t((numerator + step - 1) / step);
    };
    const int64_t origin = border(0);
    for (int32_t i = 0; i < out; ++i) {
        begin[i] = int32_t(border(i) - origin);
        end[i] = int32_t(border(i + 1) - origin) + int32_t(overlapping);
    }
}

// Random: the larger steps stand at places drawn uniformly among all (Knuth's selection sampling).
inline void random_regions(int32_t size, int32_t out, bool overlapping, uint64_t seed, uint64_t stream, int32_t* begin,
                           int32_t* end) noexcept {
    const int32_t span = size - int32_t(overlapping), step = span / out;
    uint32_t larger = uint32_t(span % out);
    int32_t border = 0;
    for (int32_t i = 0; i < out; ++i) {
        const PhiloxBlock block = philox(seed, stream, uint64_t(i));
        const uint64_t bits = (uint64_t(block.word[0]) << 32) | block.word[1];
        const bool takes = (static_cast<unsigned __int128>(bits) * uint32_t(out - i)) >> 64 < larger;
        larger -= uint32_t(takes);
        begin[i] = border;
        border += step + int32_t(takes);
        end[i] = border + int32_t(overlapping);
    }
}

// The regions of a training step: one draw a stream, the same on every thread.
inline void pool_regions(int32_t size, int32_t out, bool overlapping, bool pseudo_random, uint64_t seed,
                         uint64_t stream, int32_t* begin, int32_t* end) noexcept {
    if (pseudo_random)
        pseudo_random_regions(size, out, overlapping, philox(seed, stream, 0).word[0], begin, end);
    else
        random_regions(size, out, overlapping, seed, stream, begin, end);
}

// The regions of inference, which draws nothing.
inline void inference_pool_regions(int32_t size, int32_t out, bool overlapping, int32_t* begin, int32_t* end) noexcept {
    pseudo_random_regions(size, out, overlapping, pool_middle, begin, end);
}

}  // namespace fusednet
