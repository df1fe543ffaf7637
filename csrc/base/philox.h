// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four words from a counter of 128
// bits and a key of 64. Includes nothing: each instruction set has it inside its own namespace.
#pragma once

constexpr int philox_round_count = 10;
constexpr uint32_t philox_factor_0 = 0xD2511F53u, philox_factor_1 = 0xCD9E8D57u;
constexpr uint32_t philox_step_0 = 0x9E3779B9u, philox_step_1 = 0xBB67AE85u;

struct PhiloxBlock {
    uint32_t word[4];
};

// counter = (c0, c1, stream), key = seed.
[[gnu::always_inline]] constexpr PhiloxBlock philox_rounds(uint32_t c0, uint32_t c1, uint64_t stream,
                                                           uint64_t seed) noexcept {
    uint32_t c2 = uint32_t(stream), c3 = uint32_t(stream >> 32);
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < philox_round_count; ++round) {
        const uint64_t p0 = uint64_t(philox_factor_0) * c0, p1 = uint64_t(philox_factor_1) * c2;
        const uint32_t n0 = uint32_t(p1 >> 32) ^ c1 ^ k0, n2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
        c1 = uint32_t(p1);
        c3 = uint32_t(p0);
        c0 = n0;
        c2 = n2;
        k0 += philox_step_0;
        k1 += philox_step_1;
    }
    return {{c0, c1, c2, c3}};
}
