// Activations that float32 tables compute in float32: the functions of formulas/activations.h another way.

#include "pieces.h"
#include "pieces_tables.h"

template <class F>
struct Shortest {
    using Functor = F;
};

template <class V>
struct Gelu;
template <class V>
struct GeluTanh;
template <class V>
struct Silu;
template <class V>
struct Softplus;
template <class V>
struct Softsign;

// t * t / 2
FUSEDNET_INLINE Sum half_square(V t) {
    const V half = V(0.5) * t, high = t * half;
    return {high, excess(t, half, high)};
}

// 2 sqrt(2 / pi) (t + 0.044715 t^3)
FUSEDNET_INLINE Sum tanh_argument(V t) {
    // linear has few enough bits for linear - inner to be exact
    constexpr double linear = 1.5957691216057308, cubic = linear * 0.044715, linear_high = 0x1.988p0;
    constexpr double cubic_high = static_cast<double>(static_cast<float>(cubic));
    const V square = t * t, square_low = excess(t, t, square);
    const V inner = fma(square, V(cubic_high), V(linear_high));
    const V lost = excess(square, V(cubic_high), inner - V(linear_high));
    const V inner_low =
        lost + fma(square_low, V(cubic_high), fma(square, V(cubic - cubic_high), V(linear - linear_high)));
    const V high = t * inner;
    return {high, fma(t, inner_low, excess(t, inner, high))};
}

// exp(-a) h as 2^n (high + low), for a sum with other terms.
struct Scaled {
    Decay e;
    V high, rest;
    FUSEDNET_MEMBER Scaled(Sum a, Sum h) : e(decay(a)), high(h.high), rest(remainder(e, h)) {}
    FUSEDNET_MEMBER V first() const { return ldexp(high, e.n); }
    FUSEDNET_MEMBER V second() const { return ldexp(fma(high, e.high - V(1), rest), e.n); }
    FUSEDNET_MEMBER V all() const { return ldexp(fma(high, e.high, rest), e.n); }
};

template <class V>
struct ShortGelu : Gelu<V> {
    using Gelu<V>::Gelu;
    V value(V x) const {  // max(x, 0) - t tail(t)
        const V t = min(V(14.9), abs(x));
        const Sum h = piece<false>(pieces_gelu, t);
        const V high = t * h.high;
        const Scaled z(half_square(t), {high, fma(t, h.low, excess(t, h.high, high))});
        const Sum rest = exact_sum(t, -z.first());
        const V open = rest.high + (rest.low - z.second());
        return select(x > V(6), x, copysign(select(x < V(0), z.all(), open), x));
    }
    V derivative(V x) const {
        const V t = min(V(14.9), abs(x)), z = decayed(half_square(t), piece<true>(pieces_gelu_derivative, t));
        return select(x < V(0), z, V(1) - z);
    }
};

template <class V>
struct ShortGeluTanh : GeluTanh<V> {
    using GeluTanh<V>::GeluTanh;
    V value(V x) const { return vgated(x, tanh_argument(min(V(11), abs(x))), 7); }
    V derivative(V x) const {
        const V t = min(V(11), abs(x)), z = decayed(tanh_argument(t), piece<true>(pieces_gelu_tanh_derivative, t));
        return select(x < V(0), z, V(1) - z);
    }
};

template <class V>
struct ShortSilu : Silu<V> {
    using Silu<V>::Silu;
    V derivative(V x) const {
        const V t = min(V(110), abs(x)), z = decayed({t, V(0)}, piece<true>(pieces_silu_derivative, t));
        return select(x < V(0), z, V(1) - z);
    }
};

template <class V>
struct ShortSoftplus : Softplus<V> {
    using Softplus<V>::Softplus;
    V value(V x) const {  // max(x, 0) + log(1 + exp(-t))
        const V t = min(V(110), abs(x));
        const Scaled z({t, V(0)}, piece<false>(pieces_softplus, t));
        const V first = z.first();
        const Sum open = exact_sum(max(t, first), min(t, first));
        const V y = select(x < V(0), z.all(), open.high + (open.low + z.second()));
        return select(x > V(20), x, y);
    }
};

template <class V>
struct ShortSoftsign : Softsign<V> {
    using Softsign<V>::Softsign;
    V value(V x) const {
        const V t = min(V(0x1p30), abs(x));
        return copysign(divide({t, V(0)}, exact_sum(max(t, V(1)), min(t, V(1)))), x);
    }
};

// Each in place of the formula that it computes.
template <class V>
struct Shortest<Gelu<V>> {
    using Functor = ShortGelu<V>;
};
template <class V>
struct Shortest<GeluTanh<V>> {
    using Functor = ShortGeluTanh<V>;
};
template <class V>
struct Shortest<Silu<V>> {
    using Functor = ShortSilu<V>;
};
template <class V>
struct Shortest<Softplus<V>> {
    using Functor = ShortSoftplus<V>;
};
template <class V>
struct Shortest<Softsign<V>> {
    using Functor = ShortSoftsign<V>;
};
