// What gemm_pairs.h is made of, in plain C++: the same results as pairs_avx512.h.

struct Floats {
    float lane[16];
};
struct Pairs {
    uint32_t word[16];
};

inline Floats load_floats(const float* p, Index n) noexcept {
    Floats x = {};
    for (Index i = 0; i < (n < 16 ? n : 16); ++i) x.lane[i] = p[i];
    return x;
}
inline Floats load_floats(const float* p) noexcept {
    return load_floats(p, 16);
}
inline void store_pairs(uint32_t* p, const Pairs& pairs) noexcept {
    __builtin_memcpy(p, pairs.word, sizeof pairs.word);
}

// To nearest even; denormals are zero, NaN stays NaN.
inline uint32_t bf16_of(float x) noexcept {
    uint32_t bits = 0;
    __builtin_memcpy(&bits, &x, sizeof bits);
    if (x != x) return bits >> 16 | 0x40;
    if (__builtin_fabsf(x) < __FLT_MIN__) return bits >> 31 << 15;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline float kept(float x) noexcept {
    const uint32_t bits = bf16_of(x) << 16;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

inline Pairs pairs_along(const Floats& first, const Floats& second) noexcept {
    Pairs pairs = {};
    for (int i = 0; i < 16; ++i) {
        const float* from = i < 8 ? first.lane + 2 * i : second.lane + 2 * i - 16;
        pairs.word[i] = bf16_of(from[0]) | bf16_of(from[1]) << 16;
    }
    return pairs;
}
inline Pairs pairs_across(const Floats& even, const Floats& odd) noexcept {
    Pairs pairs = {};
    for (int i = 0; i < 16; ++i) pairs.word[i] = bf16_of(even.lane[i]) | bf16_of(odd.lane[i]) << 16;
    return pairs;
}
inline Floats rest(const Floats& x) noexcept {
    Floats left = {};
    for (int i = 0; i < 16; ++i)
        left.lane[i] = __builtin_isfinite(kept(x.lane[i])) ? x.lane[i] - kept(x.lane[i]) : 0.0f;
    return left;
}
inline void transpose(Pairs (&r)[16]) noexcept {
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < i; ++j) {
            const uint32_t held = r[i].word[j];
            r[i].word[j] = r[j].word[i];
            r[j].word[i] = held;
        }
}
