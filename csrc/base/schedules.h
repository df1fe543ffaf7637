// Learning-rate schedules: the rate of an update as a function of the number t of updates done before it. Keras's
// formulas, except where its rounding decides on which side of a restart a step lies; OneCycle is PyTorch's.
// p: the row's parameters in its order, valid already.
#pragma once

#include <cmath>

#include "rows.h"

namespace fusednet {

#define FUSEDNET_ENUMERATOR(name, ...) name,
enum class Schedule { FUSEDNET_SCHEDULES(FUSEDNET_ENUMERATOR) count };
#undef FUSEDNET_ENUMERATOR

namespace schedules {

inline constexpr double pi = 3.14159265358979323846;

inline double constant(double, const double* p, int) noexcept {
    return p[0];
}

// Periods of decay_steps that have passed, whole ones only on a staircase.
inline double periods(double t, double decay_steps, double staircase) noexcept {
    return staircase != 0 ? std::floor(t / decay_steps) : t / decay_steps;
}

inline double exponential_decay(double t, const double* p, int) noexcept {
    return p[0] * std::pow(p[2], periods(t, p[1], p[3]));
}

inline double inverse_time_decay(double t, const double* p, int) noexcept {
    return p[0] / (1 + p[2] * periods(t, p[1], p[3]));
}

// A boundary itself still has the value before it.
inline double piecewise_constant_decay(double t, const double* p, int count) noexcept {
    const int boundaries = count / 2;
    int passed = 0;
    while (passed < boundaries && t > p[passed]) ++passed;
    return p[boundaries + passed];
}

inline double polynomial_decay(double t, const double* p, int) noexcept {
    const bool cycle = p[4] != 0;
    const double steps = cycle && t > 0 ? p[1] * std::ceil(t / p[1]) : p[1];
    return (p[0] - p[2]) * std::pow(1 - std::fmin(t / steps, 1.0), p[3]) + p[2];
}

// From `rate` down to alpha * rate; share in [0, 1]; height scales the arc.
inline double cosine(double rate, double share, double alpha, double height = 1) noexcept {
    return rate * ((1 - alpha) * (0.5 * height * (1 + std::cos(pi * share))) + alpha);
}

inline double cosine_decay(double t, const double* p, int) noexcept {
    const double warmup_target = p[3], warmup_steps = p[4];
    if (t < warmup_steps) return (warmup_target - p[0]) * (t / warmup_steps) + p[0];
    return cosine(warmup_target, std::fmin((t - warmup_steps) / p[1], 1.0), p[2]);
}

// Cycle i begins at first (t_mul^i - 1) / (t_mul - 1). The logarithm may round to a neighbour of the cycle that t is
// in; the comparison with the cycles' own beginnings decides.
inline double cosine_decay_restarts(double t, const double* p, int) noexcept {
    const double first = p[1], t_mul = p[2];
    if (t_mul == 1) {
        const double cycle = std::floor(t / first);
        return cosine(p[0], t / first - cycle, p[4], std::pow(p[3], cycle));
    }
    const auto begin = [=](double i) { return first * ((std::pow(t_mul, i) - 1) / (t_mul - 1)); };
    double cycle = std::floor(std::log1p(t / first * (t_mul - 1)) / std::log(t_mul));
    if (t < begin(cycle)) --cycle;
    if (t >= begin(cycle + 1)) ++cycle;
    const double share = (t - begin(cycle)) / (first * std::pow(t_mul, cycle));
    return cosine(p[0], std::fmin(std::fmax(share, 0.0), 1.0), p[4], std::pow(p[3], cycle));
}

// Step `top`, where the share pct_start of the steps is done, has max_lr; the last step and all after it the minimum.
inline double one_cycle(double t, const double* p, int) noexcept {
    const double last = p[1] - 1, top = p[2] * p[1] - 1, low = p[0] / p[4], end = low / p[5];
    const double now = std::fmin(t, last);
    const bool up = now <= top;
    const double from = up ? low : p[0], to = up ? p[0] : end;
    const double share = up ? (top > 0 ? now / top : 1.0) : (now - top) / (last - top);
    return p[3] != 0 ? (to - from) * share + from : to + (from - to) / 2 * (1 + std::cos(pi * share));
}

}  // namespace schedules

inline double schedule_value(Schedule schedule, double t, const double* params, int count) noexcept {
#define FUSEDNET_FUNCTION(name, function, ...) schedules::function,
    constexpr double (*functions[])(double, const double*, int) noexcept = {FUSEDNET_SCHEDULES(FUSEDNET_FUNCTION)};
#undef FUSEDNET_FUNCTION
    return functions[int(schedule)](t, params, count);
}

}  // namespace fusednet
