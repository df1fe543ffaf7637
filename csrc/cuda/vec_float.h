// One float a thread, and double for what has to be computed wider. The functions of math.h and wide.h serve as they
// are, so that a result has the same bits on the device and on the host.

using T = float;
using V = float;
using M = bool;
using Wide = double;

FUSEDNET_INLINE float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
FUSEDNET_INLINE double fma(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}
// The second where either is NaN.
FUSEDNET_INLINE float max(float a, float b) {
    return a > b ? a : b;
}
FUSEDNET_INLINE double max(double a, double b) {
    return a > b ? a : b;
}
FUSEDNET_INLINE float min(float a, float b) {
    return a < b ? a : b;
}
FUSEDNET_INLINE double min(double a, double b) {
    return a < b ? a : b;
}
FUSEDNET_INLINE float abs(float x) {
    return __builtin_fabsf(x);
}
FUSEDNET_INLINE double abs(double x) {
    return __builtin_fabs(x);
}
FUSEDNET_INLINE float select(bool m, float if_true, float if_false) {
    return m ? if_true : if_false;
}
FUSEDNET_INLINE double select(bool m, double if_true, double if_false) {
    return m ? if_true : if_false;
}
FUSEDNET_INLINE float copysign(float magnitude, float sign) {
    return __builtin_copysignf(magnitude, sign);
}
FUSEDNET_INLINE float sqrt(float x) {
    return __builtin_sqrtf(x);
}
FUSEDNET_INLINE float quick_sqrt(float x) {
    return __builtin_sqrtf(x);
}
FUSEDNET_INLINE float quick_divide(float a, float b) {
    return a / b;
}
FUSEDNET_INLINE float reduce_max(float x) {
    return x;
}

// What math.h is made of, as in the other tables.
FUSEDNET_INLINE float round(float x) {
    return (x + 0x1.8p23f) - 0x1.8p23f;
}
FUSEDNET_INLINE float pow2_int(int32_t n) {
    return __builtin_bit_cast(float, uint32_t(n + 127) << 23);
}
FUSEDNET_INLINE float pow2(float n) {
    return pow2_int(int32_t(n));
}
FUSEDNET_INLINE float ldexp(float x, float n) {
    const int32_t whole = int32_t(n), half = whole >> 1;
    return x * pow2_int(half) * pow2_int(whole - half);
}
FUSEDNET_INLINE float scale_down(float x, float n) {
    return x * pow2(max(-126.0f, n));
}
FUSEDNET_INLINE float split(float x, float& exponent) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const int32_t e = int32_t(bits - 0x3f3504f3u) >> 23;
    exponent = float(e);
    return __builtin_bit_cast(float, bits - (uint32_t(e) << 23));
}
FUSEDNET_INLINE float reciprocal(float x) {
    return 1.0f / x;
}
FUSEDNET_INLINE float residual(float a, float b, float c) {
    return __builtin_fmaf(-b, c, a);
}

// What wide.h is made of.
FUSEDNET_INLINE double power_of_bits(double t) {
    return __builtin_bit_cast(double, (__builtin_bit_cast(uint64_t, t) + 1023) << 52);
}
FUSEDNET_INLINE double wide(float x) {
    return double(x);
}
FUSEDNET_INLINE float narrow(double x) {
    return float(x);
}
