// Activations that float32 tables compute in float32: the functions of formulas/activations.h another way.

#include "near.h"
#include "near_derivatives.h"
#include "near_values.h"
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
struct Mish;
template <class V>
struct Selu;
template <class V>
struct Sigmoid;
template <class V>
struct Silu;
template <class V>
struct Softplus;
template <class V>
struct Softsign;
template <class V>
struct Tanh;

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

// exp(-t) = 2^n (high + low), and as one float. Far from 0 functions are short series in it.
struct Tail {
    Decay e;
    V all;
    FUSEDNET_MEMBER explicit Tail(Sum t) : e(decay(t)), all(ldexp(e.high + e.low, e.n)) {}
    // exp(-t) (1 + w), w small.
    FUSEDNET_MEMBER V times(V w) const { return ldexp(e.high + fma(e.high + e.low, w, e.low), e.n); }
    // exp(-t) (a.high (1 + w) + a.low)
    FUSEDNET_MEMBER V times(Sum a, V w) const {
        const V product = a.high * e.high, small = fma(a.high, w, a.low);
        const V lost = fma(small, e.high + e.low, fma(a.high, e.low, excess(a.high, e.high, product)));
        return ldexp(product + lost, e.n);
    }
};

// What R::far has is wanted far from 0 alone.

// sigmoid(-t) = exp(-t) (1 - exp(-t) + exp(-2 t) - ...)
struct FarSigmoid {
    FUSEDNET_INLINE V far(V x) {
        const Tail e({min(V(110), abs(x)), V(0)});
        const V w = fma(e.all, e.all, -e.all);
        return select(x < V(0), e.times(w), V(1) - fma(e.all, w, e.all));
    }
};

// x sigmoid(v), v of the size t and of x's sign.
FUSEDNET_INLINE V far_gated(V x, Sum t) {
    const Tail e(t);
    const V w = fma(e.all, e.all, -e.all), bounded = max(V(-110), x);  // there the gate is shut, even to infinity
    const V open = fnma(bounded, fma(e.all, w, e.all), x);
    return select(x > V(20), x, select(x < V(0), e.times({bounded, V(0)}, w), open));
}

// h where x < 0, else 1 - h
FUSEDNET_INLINE V far_share(V x, V h) {
    return select(x < V(0), h, V(1) - h);
}

struct FarSilu {
    FUSEDNET_INLINE V far(V x) { return far_gated(x, {min(V(110), abs(x)), V(0)}); }
};

// Of SiLU at -t: exp(-t) (1 - t + exp(-t)) (1 + exp(-t))^-2
struct FarSiluSlope {
    FUSEDNET_INLINE V far(V x) {
        const V t = min(V(110), abs(x));
        const Tail e({t, V(0)});
        const V w = e.all * fma(e.all, fma(e.all, V(-4), V(3)), V(-2));
        return far_share(x, e.times({V(1) - t, fma(e.all, w, e.all)}, w));
    }
};

struct FarGelu {
    FUSEDNET_INLINE V far(V x) {  // max(x, 0) - t tail(t)
        const V t = min(V(14.9), abs(x));
        const Sum h = piece<false>(pieces_gelu, t);
        const V high = t * h.high;
        const V z = decayed(half_square(t), {high, fma(t, h.low, excess(t, h.high, high))});
        return select(x > V(6), x, select(x < V(0), -z, t - z));
    }
};

struct FarGeluSlope {
    FUSEDNET_INLINE V far(V x) {
        const V t = min(V(14.9), abs(x));
        return far_share(x, decayed(half_square(t), piece<true>(pieces_gelu_derivative, t)));
    }
};

struct FarGeluTanh {
    FUSEDNET_INLINE V far(V x) { return far_gated(x, tanh_argument(min(V(11), abs(x)))); }
};

struct FarGeluTanhSlope {
    FUSEDNET_INLINE V far(V x) {
        const V t = min(V(11), abs(x));
        return far_share(x, decayed(tanh_argument(t), piece<true>(pieces_gelu_tanh_derivative, t)));
    }
};

struct FarSoftplus {
    FUSEDNET_INLINE V far(V x) {  // max(x, 0) + exp(-t) (1 - exp(-t) / 2 + exp(-2 t) / 3 - ...)
        const Tail e({min(V(110), abs(x)), V(0)});
        const V w = e.all * fma(e.all, V(1.0 / 3), V(-0.5));
        return select(x < V(0), e.times(w), x + fma(e.all, w, e.all));
    }
};

