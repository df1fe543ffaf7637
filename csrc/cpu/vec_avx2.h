// Eight floats: AVX2 and FMA.

using T = float;
constexpr Index lanes = 8;

typedef double HalfWide __attribute__((vector_size(32)));
typedef int64_t HalfBits __attribute__((vector_size(32)));

struct M {
    __m256 m;
};

struct V {
    __m256 v;
    V() = default;
    FUSEDNET_MEMBER V(__m256 raw) : v(raw) {}
    FUSEDNET_MEMBER explicit V(__m256i bits) : v(_mm256_castsi256_ps(bits)) {}
    FUSEDNET_MEMBER explicit V(double x) : v(_mm256_set1_ps(static_cast<T>(x))) {}
    FUSEDNET_MEMBER __m256i bits() const { return _mm256_castps_si256(v); }
};

FUSEDNET_INLINE M first_lanes(Index n) {
    const __m256i limit = _mm256_set1_epi32(static_cast<int>(n));
    return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))};
}
FUSEDNET_INLINE V load(const T* p) {
    return _mm256_loadu_ps(p);
}
FUSEDNET_INLINE V load(const T* p, Index n) {
    return _mm256_maskload_ps(p, _mm256_castps_si256(first_lanes(n).m));
}
constexpr bool masked_loads = false;
FUSEDNET_INLINE V load_lanes(const T* p, M valid) {
    return _mm256_maskload_ps(p, _mm256_castps_si256(valid.m));
}
FUSEDNET_INLINE void store(T* p, V v) {
    _mm256_storeu_ps(p, v.v);
}
FUSEDNET_INLINE void store(T* p, V v, Index n) {
    _mm256_maskstore_ps(p, _mm256_castps_si256(first_lanes(n).m), v.v);
}
// Past the caches, aligned; fence_streamed() before anyone may read.
FUSEDNET_INLINE void store_streamed(T* p, V v) {
    _mm256_stream_ps(p, v.v);
}
FUSEDNET_INLINE void fence_streamed() {
    _mm_sfence();
}
FUSEDNET_INLINE V broadcast(T x) {
    return _mm256_set1_ps(x);
}

FUSEDNET_INLINE V operator+(V a, V b) {
    return _mm256_add_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator-(V a, V b) {
    return _mm256_sub_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator*(V a, V b) {
    return _mm256_mul_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator/(V a, V b) {
    return _mm256_div_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator-(V a) {
    return _mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f));
}
FUSEDNET_INLINE M operator>(V a, V b) {
    return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)};
}
FUSEDNET_INLINE M operator>=(V a, V b) {
    return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)};
}
FUSEDNET_INLINE M operator<(V a, V b) {
    return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)};
}
FUSEDNET_INLINE M operator<=(V a, V b) {
    return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)};
}
FUSEDNET_INLINE M operator==(V a, V b) {
    return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)};
}

FUSEDNET_INLINE M both(M a, M b) {
    return {_mm256_and_ps(a.m, b.m)};
}
FUSEDNET_INLINE M either(M a, M b) {
    return {_mm256_or_ps(a.m, b.m)};
}
FUSEDNET_INLINE bool any(M m) {
    return _mm256_movemask_ps(m.m) != 0;
}
FUSEDNET_INLINE V select(M m, V if_true, V if_false) {
    return _mm256_blendv_ps(if_false.v, if_true.v, m.m);
}
FUSEDNET_INLINE V fma(V a, V b, V c) {
    return _mm256_fmadd_ps(a.v, b.v, c.v);
}
// The second where either is NaN.
FUSEDNET_INLINE V max(V a, V b) {
    return _mm256_max_ps(a.v, b.v);
}
FUSEDNET_INLINE V min(V a, V b) {
    return _mm256_min_ps(a.v, b.v);
}
FUSEDNET_INLINE V abs(V x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v);
}
FUSEDNET_INLINE V copysign(V magnitude, V sign) {
    return _mm256_or_ps(abs(magnitude).v, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign.v));
}
// v where x has a minus sign, else -v.
FUSEDNET_INLINE V negated_above(V v, V x) {
    return _mm256_xor_ps(v.v, _mm256_andnot_ps(x.v, _mm256_set1_ps(-0.0f)));
}
FUSEDNET_INLINE V sqrt(V x) {
    return _mm256_sqrt_ps(x.v);
}
// Where the machine has no estimates to refine, roots and quotients of an update are exact.
FUSEDNET_INLINE V quick_sqrt(V x) {
    return sqrt(x);
}
FUSEDNET_INLINE V quick_divide(V a, V b) {
    return a / b;
}
FUSEDNET_INLINE T reduce_add(V x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
FUSEDNET_INLINE T reduce_max(V x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

// Row i becomes column i.
FUSEDNET_INLINE void transpose(V (&row)[lanes]) {
    __m256 pair[8], four[8];
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(row[i].v, row[i + 1].v);
        pair[i + 1] = _mm256_unpackhi_ps(row[i].v, row[i + 1].v);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; ++j) {
            four[i + 2 * j] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0x44);
            four[i + 2 * j + 1] = _mm256_shuffle_ps(pair[i + j], pair[i + j + 2], 0xee);
        }
    for (int b = 0; b < 4; ++b) {
        row[b] = _mm256_permute2f128_ps(four[b], four[b + 4], 0x20);
        row[b + 4] = _mm256_permute2f128_ps(four[b], four[b + 4], 0x31);
    }
}

