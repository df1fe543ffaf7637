// Descriptions from Python, as a plan reads them.
#pragma once

#include <pybind11/pybind11.h>

#include "../plan/spec.h"

namespace fusednet::bindings {

// Raises ValueError, naming what is unknown or out of range.
PlanSpec plan_spec(const pybind11::dict& config);

}  // namespace fusednet::bindings
