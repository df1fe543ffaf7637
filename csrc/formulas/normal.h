// Two standard normal numbers from two uniform words: Box and Muller 1958. In float32 on every machine and for every
// scalar type, of +, *, / and sqrt alone: the same bits everywhere, within 1e-6.

struct NormalPair {
    float cosine, sine;
};

// log of a positive, normal x; log(m) = 2 atanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2)), by its series.
FUSEDNET_INLINE float series_log(float x) {
    const int32_t bits = __builtin_bit_cast(int32_t, x);
    const int32_t exponent = (bits - 0x3f3504f3) >> 23;
    const float m = __builtin_bit_cast(float, bits - exponent * (1 << 23));
    const float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    const float p = 1.0f + z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
    return float(exponent) * 0.693147181f + 2.0f * s * p;
}

// radius = sqrt(-2 log(1 - u)), angle = 2 pi v, with u and v the upper 24 bits of the words. The angle is taken from
// the nearest quarter of the circle, |t| <= pi / 4.
FUSEDNET_INLINE NormalPair normal_pair(uint32_t u, uint32_t v) {
    const float radius = __builtin_sqrtf(-2.0f * series_log(float((1 << 24) - int32_t(u >> 8)) * 0x1p-24f));
    const int32_t turn = int32_t(v >> 8), quarter = (turn + (1 << 21)) >> 22;
    const float t = float(turn - quarter * (1 << 22)) * (1.57079633f * 0x1p-22f), z = t * t;
    const float sine = t * (1.0f + z * (-1.0f / 6 + z * (1.0f / 120 + z * (-1.0f / 5040 + z * (1.0f / 362880)))));
    const float cosine = 1.0f + z * (-0.5f + z * (1.0f / 24 + z * (-1.0f / 720 + z * (1.0f / 40320))));
    const bool odd = (quarter & 1) != 0;
    const float along = odd ? sine : cosine, across = odd ? cosine : sine;
    return {radius * (float(1 - ((quarter + 1) & 2)) * along), radius * (float(1 - (quarter & 2)) * across)};
}