// As the formula is written.
template <class F>
struct FarValue {
    FUSEDNET_INLINE V far(V x) { return F(Params{}).value(x); }
};

template <class V>
struct ShortSigmoid : Sigmoid<V> {
    using Sigmoid<V>::Sigmoid;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        return or_far<FarSigmoid>(x, share(x, line<false>(near_sigmoid, t)), t > V(7.8));
    }
};

template <class V>
struct ShortSilu : Silu<V> {
    using Silu<V>::Silu;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        return or_far<FarSilu>(x, gated_share(x, line<false>(near_sigmoid, t)), t > V(7.8));
    }
    FUSEDNET_MEMBER V derivative(V x) const {
        const V t = abs(x);
        return or_far<FarSiluSlope>(x, share(x, line<true, true>(near_silu_derivative, t)), t > V(6.7));
    }
};

template <class V>
struct ShortGelu : Gelu<V> {
    using Gelu<V>::Gelu;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        return or_far<FarGelu>(x, gated_share(x, line<true>(near_normal, t)), t > V(3.5));
    }
    FUSEDNET_MEMBER V derivative(V x) const {
        const V t = abs(x);
        return or_far<FarGeluSlope>(x, share(x, line<true, true>(near_gelu_derivative, t)), t > V(3.9));
    }
};

template <class V>
struct ShortGeluTanh : GeluTanh<V> {
    using GeluTanh<V>::GeluTanh;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        return or_far<FarGeluTanh>(x, gated_share(x, line<true>(near_normal_by_tanh, t)), t > V(3.7));
    }
    FUSEDNET_MEMBER V derivative(V x) const {
        const V t = abs(x);
        return or_far<FarGeluTanhSlope>(x, share(x, line<true, true>(near_gelu_tanh_derivative, t)), t > V(3.9));
    }
};

template <class V>
struct ShortSoftplus : Softplus<V> {
    using Softplus<V>::Softplus;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        const auto h = line<false>(near_softplus, t);
        const Sum open = exact_sum(max(t, h.lead), min(t, h.lead));
        const V y = select(x < V(0), h.value(), open.high + h.plus(open.low));
        return or_far<FarSoftplus>(x, y, t > V(7.8));
    }
};

template <class V>
struct ShortMish : Mish<V> {
    using Mish<V>::Mish;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        const auto h = line<false>(near_mish, x);
        const V y = copysign(fma(x, h.lead, x * h.rise()), x);
        return or_far<FarValue<Mish<V>>>(x, y, either(t > V(5.8), tiny(t)));
    }
};

template <class V>
struct ShortTanh : Tanh<V> {
    using Tanh<V>::Tanh;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        const auto h = line<false>(near_tanh, t);
        return copysign(select(t > V(9.1), V(1), fma(t, h.lead, t * h.rise())), x);
    }
};

template <class V>
struct ShortSelu : Selu<V> {
    using Selu<V>::Selu;
    FUSEDNET_MEMBER V value(V x) const {
        constexpr double high = static_cast<double>(static_cast<float>(Selu<V>::scale));
        const V t = abs(x);
        const M below = x < V(0);
        const auto h = line<false>(near_selu, t);
        const V lead = select(below, h.lead, V(high)), low = select(below, h.rise(), V(Selu<V>::scale - high));
        const V y = select(x < V(-17.4), V(-Selu<V>::scale_alpha), copysign(fma(x, lead, x * low), x));
        return or_far<FarValue<Selu<V>>>(x, y, either(tiny(t), x > V(0x1p100)));  // inf would be inf - inf
    }
};

template <class V>
struct ShortSoftsign : Softsign<V> {
    using Softsign<V>::Softsign;
    FUSEDNET_MEMBER V value(V x) const {
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
struct Shortest<Mish<V>> {
    using Functor = ShortMish<V>;
};
template <class V>
struct Shortest<Selu<V>> {
    using Functor = ShortSelu<V>;
};
template <class V>
struct Shortest<Sigmoid<V>> {
    using Functor = ShortSigmoid<V>;
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
template <class V>
struct Shortest<Tanh<V>> {
    using Functor = ShortTanh<V>;
};
