// What is to be known of the catalogue's rows beside their kernels.
#pragma once

#include "table.h"

namespace fusednet {

// Per row of the catalogue: does the derivative read the output (true) or the input (false), does it read either, and
// where does its slope come from? About how many operations do value and derivative cost an element?
struct ActivationTraits {
    bool from_output, reads_saved;
    Slope slope;
    double value_flops, derivative_flops;
};

// What the float64 formulas alone define: step scalars (bias corrections and the like) and traits.
struct Formulas {
    ActivationTraits activation[int(Activation::count)];
    // t: the step's number, from 1. hyper: the row's hyper-parameters, learning rate first. Writes `scalars`.
    void (*optimizer_scalars[int(Optimizer::count)])(double t, const double* hyper, double* scalars) noexcept;
};

}  // namespace fusednet
