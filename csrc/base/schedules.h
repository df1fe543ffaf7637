#pragma once
#include "rows.h"
namespace fusednet {
enum class Schedule { constant, count };
inline double schedule_value(Schedule, double, const double* p, int) noexcept {
    return p[0];
}
}  // namespace fusednet
