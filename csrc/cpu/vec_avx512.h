// Sixteen floats: AVX-512 F, DQ, BW and VL.

using T = float;
using M = __mmask16;
constexpr Index lanes = 16;

typedef double HalfWide __attribute__((vector_size(64)));
typedef int64_t HalfBits __attribute__((vector_size(64)));

struct V {
    __m512 v;
    V() = default;
    FUSEDNET_MEMBER V(__m512 raw) : v(raw) {}
    FUSEDNET_MEMBER explicit V(__m512i bits) : v(_mm512_castsi512_ps(bits)) {}
    FUSEDNET_MEMBER explicit V(double x) : v(_mm512_set1_ps(static_cast<T>(x))) {}
    FUSEDNET_MEMBER __m512i bits() const { return _mm512_castps_si512(v); }
};

FUSEDNET_INLINE M first_lanes(Index n) {
    return static_cast<M>((1u << n) - 1u);
}
FUSEDNET_INLINE V load(const T* p) {
    return _mm512_loadu_ps(p);
}
FUSEDNET_INLINE V load(const T* p, Index n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
// A load under a mask costs what any other does.
constexpr bool masked_loads = true;
FUSEDNET_INLINE V load_lanes(const T* p, M valid) {
    return _mm512_maskz_loadu_ps(valid, p);
}
FUSEDNET_INLINE void store(T* p, V v) {
    _mm512_storeu_ps(p, v.v);
}
FUSEDNET_INLINE void store(T* p, V v, Index n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), v.v);
}
// Past the caches, aligned; fence_streamed() before anyone may read.
FUSEDNET_INLINE void store_streamed(T* p, V v) {
    _mm512_stream_ps(p, v.v);
}
FUSEDNET_INLINE void fence_streamed() {
    _mm_sfence();
}
FUSEDNET_INLINE V broadcast(T x) {
    return _mm512_set1_ps(x);
}

FUSEDNET_INLINE V operator+(V a, V b) {
    return _mm512_add_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator-(V a, V b) {
    return _mm512_sub_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator*(V a, V b) {
    return _mm512_mul_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator/(V a, V b) {
    return _mm512_div_ps(a.v, b.v);
}
FUSEDNET_INLINE V operator-(V a) {
    return _mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f));
}
FUSEDNET_INLINE M operator>(V a, V b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ);
}
FUSEDNET_INLINE M operator>=(V a, V b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ);
}
FUSEDNET_INLINE M operator<(V a, V b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ);
}
FUSEDNET_INLINE M operator<=(V a, V b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ);
}
FUSEDNET_INLINE M operator==(V a, V b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ);
}

FUSEDNET_INLINE M both(M a, M b) {
    return static_cast<M>(a & b);
}
FUSEDNET_INLINE M either(M a, M b) {
    return static_cast<M>(a | b);
}
FUSEDNET_INLINE bool any(M m) {
    return m != 0;
}
FUSEDNET_INLINE V select(M m, V if_true, V if_false) {
    return _mm512_mask_blend_ps(m, if_false.v, if_true.v);
}
FUSEDNET_INLINE V fma(V a, V b, V c) {
    return _mm512_fmadd_ps(a.v, b.v, c.v);
}
// The second where either is NaN.
FUSEDNET_INLINE V max(V a, V b) {
    return _mm512_max_ps(a.v, b.v);
}
FUSEDNET_INLINE V min(V a, V b) {
    return _mm512_min_ps(a.v, b.v);
}
FUSEDNET_INLINE V abs(V x) {
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x.v);
}
FUSEDNET_INLINE V copysign(V magnitude, V sign) {
    return V(_mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN), sign.bits(), magnitude.bits(), 0xCA));
}
// v where x has a minus sign, else -v.
FUSEDNET_INLINE V negated_above(V v, V x) {
    return V(_mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN), x.bits(), v.bits(), 0x9A));
}
FUSEDNET_INLINE V sqrt(V x) {
    return _mm512_sqrt_ps(x.v);
}
// Estimates of 14 bits and a Newton step, within 2 ULP. quick_sqrt: a denormal counts as 0, infinity as the largest
// float. quick_divide: b normal, |b| < 2^126.
FUSEDNET_INLINE V quick_sqrt(V given) {
    const V x = min(V(0x1.fffffep127), given);  // this order passes NaN on
    const M normal = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(0x1p-126f), _CMP_GE_OQ);
    const __m512 r = _mm512_maskz_rsqrt14_ps(normal, x.v), y = _mm512_mul_ps(x.v, r);
    const __m512 lost = _mm512_fnmadd_ps(y, y, x.v);
    return _mm512_fmadd_ps(lost, _mm512_mul_ps(r, _mm512_set1_ps(0.5f)), y);
}
FUSEDNET_INLINE V quick_divide(V a, V b) {
    const __m512 r = _mm512_rcp14_ps(b.v), q = _mm512_mul_ps(a.v, r);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, b.v, a.v), r, q);
}
FUSEDNET_INLINE T reduce_add(V x) {
    return _mm512_reduce_add_ps(x.v);
}
FUSEDNET_INLINE T reduce_max(V x) {
    return _mm512_reduce_max_ps(x.v);
}

