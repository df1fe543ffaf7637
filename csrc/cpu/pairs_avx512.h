// What gemm_pairs.h is made of, by AVX512_BF16. The conversion rounds to nearest even, takes denormals for zero and
// keeps NaN.

using Floats = __m512;
using Pairs = __m512i;

FUSEDNET_INLINE Floats load_floats(const float* p) {
    return _mm512_loadu_ps(p);
}
// Zero beyond the first n; nothing is read where n is not positive.
FUSEDNET_INLINE Floats load_floats(const float* p, Index n) {
    return n >= 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(static_cast<__mmask16>(n > 0 ? (1u << n) - 1u : 0u), p);
}
FUSEDNET_INLINE void store_pairs(uint32_t* p, Pairs pairs) {
    _mm512_storeu_si512(p, pairs);
}

// Pair i holds numbers 2i and 2i + 1 of 32 in a row.
FUSEDNET_INLINE Pairs pairs_along(Floats first, Floats second) {
    return (Pairs)_mm512_cvtne2ps_pbh(second, first);
}
// Pair i holds lane i of both.
FUSEDNET_INLINE Pairs pairs_across(Floats even, Floats odd) {
    const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(zip, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}
// x less what the conversion keeps of it: exact. 0 where that is not finite.
FUSEDNET_INLINE Floats rest(Floats x) {
    const __m512i kept = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)), 16);
    const __m512 high = _mm512_castsi512_ps(kept);
    const __mmask16 finite = _mm512_cmp_ps_mask(_mm512_abs_ps(high), _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    return _mm512_maskz_sub_ps(finite, x, high);
}

FUSEDNET_INLINE void transpose(Pairs (&r)[16]) {
    Pairs t[16];
    FUSEDNET_UNROLL
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    FUSEDNET_UNROLL
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // r[4 q + c] holds, in its 128-bit lane l, elements 4 l + c of rows 4 q to 4 q + 3
    FUSEDNET_UNROLL
    for (int c = 0; c < 4; ++c) {
        t[c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
        t[4 + c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
        t[8 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        t[12 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    }
    FUSEDNET_UNROLL
    for (int c = 0; c < 4; ++c) {
        r[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
        r[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
        r[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
        r[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
    }
}
