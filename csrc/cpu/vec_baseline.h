// Four floats in the compilers' portable vectors: SSE2, NEON or whatever the machine has. No fused multiply-add.

using T = float;
constexpr Index lanes = 4;

typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(32)));
typedef double HalfWide __attribute__((vector_size(16)));
typedef int64_t HalfBits __attribute__((vector_size(16)));

struct M {
    Ints m;
};

struct V {
    Floats v;
    V() = default;
    FUSEDNET_MEMBER V(Floats raw) : v(raw) {}
    FUSEDNET_MEMBER explicit V(Ints bits) : v((Floats)bits) {}
    FUSEDNET_MEMBER explicit V(double x) {
        const T f = static_cast<T>(x);
        v = Floats{f, f, f, f};
    }
    FUSEDNET_MEMBER Ints bits() const { return (Ints)v; }
};

FUSEDNET_INLINE V load(const T* p) {
    Floats v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
FUSEDNET_INLINE V load(const T* p, Index n) {
    Floats v{};
    for (Index i = 0; i < lanes; ++i)
        if (i < n) v[i] = p[i];
    return v;
}
constexpr bool masked_loads = false;
FUSEDNET_INLINE void store(T* p, V v) {
    __builtin_memcpy(p, &v.v, sizeof v.v);
}
FUSEDNET_INLINE void store(T* p, V v, Index n) {
    for (Index i = 0; i < lanes; ++i)
        if (i < n) p[i] = v.v[i];
}
// Past the caches, aligned; fence_streamed() before anyone may read.
FUSEDNET_INLINE void store_streamed(T* p, V v) {
#ifdef __SSE2__
    _mm_stream_ps(p, (__m128)v.v);
#else
    store(p, v);
#endif
}
FUSEDNET_INLINE void fence_streamed() {
#ifdef __SSE2__
    _mm_sfence();
#endif
}
FUSEDNET_INLINE V broadcast(T x) {
    return Floats{x, x, x, x};
}
FUSEDNET_INLINE M first_lanes(Index n) {
    const int32_t limit = static_cast<int32_t>(n);
    return {Ints{0, 1, 2, 3} < Ints{limit, limit, limit, limit}};
}
FUSEDNET_INLINE V load_lanes(const T* p, M valid) {
    return V((Ints)load(p).bits() & valid.m);
}

FUSEDNET_INLINE V operator+(V a, V b) {
    return a.v + b.v;
}
FUSEDNET_INLINE V operator-(V a, V b) {
    return a.v - b.v;
}
FUSEDNET_INLINE V operator*(V a, V b) {
    return a.v * b.v;
}
FUSEDNET_INLINE V operator/(V a, V b) {
    return a.v / b.v;
}
FUSEDNET_INLINE V operator-(V a) {
    return -a.v;
}
FUSEDNET_INLINE M operator>(V a, V b) {
    return {a.v > b.v};
}
FUSEDNET_INLINE M operator>=(V a, V b) {
    return {a.v >= b.v};
}
FUSEDNET_INLINE M operator<(V a, V b) {
    return {a.v < b.v};
}
FUSEDNET_INLINE M operator<=(V a, V b) {
    return {a.v <= b.v};
}
FUSEDNET_INLINE M operator==(V a, V b) {
    return {a.v == b.v};
}

FUSEDNET_INLINE V select(M m, V if_true, V if_false) {
    return V((if_true.bits() & m.m) | (if_false.bits() & ~m.m));
}
FUSEDNET_INLINE V fma(V a, V b, V c) {
    return a * b + c;
}
// The second where either is NaN, as the x86 instructions.
FUSEDNET_INLINE V max(V a, V b) {
    return a.v > b.v ? a.v : b.v;
}
FUSEDNET_INLINE V min(V a, V b) {
    return a.v < b.v ? a.v : b.v;
}
FUSEDNET_INLINE V abs(V x) {
    return V(x.bits() & INT32_MAX);
}
FUSEDNET_INLINE V copysign(V magnitude, V sign) {
    return V((magnitude.bits() & INT32_MAX) | (sign.bits() & INT32_MIN));
}
FUSEDNET_INLINE V sqrt(V x) {
#ifdef __SSE2__
    return (Floats)_mm_sqrt_ps((__m128)x.v);
#else
    for (int i = 0; i < 4; ++i) x.v[i] = __builtin_sqrtf(x.v[i]);
    return x;
#endif
}
// Where the machine has no estimates to refine, roots and quotients of an update are exact.
FUSEDNET_INLINE V quick_sqrt(V x) {
    return sqrt(x);
}
FUSEDNET_INLINE V quick_divide(V a, V b) {
    return a / b;
}
FUSEDNET_INLINE T reduce_add(V x) {
    return (x.v[0] + x.v[2]) + (x.v[1] + x.v[3]);
}
FUSEDNET_INLINE T reduce_max(V x) {
    const T even = x.v[0] > x.v[2] ? x.v[0] : x.v[2], odd = x.v[1] > x.v[3] ? x.v[1] : x.v[3];
    return even > odd ? even : odd;
}

// Row i becomes column i.
FUSEDNET_INLINE void transpose(V (&row)[lanes]) {
    const auto turned = [&](int i) { return Floats{row[0].v[i], row[1].v[i], row[2].v[i], row[3].v[i]}; };
    const Floats column[] = {turned(0), turned(1), turned(2), turned(3)};
    for (int i = 0; i < lanes; ++i) row[i] = column[i];
}

// What math.h is made of. round: |x| < 2^22. pow2: 2^n, n a whole number in [-126, 127].
FUSEDNET_INLINE V round(V x) {
    return (x + V(0x1.8p23)) - V(0x1.8p23);
}
FUSEDNET_INLINE V pow2(V n) {
    return V((__builtin_convertvector(n.v, Ints) + 127) << 23);
}
FUSEDNET_INLINE V ldexp(V x, V n) {  // in two steps, since 2^n itself may be out of range
    const Ints whole = __builtin_convertvector(n.v, Ints), half = whole >> 1;
    return x * V((half + 127) << 23) * V((whole - half + 127) << 23);
}
// x * 2^n for n <= 127; below n = -126 anything that small.
FUSEDNET_INLINE V scale_down(V x, V n) {
    return x * pow2(max(V(-126), n));
}
// x = m * 2^exponent with m in [sqrt(1/2), sqrt(2)); x > 0 and normal.
FUSEDNET_INLINE V split(V x, V& exponent) {
    const Words bits = (Words)x.v;  // of other x, which callers sort out, the differences wrap around
    const Ints e = (Ints)(bits - 0x3f3504f3) >> 23;
    exponent = __builtin_convertvector(e, Floats);
    return V((Ints)(bits - ((Words)e << 23)));
}
// 1 / x to 2^-14 at least, for x in [2^-100, 2^100].
FUSEDNET_INLINE V reciprocal(V x) {
    return V(1) / x;
}
// a - b * c rounded once, for b * c near a: the halves of Dekker's product are exact.
FUSEDNET_INLINE V residual(V a, V b, V c) {
    const V b1(b.bits() & -4096), c1(c.bits() & -4096), b0 = b - b1, c0 = c - c1;
    return (((a - b1 * c1) - b1 * c0) - b0 * c1) - b0 * c0;
}

// What wide.h is made of.
FUSEDNET_INLINE HalfWide half_fma(HalfWide a, HalfWide b, HalfWide c) {
    return a * b + c;
}
// a / b to 1e-12, for b from 1e-300 to infinity.
FUSEDNET_INLINE HalfWide half_quotient(HalfWide a, HalfWide b) {
    return a / b;
}
FUSEDNET_INLINE HalfWide half_max(HalfWide a, HalfWide b) {
    return a > b ? a : b;
}
FUSEDNET_INLINE HalfWide half_min(HalfWide a, HalfWide b) {
    return a < b ? a : b;
}
FUSEDNET_INLINE HalfWide wide_low(V x) {
#ifdef __SSE2__
    return (HalfWide)_mm_cvtps_pd((__m128)x.v);
#else
    return HalfWide{x.v[0], x.v[1]};
#endif
}
FUSEDNET_INLINE HalfWide wide_high(V x) {
#ifdef __SSE2__
    return (HalfWide)_mm_cvtps_pd(_mm_movehl_ps((__m128)x.v, (__m128)x.v));
#else
    return HalfWide{x.v[2], x.v[3]};
#endif
}
FUSEDNET_INLINE V narrow(HalfWide low, HalfWide high) {
#ifdef __SSE2__
    return (Floats)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)low), _mm_cvtpd_ps((__m128d)high));
#else
    return Floats{static_cast<T>(low[0]), static_cast<T>(low[1]), static_cast<T>(high[0]), static_cast<T>(high[1])};
#endif
}

struct Accumulator {
    Doubles sum{};
    FUSEDNET_MEMBER void add(V x) { sum += __builtin_convertvector(x.v, Doubles); }
    FUSEDNET_MEMBER void add_square(V x) {
        const Doubles wide = __builtin_convertvector(x.v, Doubles);
        sum += wide * wide;
    }
    FUSEDNET_MEMBER double total() const { return (sum[0] + sum[2]) + (sum[1] + sum[3]); }
};
