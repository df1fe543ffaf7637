// Activations that float32 tables compute in float32: the functions of formulas/activations.h another way.

#include "near.h"
#include "near_derivatives.h"
#include "near_next.h"
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
struct FarGelu : Gelu<V> {
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
struct FarGeluTanh : GeluTanh<V> {
    using GeluTanh<V>::GeluTanh;
    V value(V x) const { return vgated(x, tanh_argument(min(V(11), abs(x))), 7); }
    V derivative(V x) const {
        const V t = min(V(11), abs(x)), z = decayed(tanh_argument(t), piece<true>(pieces_gelu_tanh_derivative, t));
        return select(x < V(0), z, V(1) - z);
    }
};

template <class V>
struct FarSilu : Silu<V> {
    using Silu<V>::Silu;
    V derivative(V x) const {
        const V t = min(V(110), abs(x)), z = decayed({t, V(0)}, piece<true>(pieces_silu_derivative, t));
        return select(x < V(0), z, V(1) - z);
    }
};

template <class V>
struct FarSoftplus : Softplus<V> {
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

// The functions by ranges (near.h).

struct SigmoidRanges : Ranges {
    static constexpr const Near &first = near_sigmoid, &second = next_sigmoid;
    static constexpr int last = 62;
    template <bool exact>
    FUSEDNET_INLINE V of(V x, const Line<exact>& h) {
        return share(x, h);
    }
    FUSEDNET_INLINE V far(V x) { return vsigmoid(x); }
};

struct SiluRanges : SigmoidRanges {
    template <bool exact>
    FUSEDNET_INLINE V of(V x, const Line<exact>& h) {
        return gated_share(x, h);
    }
    FUSEDNET_INLINE V far(V x) { return vgated(x, x); }
};

template <class F>
struct GeluRanges : SiluRanges {
    static constexpr const Near &first = near_normal, &second = next_normal;
    static constexpr int last = 43;  // within 1 ULP: further off the polynomials are too short for what falls this fast
    FUSEDNET_INLINE V far(V x) { return F(Params{}).value(x); }
};

template <class F>
struct GeluTanhRanges : SiluRanges {
    static constexpr const Near &first = near_normal_by_tanh, &second = next_normal_by_tanh;
    static constexpr int last = 41;
    FUSEDNET_INLINE V far(V x) { return F(Params{}).value(x); }
};

template <class F>
struct SiluSlopeRanges : SigmoidRanges {
    static constexpr bool exact = true;
    static constexpr const Near &first = near_silu_derivative, &second = next_silu_derivative;
    FUSEDNET_INLINE V far(V x) { return F(Params{}).derivative(x); }
};

template <class F>
struct GeluSlopeRanges : SiluSlopeRanges<F> {
    static constexpr const Near &first = near_gelu_derivative, &second = next_gelu_derivative;
    static constexpr int last = 40;
};

template <class F>
struct GeluTanhSlopeRanges : SiluSlopeRanges<F> {
    static constexpr const Near &first = near_gelu_tanh_derivative, &second = next_gelu_tanh_derivative;
    static constexpr int last = 35;
};

template <class F>
struct SoftplusRanges : Ranges {
    static constexpr const Near &first = near_softplus, &second = next_softplus;
    template <bool exact>
    FUSEDNET_INLINE V of(V x, const Line<exact>& h) {
        const V t = abs(x);
        const Sum open = exact_sum(max(t, h.lead), min(t, h.lead));
        return select(x < V(0), h.value(), open.high + h.plus(open.low));
    }
    FUSEDNET_INLINE V far(V x) { return F(Params{}).value(x); }
};

template <class F>
struct MishRanges : SignedRanges {
    static constexpr const Near &first = near_mish, &second = next_mish;
    template <bool exact>
    FUSEDNET_INLINE V of(V x, const Line<exact>& h) {
        return copysign(fma(x, h.lead, x * h.rise()), x);
    }
    FUSEDNET_INLINE V far(V x) { return F(Params{}).value(x); }
};

// Of a function that is seldom far from 0, or that costs little more there.
template <class F>
[[gnu::noinline]] V far_value(V x, V y, M far) {
    return select(far, F(Params{}).value(x), y);
}
template <class F>
FUSEDNET_INLINE V or_far(V x, V y, M far) {
    return __builtin_expect(any(far), false) ? far_value<F>(x, y, far) : y;
}

template <class V>
struct ShortSigmoid : Sigmoid<V> {
    using Sigmoid<V>::Sigmoid;
    FUSEDNET_MEMBER V value(V x) const { return by_ranges<SigmoidRanges>(x); }
};

template <class V>
struct ShortSilu : Silu<V> {
    using Silu<V>::Silu;
    FUSEDNET_MEMBER V value(V x) const { return by_ranges<SiluRanges>(x); }
    FUSEDNET_MEMBER V derivative(V x) const { return by_ranges<SiluSlopeRanges<FarSilu<V>>>(x); }
};

template <class V>
struct ShortGelu : Gelu<V> {
    using Gelu<V>::Gelu;
    FUSEDNET_MEMBER V value(V x) const { return by_ranges<GeluRanges<FarGelu<V>>>(x); }
    FUSEDNET_MEMBER V derivative(V x) const { return by_ranges<GeluSlopeRanges<FarGelu<V>>>(x); }
};

template <class V>
struct ShortGeluTanh : GeluTanh<V> {
    using GeluTanh<V>::GeluTanh;
    FUSEDNET_MEMBER V value(V x) const { return by_ranges<GeluTanhRanges<FarGeluTanh<V>>>(x); }
    FUSEDNET_MEMBER V derivative(V x) const { return by_ranges<GeluTanhSlopeRanges<FarGeluTanh<V>>>(x); }
};

template <class V>
struct ShortSoftplus : Softplus<V> {
    using Softplus<V>::Softplus;
    FUSEDNET_MEMBER V value(V x) const { return by_ranges<SoftplusRanges<FarSoftplus<V>>>(x); }
};

template <class V>
struct ShortMish : Mish<V> {
    using Mish<V>::Mish;
    FUSEDNET_MEMBER V value(V x) const { return by_ranges<MishRanges<Mish<V>>>(x); }
};

template <class V>
struct ShortTanh : Tanh<V> {
    using Tanh<V>::Tanh;
    FUSEDNET_MEMBER V value(V x) const {
        const V t = abs(x);
        const auto h = line<false>(near_tanh, t);
        const V y = select(t > V(9.1), V(1), fma(t, h.lead, t * h.rise()));
        return or_far<Tanh<V>>(x, copysign(y, x), both(t > V(7.8), t < V(9.2)));
    }
};

template <class V>
struct ShortSelu : Selu<V> {
    using Selu<V>::Selu;
    FUSEDNET_MEMBER V value(V x) const {
        constexpr double high = static_cast<double>(static_cast<float>(Selu<V>::scale));
        const V t = abs(x);
        const M below = x < V(0), far = either(x < V(-15.7), either(tiny(t), x > V(0x1p100)));
        const auto h = line<false>(near_selu, t);
        const V lead = select(below, h.lead, V(high)), low = select(below, h.rise(), V(Selu<V>::scale - high));
        return or_far<Selu<V>>(x, copysign(fma(x, lead, x * low), x), far);
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
