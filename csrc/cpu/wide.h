// Functions of float32 values in float64 (Wide): a chain of operations then costs no digits and a result is rounded
// once. They are good to 1e-10 or better: coefficients are minimax fits.

// exp(x) = power (1 + rest), for x <= 0; below -200, where no float is left, that of -200. Above 0 the result means
// nothing.
struct WideExp {
    Wide power, rest;
};

FUSEDNET_INLINE WideExp reduce_exp(Wide x) {
    const Wide clamped = max(Wide(-200), x), magic(0x1.8p52);
    const Wide t = fma(clamped, Wide(1.4426950408889634), magic), n = t - magic;
    const Wide r = fma(n, Wide(-0.6931471805599453), clamped);
    Wide q = fma(r, Wide(2.7617685465165067e-06), Wide(2.4868002978056962e-05));
    q = fma(q, r, Wide(0.00019841224418291943));
    q = fma(q, r, Wide(0.0013888838910996056));
    q = fma(q, r, Wide(0.008333333344268395));
    q = fma(q, r, Wide(0.04166666678698556));
    q = fma(q, r, Wide(0.16666666666662555));
    q = fma(q, r, Wide(0.4999999999995475));
    return {power_of_bits(t), fma(r * r, q, r)};
}

FUSEDNET_INLINE Wide vexp(Wide x) {
    const WideExp e = reduce_exp(x);
    return fma(e.power, e.rest, e.power);
}

FUSEDNET_INLINE Wide vexpm1(Wide x) {
    const WideExp e = reduce_exp(x);
    const Wide y = fma(e.power, e.rest, e.power - Wide(1));
    return select(abs(x) < Wide(0x1p-60), x, y);  // keeps the sign of 0
}

// log(1 + e) = 2 artanh(s), s = e / (2 + e), with e = exp(x), x <= 0: s is at most 1/3.
FUSEDNET_INLINE Wide vlog1pexp(Wide x) {
    const Wide e = vexp(x), s = e / (Wide(2) + e), z = s * s;
    Wide p = fma(z, Wide(0.20068155694850642), Wide(0.1407075932464363));
    p = fma(p, z, Wide(0.1831004363876266));
    p = fma(p, z, Wide(0.22215400180111994));
    p = fma(p, z, Wide(0.28571624027501186));
    p = fma(p, z, Wide(0.39999997264242493));
    p = fma(p, z, Wide(0.6666666668119934));
    p = fma(p, z, Wide(1.9999999999998737));
    return s * p;
}

// The standard normal law at |x|: the probability of more than that, and the density.
struct Normal {
    Wide tail, density;
};

// tail = exp(-t^2 / 2) p(u) / (1 + t) with u = (t - 4) / (t + 4), after Shepherd and Laframboise 1981.
FUSEDNET_INLINE Normal vnormal(Wide x) {
    const Wide t = min(Wide(20), abs(x)), far = t + Wide(4), next = t + Wide(1);
    const Wide inverse = Wide(1) / (far * next), u = (t - Wide(4)) * next * inverse;
    Wide p = fma(u, Wide(2.2815055181333086e-06), Wide(1.591168915893602e-05));
    p = fma(p, u, Wide(1.7228840891950647e-05));
    p = fma(p, u, Wide(-9.150168477709201e-05));
    p = fma(p, u, Wide(-9.375008745450219e-05));
    p = fma(p, u, Wide(0.0006964118967819774));
    p = fma(p, u, Wide(-0.0002855137626261228));
    p = fma(p, u, Wide(-0.005002655457270567));
    p = fma(p, u, Wide(0.017936056042912426));
    p = fma(p, u, Wide(-0.03219781431711183));
    p = fma(p, u, Wide(0.028600367481003516));
    p = fma(p, u, Wide(0.013999633988558188));
    p = fma(p, u, Wide(-0.09670347739421632));
    p = fma(p, u, Wide(0.4720532065138988));
    const Wide e = vexp(Wide(-0.5) * t * t);
    return {e * (p * (far * inverse)), e * Wide(0.3989422804014327)};
}