// Row i becomes column i.
FUSEDNET_INLINE void transpose(V (&row)[lanes]) {
    __m512 pair[16], four[16];
    for (int i = 0; i < 16; i += 2) {
        pair[i] = _mm512_unpacklo_ps(row[i].v, row[i + 1].v);
        pair[i + 1] = _mm512_unpackhi_ps(row[i].v, row[i + 1].v);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            const __m512d low = _mm512_castps_pd(pair[i + j]), high = _mm512_castps_pd(pair[i + j + 2]);
            four[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            four[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    // four[4 a + b]: of rows 4 a to 4 a + 3, the columns b, b + 4, b + 8 and b + 12
    for (int b = 0; b < 4; ++b) {
        const __m512 low = _mm512_shuffle_f32x4(four[b], four[b + 4], 0x88);
        const __m512 high = _mm512_shuffle_f32x4(four[b], four[b + 4], 0xdd);
        const __m512 low_2 = _mm512_shuffle_f32x4(four[b + 8], four[b + 12], 0x88);
        const __m512 high_2 = _mm512_shuffle_f32x4(four[b + 8], four[b + 12], 0xdd);
        row[b] = _mm512_shuffle_f32x4(low, low_2, 0x88);
        row[b + 4] = _mm512_shuffle_f32x4(high, high_2, 0x88);
        row[b + 8] = _mm512_shuffle_f32x4(low, low_2, 0xdd);
        row[b + 12] = _mm512_shuffle_f32x4(high, high_2, 0xdd);
    }
}

// What math.h is made of. pow2: 2^n, n a whole number in [-126, 127].
FUSEDNET_INLINE V round(V x) {
    return _mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FUSEDNET_INLINE V pow2(V n) {
    return _mm512_scalef_ps(_mm512_set1_ps(1), n.v);
}
FUSEDNET_INLINE V ldexp(V x, V n) {
    return _mm512_scalef_ps(x.v, n.v);
}
// x * 2^n for n <= 127; below n = -126 anything that small.
FUSEDNET_INLINE V scale_down(V x, V n) {
    return ldexp(x, n);
}
// x = m * 2^exponent with m in [sqrt(1/2), sqrt(2)); x > 0 and normal.
FUSEDNET_INLINE V split(V x, V& exponent) {
    const __m512i e = _mm512_srai_epi32(_mm512_sub_epi32(x.bits(), _mm512_set1_epi32(0x3f3504f3)), 23);
    exponent = _mm512_cvtepi32_ps(e);
    return V(_mm512_sub_epi32(x.bits(), _mm512_slli_epi32(e, 23)));
}
// 1 / x to 2^-14 at least, for x in [2^-100, 2^100].
FUSEDNET_INLINE V reciprocal(V x) {  // a division takes as long as ten of these
    return _mm512_rcp14_ps(x.v);
}
// a - b * c rounded once.
FUSEDNET_INLINE V residual(V a, V b, V c) {
    return _mm512_fnmadd_ps(b.v, c.v, a.v);
}
// a * b - c and c - a * b.
FUSEDNET_INLINE V fms(V a, V b, V c) {
    return _mm512_fmsub_ps(a.v, b.v, c.v);
}
FUSEDNET_INLINE V fnma(V a, V b, V c) {
    return _mm512_fnmadd_ps(a.v, b.v, c.v);
}
// a * b - c rounded once, for c near a * b.
FUSEDNET_INLINE V excess(V a, V b, V c) {
    return fms(a, b, c);
}

// What pieces.h and near.h read: coefficient k of interval j is at 32 k + j. The last five bits of a lane are its j.
constexpr Index interval_stride = 1, coefficient_stride = 32;
FUSEDNET_INLINE void look_up(const T* table, V j, V (&c)[8]) {
    for (int k = 0; k < 8; ++k)
        c[k] = _mm512_permutex2var_ps(_mm512_load_ps(table + 32 * k), j.bits(), _mm512_load_ps(table + 32 * k + 16));
}
// The last two bits of the exponent and first three of the mantissa, in the last bits.
FUSEDNET_INLINE V interval(V u) {
    return V(_mm512_srli_epi32(u.bits(), 20));
}
// The middle of the interval.
FUSEDNET_INLINE V interval_center(V u) {
    const auto coarse = _mm512_and_si512(u.bits(), _mm512_set1_epi32(-0x100000));
    return V(_mm512_or_si512(coarse, _mm512_set1_epi32(0x80000)));
}

// What wide.h is made of.
FUSEDNET_INLINE HalfWide half_fma(HalfWide a, HalfWide b, HalfWide c) {
    return (HalfWide)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
// a / b to 1e-12, for b from 1e-300 to infinity.
FUSEDNET_INLINE HalfWide half_quotient(HalfWide a, HalfWide b) {  // a division takes three times as long
    const __m512d divisor = _mm512_min_pd(_mm512_set1_pd(1e300), (__m512d)b), inverse = _mm512_rcp14_pd(divisor);
    const __m512d rest = _mm512_fnmadd_pd(divisor, inverse, _mm512_set1_pd(1));
    return a * (HalfWide)_mm512_fmadd_pd(inverse, _mm512_fmadd_pd(rest, rest, rest), inverse);
}
FUSEDNET_INLINE HalfWide half_max(HalfWide a, HalfWide b) {
    return (HalfWide)_mm512_max_pd((__m512d)a, (__m512d)b);
}
FUSEDNET_INLINE HalfWide half_min(HalfWide a, HalfWide b) {
    return (HalfWide)_mm512_min_pd((__m512d)a, (__m512d)b);
}
FUSEDNET_INLINE HalfWide wide_low(V x) {
    return (HalfWide)_mm512_cvtps_pd(_mm512_castps512_ps256(x.v));
}
FUSEDNET_INLINE HalfWide wide_high(V x) {
    return (HalfWide)_mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1));
}
FUSEDNET_INLINE V narrow(HalfWide low, HalfWide high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low)), _mm512_cvtpd_ps((__m512d)high), 1);
}

struct Accumulator {
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    FUSEDNET_MEMBER void add(V x) {
        low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(x.v)));
        high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1)));
    }
    FUSEDNET_MEMBER void add_square(V x) {
        const __m512d l = _mm512_cvtps_pd(_mm512_castps512_ps256(x.v));
        const __m512d h = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1));
        low = _mm512_fmadd_pd(l, l, low);
        high = _mm512_fmadd_pd(h, h, high);
    }
    FUSEDNET_MEMBER double total() const { return _mm512_reduce_add_pd(_mm512_add_pd(low, high)); }
};
