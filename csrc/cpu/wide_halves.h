// float32 values computed in float64: two vectors of doubles for one of floats. vec_<isa>.h gives HalfWide, HalfBits
// (the same bytes as 64-bit integers), fma, quotient, max, min, wide and narrow.

struct WideMask {
    HalfBits low, high;
};

struct Wide {
    HalfWide low, high;
    Wide() = default;
    FUSEDNET_MEMBER Wide(HalfWide l, HalfWide h) : low(l), high(h) {}
    FUSEDNET_MEMBER explicit Wide(double x) : low(HalfWide{} + x), high(HalfWide{} + x) {}
};

FUSEDNET_INLINE Wide operator+(Wide a, Wide b) {
    return {a.low + b.low, a.high + b.high};
}
FUSEDNET_INLINE Wide operator-(Wide a, Wide b) {
    return {a.low - b.low, a.high - b.high};
}
FUSEDNET_INLINE Wide operator*(Wide a, Wide b) {
    return {a.low * b.low, a.high * b.high};
}
FUSEDNET_INLINE Wide operator/(Wide a, Wide b) {
    return {half_quotient(a.low, b.low), half_quotient(a.high, b.high)};
}
FUSEDNET_INLINE Wide operator-(Wide a) {
    return {-a.low, -a.high};
}
FUSEDNET_INLINE WideMask operator<(Wide a, Wide b) {
    return {a.low < b.low, a.high < b.high};
}
FUSEDNET_INLINE WideMask operator>(Wide a, Wide b) {
    return b < a;
}
FUSEDNET_INLINE Wide select(WideMask m, Wide if_true, Wide if_false) {
    return {m.low ? if_true.low : if_false.low, m.high ? if_true.high : if_false.high};
}
// The second where either is NaN.
FUSEDNET_INLINE Wide max(Wide a, Wide b) {
    return {half_max(a.low, b.low), half_max(a.high, b.high)};
}
FUSEDNET_INLINE Wide min(Wide a, Wide b) {
    return {half_min(a.low, b.low), half_min(a.high, b.high)};
}
FUSEDNET_INLINE Wide abs(Wide x) {
    return {(HalfWide)((HalfBits)x.low & INT64_MAX), (HalfWide)((HalfBits)x.high & INT64_MAX)};
}
FUSEDNET_INLINE Wide fma(Wide a, Wide b, Wide c) {
    return {half_fma(a.low, b.low, c.low), half_fma(a.high, b.high, c.high)};
}
FUSEDNET_INLINE Wide wide(V x) {
    return {wide_low(x), wide_high(x)};
}
FUSEDNET_INLINE V narrow(Wide x) {
    return narrow(x.low, x.high);
}
// 2^n of a t whose last bits are n: moved up, they are the exponent.
FUSEDNET_INLINE Wide power_of_bits(Wide t) {
    return {(HalfWide)(((HalfBits)t.low + 1023) << 52), (HalfWide)(((HalfBits)t.high + 1023) << 52)};
}
