// The catalogue: one row declares an activation, a loss or an optimizer. Enumerators, kernel tables, Python names,
// tests and documentation follow from the rows; the maths of a row is the struct of the same name in formulas/.
#pragma once

// ROW(name, Struct, p0, p0_default, p1, p1_default, formula). An unused parameter has the name "".
#define FUSEDNET_ACTIVATIONS(ROW)                                                                     \
    ROW(linear, Linear, "", 0.0, "", 0.0, "x")                                                        \
    ROW(sigmoid, Sigmoid, "", 0.0, "", 0.0, "1 / (1 + exp(-x))")                                      \
    ROW(tanh, Tanh, "", 0.0, "", 0.0, "tanh(x)")                                                      \
    ROW(relu, Relu, "", 0.0, "", 0.0, "max(x, 0)")                                                    \
    ROW(leaky_relu, LeakyRelu, "negative_slope", 0.01, "", 0.0, "x if x > 0 else negative_slope * x") \
    ROW(elu, Elu, "alpha", 1.0, "", 0.0, "x if x > 0 else alpha * (exp(x) - 1)")                      \
    ROW(selu, Selu, "", 0.0, "", 0.0, "scale * x if x > 0 else scale * alpha * (exp(x) - 1)")

// ROW(name, Struct, formula). One sample's loss is the mean of the element's formula over its features.
#define FUSEDNET_ELEMENT_LOSSES(ROW)                                                                    \
    ROW(mean_squared_error, MeanSquaredError, "mean((x - t)**2)")                                       \
    ROW(binary_crossentropy, BinaryCrossentropy, "mean(-t*log(x) - (1-t)*log(1-x)), x clipped to 1e-7") \
    ROW(sigmoid_crossentropy, SigmoidCrossentropy, "mean(max(x,0) - x*t + log(1 + exp(-|x|)))")

// ROW(name, formula). Losses over a whole row; targets are integer labels or one row of targets a sample.
#define FUSEDNET_ROW_LOSSES(ROW)                             \
    ROW(softmax_crossentropy, "sum(t * (logsumexp(x) - x))") \
    ROW(crossentropy, "-sum(t * log(x / sum(x))), quotient clipped to 1e-7")

// ROW(name, Struct, slots, hyper-parameter names after learning_rate, their defaults). Slot and hyper-parameter
// names are comma-separated.
#define FUSEDNET_OPTIMIZERS(ROW)                                                                           \
    ROW(sgd, Sgd, 0, "", "", "")                                                                           \
    ROW(sgd_momentum, SgdMomentum, 1, "momentum", "momentum", "0.9")                                       \
    ROW(sgd_nesterov, SgdNesterov, 1, "momentum", "momentum", "0.9")                                       \
    ROW(rmsprop, RmsProp, 1, "velocity", "rho,epsilon", "0.9,1e-7")                                        \
    ROW(rmsprop_momentum, RmsPropMomentum, 2, "velocity,momentum", "rho,epsilon,momentum", "0.9,1e-7,0.9") \
    ROW(adam, Adam, 2, "momentum,velocity", "beta_1,beta_2,epsilon", "0.9,0.999,1e-7")
