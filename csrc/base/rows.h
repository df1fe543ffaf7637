// The catalogue: one row declares an activation, a loss, a metric, an optimizer, a constraint, a noise or a schedule.
// Enumerators, kernel tables, Python names, tests and documentation follow from the rows; the maths of a row is the
// struct of the same name in formulas/. Names and defaults of parameters are comma-separated.
#pragma once

// ROW(name, Struct, parameter names, their defaults, formula).
#define FUSEDNET_ACTIVATIONS(ROW)                                                                \
    ROW(linear, Linear, "", "", "x")                                                             \
    ROW(sigmoid, Sigmoid, "", "", "1 / (1 + exp(-x))")                                           \
    ROW(tanh, Tanh, "", "", "tanh(x)")                                                           \
    ROW(relu, Relu, "", "", "max(x, 0)")                                                         \
    ROW(leaky_relu, LeakyRelu, "negative_slope", "0.01", "x if x > 0 else negative_slope * x")   \
    ROW(elu, Elu, "alpha", "1", "x if x > 0 else alpha * (exp(x) - 1)")                          \
    ROW(selu, Selu, "", "", "scale * x if x > 0 else scale * alpha * (exp(x) - 1)")              \
    ROW(prelu, Prelu, "", "", "x if x > 0 else slope * x, slope learned")                        \
    ROW(rrelu, Rrelu, "lower,upper", "0.125,0.3333333333333333",                                 \
        "x if x > 0 else slope * x, slope drawn from [lower, upper)")                            \
    ROW(gelu, Gelu, "", "", "x * (1 + erf(x / sqrt(2))) / 2")                                    \
    ROW(gelu_tanh, GeluTanh, "", "", "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2") \
    ROW(silu, Silu, "", "", "x / (1 + exp(-x))")                                                 \
    ROW(mish, Mish, "", "", "x * tanh(log(1 + exp(x)))")                                         \
    ROW(softplus, Softplus, "", "", "log(1 + exp(x))")                                           \
    ROW(softsign, Softsign, "", "", "x / (1 + |x|)")                                             \
    ROW(relu6, Relu6, "", "", "min(max(x, 0), 6)")                                               \
    ROW(hard_sigmoid, HardSigmoid, "", "", "min(max(x + 3, 0), 6) / 6")                          \
    ROW(hard_silu, HardSilu, "", "", "x * min(max(x + 3, 0), 6) / 6")                            \
    ROW(exponential, Exponential, "", "", "exp(x)")                                              \
    ROW(rescaling, Rescaling, "scale,offset", "1,0", "scale * x + offset")

// ROW(name, kernel, formula). Activations that look at whole rows.
#define FUSEDNET_ROW_ACTIVATIONS(ROW)                               \
    ROW(softmax, softmax, "exp(x - max(x)) / sum(exp(x - max(x)))") \
    ROW(log_softmax, log_softmax, "x - max(x) - log(sum(exp(x - max(x))))")

// ROW(name, Struct, parameter names, their defaults, formula). One sample's loss is the mean of the element's formula
// over its features.
#define FUSEDNET_ELEMENT_LOSSES(ROW)                                                                            \
    ROW(mean_squared_error, MeanSquaredError, "", "", "mean((x - t)**2)")                                       \
    ROW(binary_crossentropy, BinaryCrossentropy, "", "", "mean(-t*log(x) - (1-t)*log(1-x)), x clipped to 1e-7") \
    ROW(sigmoid_crossentropy, SigmoidCrossentropy, "", "", "mean(max(x,0) - x*t + log(1 + exp(-|x|)))")

// ROW(name, kernel, parameter names, their defaults, formula). Losses over a whole row; targets are integer labels or
// one row of targets a sample.
#define FUSEDNET_ROW_LOSSES(ROW)                                                           \
    ROW(softmax_crossentropy, softmax_crossentropy, "", "", "sum(t * (logsumexp(x) - x))") \
    ROW(crossentropy, crossentropy, "", "", "-sum(t * log(x / sum(x))), quotient clipped to 1e-7")

// ROW(name, kernel, numbers it sums, numbers it sums for each output, parameter names, their defaults, formula).
// A metric adds each batch to its sums; what is reported is computed from them at the end.
#define FUSEDNET_METRICS(ROW) \
    ROW(accuracy, accuracy, 2, 0, "threshold", "0.5", "share of samples whose largest output is the label's")

// ROW(name, Struct, slots, slot names, hyper-parameter names after learning_rate, their defaults).
#define FUSEDNET_OPTIMIZERS(ROW)                                                                           \
    ROW(sgd, Sgd, 0, "", "", "")                                                                           \
    ROW(sgd_momentum, SgdMomentum, 1, "momentum", "momentum", "0.9")                                       \
    ROW(sgd_nesterov, SgdNesterov, 1, "momentum", "momentum", "0.9")                                       \
    ROW(rmsprop, RmsProp, 1, "velocity", "rho,epsilon", "0.9,1e-7")                                        \
    ROW(rmsprop_momentum, RmsPropMomentum, 2, "velocity,momentum", "rho,epsilon,momentum", "0.9,1e-7,0.9") \
    ROW(adam, Adam, 2, "momentum,velocity", "beta_1,beta_2,epsilon", "0.9,0.999,1e-7")

// ROW(name, kernel, parameter names, their defaults, formula). What a parameter is projected on after an update; the
// norm is that of a column.
#define FUSEDNET_CONSTRAINTS(ROW) ROW(non_negative, non_negative, "", "", "max(w, 0)")

// ROW(name, Struct, parameter names, their defaults, formula). Random layers; u is uniform on [0, 1), z is normal.
#define FUSEDNET_NOISES(ROW) ROW(dropout, Dropout, "rate", "0.5", "x / (1 - rate) where u >= rate, else 0")

// ROW(name, function, parameter names, formula). Learning rates by the number of updates done before, t.
#define FUSEDNET_SCHEDULES(ROW) ROW(constant, constant, "learning_rate", "learning_rate")