// What math.h is made of. pow2: 2^n, n a whole number in [-126, 127].
FUSEDNET_INLINE V round(V x) {
    return _mm256_round_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FUSEDNET_INLINE V pow2_int(__m256i n) {
    return V(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
FUSEDNET_INLINE V pow2(V n) {
    return pow2_int(_mm256_cvtps_epi32(n.v));
}
FUSEDNET_INLINE V ldexp(V x, V n) {  // in two steps, since 2^n itself may be out of range
    const __m256i whole = _mm256_cvtps_epi32(n.v), half = _mm256_srai_epi32(whole, 1);
    return x * pow2_int(half) * pow2_int(_mm256_sub_epi32(whole, half));
}
// x * 2^n for n <= 127; below n = -126 anything that small.
FUSEDNET_INLINE V scale_down(V x, V n) {
    return x * pow2(max(V(-126), n));
}
// x = m * 2^exponent with m in [sqrt(1/2), sqrt(2)); x > 0 and normal.
FUSEDNET_INLINE V split(V x, V& exponent) {
    const __m256i e = _mm256_srai_epi32(_mm256_sub_epi32(x.bits(), _mm256_set1_epi32(0x3f3504f3)), 23);
    exponent = _mm256_cvtepi32_ps(e);
    return V(_mm256_sub_epi32(x.bits(), _mm256_slli_epi32(e, 23)));
}
// 1 / x to 2^-14 at least, for x in [2^-100, 2^100].
FUSEDNET_INLINE V reciprocal(V x) {
    return V(1) / x;
}
// a - b * c rounded once.
FUSEDNET_INLINE V residual(V a, V b, V c) {
    return _mm256_fnmadd_ps(b.v, c.v, a.v);
}
// a * b - c and c - a * b.
FUSEDNET_INLINE V fms(V a, V b, V c) {
    return _mm256_fmsub_ps(a.v, b.v, c.v);
}
FUSEDNET_INLINE V fnma(V a, V b, V c) {
    return _mm256_fnmadd_ps(a.v, b.v, c.v);
}
// a * b - c rounded once, for c near a * b.
FUSEDNET_INLINE V excess(V a, V b, V c) {
    return fms(a, b, c);
}

// What pieces.h and near.h read: coefficient k of interval j is at 8 j + k. The last five bits of a lane are its j.
constexpr Index interval_stride = 8, coefficient_stride = 1;
FUSEDNET_INLINE void look_up(const T* table, V j, V (&c)[8]) {
    alignas(32) int32_t row[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(row), _mm256_and_si256(j.bits(), _mm256_set1_epi32(31)));
    for (int l = 0; l < 8; ++l) c[l] = _mm256_load_ps(table + 8 * row[l]);
    transpose(c);
}
// The last two bits of the exponent and first three of the mantissa, in the last bits.
FUSEDNET_INLINE V interval(V u) {
    return V(_mm256_srli_epi32(u.bits(), 20));
}
// The middle of the interval.
FUSEDNET_INLINE V interval_center(V u) {
    const auto coarse = _mm256_and_si256(u.bits(), _mm256_set1_epi32(-0x100000));
    return V(_mm256_or_si256(coarse, _mm256_set1_epi32(0x80000)));
}

// What wide.h is made of.
FUSEDNET_INLINE HalfWide half_fma(HalfWide a, HalfWide b, HalfWide c) {
    return (HalfWide)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
// a / b to 1e-12, for b from 1e-300 to infinity.
FUSEDNET_INLINE HalfWide half_quotient(HalfWide a, HalfWide b) {
    return a / b;
}
FUSEDNET_INLINE HalfWide half_max(HalfWide a, HalfWide b) {
    return (HalfWide)_mm256_max_pd((__m256d)a, (__m256d)b);
}
FUSEDNET_INLINE HalfWide half_min(HalfWide a, HalfWide b) {
    return (HalfWide)_mm256_min_pd((__m256d)a, (__m256d)b);
}
FUSEDNET_INLINE HalfWide wide_low(V x) {
    return (HalfWide)_mm256_cvtps_pd(_mm256_castps256_ps128(x.v));
}
FUSEDNET_INLINE HalfWide wide_high(V x) {
    return (HalfWide)_mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1));
}
FUSEDNET_INLINE V narrow(HalfWide low, HalfWide high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps((__m256d)low)), _mm256_cvtpd_ps((__m256d)high),
                                1);
}

struct Accumulator {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    FUSEDNET_MEMBER void add(V x) {
        low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(x.v)));
        high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1)));
    }
    FUSEDNET_MEMBER void add_square(V x) {
        const __m256d l = _mm256_cvtps_pd(_mm256_castps256_ps128(x.v));
        const __m256d h = _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1));
        low = _mm256_fmadd_pd(l, l, low);
        high = _mm256_fmadd_pd(h, h, high);
    }
    FUSEDNET_MEMBER double total() const {
        const __m256d both = _mm256_add_pd(low, high);
        const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(both), _mm256_extractf128_pd(both, 1));
        return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
    }
};
