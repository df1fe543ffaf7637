// The truth: double, one lane, libm.

using T = double;
using V = double;
using M = bool;
constexpr Index lanes = 1;

FUSEDNET_INLINE V load(const T* p) {
    return *p;
}
FUSEDNET_INLINE V load(const T* p, Index n) {
    return n > 0 ? *p : 0.0;
}
constexpr bool masked_loads = false;
FUSEDNET_INLINE void store(T* p, V v) {
    *p = v;
}
FUSEDNET_INLINE void store(T* p, V v, Index n) {
    if (n > 0) *p = v;
}
FUSEDNET_INLINE void store_streamed(T* p, V v) {
    *p = v;
}
FUSEDNET_INLINE void fence_streamed() {}
FUSEDNET_INLINE V broadcast(T x) {
    return x;
}
FUSEDNET_INLINE M first_lanes(Index n) {
    return n > 0;
}
FUSEDNET_INLINE V load_lanes(const T* p, M valid) {
    return valid ? *p : 0.0;
}

FUSEDNET_INLINE V fma(V a, V b, V c) {
    return a * b + c;
}
FUSEDNET_INLINE V max(V a, V b) {
    return a > b ? a : b;
}
FUSEDNET_INLINE V min(V a, V b) {
    return a < b ? a : b;
}
FUSEDNET_INLINE V sqrt(V x) {
    return __builtin_sqrt(x);
}
FUSEDNET_INLINE V abs(V x) {
    return __builtin_fabs(x);
}
FUSEDNET_INLINE V select(M m, V if_true, V if_false) {
    return m ? if_true : if_false;
}
FUSEDNET_INLINE V copysign(V magnitude, V sign) {
    return __builtin_copysign(magnitude, sign);
}
FUSEDNET_INLINE V residual(V a, V b, V c) {
    return a - b * c;
}
FUSEDNET_INLINE void transpose(V (&)[lanes]) {}
FUSEDNET_INLINE V quick_sqrt(V x) {
    return __builtin_sqrt(x);
}
FUSEDNET_INLINE V quick_divide(V a, V b) {
    return a / b;
}
FUSEDNET_INLINE T reduce_add(V v) {
    return v;
}
FUSEDNET_INLINE T reduce_max(V v) {
    return v;
}

FUSEDNET_INLINE V vexp(V x) {
    return __builtin_exp(x);
}
FUSEDNET_INLINE V vexpm1(V x) {
    return __builtin_expm1(x);
}
FUSEDNET_INLINE V vexpm1_below(V x) {
    return __builtin_expm1(x);
}
FUSEDNET_INLINE V vlog(V x) {
    return __builtin_log(x);
}
FUSEDNET_INLINE V vlog1p(V x) {
    return __builtin_log1p(x);
}
FUSEDNET_INLINE V vtanh(V x) {
    return __builtin_tanh(x);
}
FUSEDNET_INLINE V vsigmoid(V x) {
    const V e = __builtin_exp(-__builtin_fabs(x));  // at most 1: no overflow on either side
    return (x < 0 ? e : 1.0) / (1.0 + e);
}

FUSEDNET_INLINE V vgated(V x, V v) {
    const V e = __builtin_exp(-__builtin_fabs(v)), least = max(-800.0, x);  // an infinite x meets no zero
    return least * (v < 0 ? e : 1.0) / (1.0 + e);
}

// Some float32 tables take shorter ways to the values of formulas (shortcuts.h); here they are computed as written.
template <class F>
struct Shortest {
    using Functor = F;
};

// What the float32 tables compute in float64 (wide.h) is here no wider.
FUSEDNET_INLINE V wide(V x) {
    return x;
}
FUSEDNET_INLINE V narrow(V x) {
    return x;
}
FUSEDNET_INLINE V vlog1pexp(V x) {
    return __builtin_log1p(__builtin_exp(x));
}
struct Normal {
    V tail, density;
};
FUSEDNET_INLINE Normal vnormal(V x) {
    const V t = __builtin_fabs(x);
    return {0.5 * __builtin_erfc(t * 0.7071067811865476), 0.3989422804014327 * __builtin_exp(-0.5 * t * t)};
}

struct Accumulator {
    double sum = 0;
    void add(V v) { sum += v; }
    void add_square(V v) { sum += v * v; }
    double total() const { return sum; }
};
