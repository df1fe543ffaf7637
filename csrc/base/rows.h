// The catalogue: one row declares an activation, a loss, a metric, an optimizer, a constraint, a noise or a schedule.
// Enumerators, kernel tables, Python names, tests and documentation follow from the rows; the maths of a row is the
// struct of the same name in formulas/. Names and defaults of parameters are comma-separated.
#pragma once

// ROW(name, Struct, parameter names, their defaults, formula).
#define FUSEDNET_ACTIVATIONS(ROW)                                                              \
    ROW(linear, Linear, "", "", "x")                                                           \
    ROW(sigmoid, Sigmoid, "", "", "1 / (1 + exp(-x))")                                         \
    ROW(tanh, Tanh, "", "", "tanh(x)")                                                         \
    ROW(relu, Relu, "", "", "max(x, 0)")                                                       \
    ROW(leaky_relu, LeakyRelu, "negative_slope", "0.01", "x if x > 0 else negative_slope * x") \
    ROW(elu, Elu, "alpha", "1", "x if x > 0 else alpha * (exp(x) - 1)")                        \
    ROW(selu, Selu, "", "", "scale * x if x > 0 else scale * alpha * (exp(x) - 1)")

// ROW(name, kernel, formula). Activations that look at whole rows.
#define FUSEDNET_ROW_ACTIVATIONS(ROW) ROW(softmax, softmax, "exp(x - max(x)) / sum(exp(x - max(x)))")

// ROW(name, Struct, parameter names, their defaults, formula). One sample's loss is the mean (or sum) of the element's
// formula over its features.
#define FUSEDNET_ELEMENT_LOSSES(ROW)                                                                                   \
    ROW(mean_squared_error, MeanSquaredError, "", "", "mean((x - t)**2)")                                              \
    ROW(mean_absolute_error, MeanAbsoluteError, "", "", "mean(|x - t|)")                                               \
    ROW(mean_absolute_percentage_error, MeanAbsolutePercentageError, "", "", "100 * mean(|x - t| / max(|t|, 1e-7))")   \
    ROW(mean_squared_logarithmic_error, MeanSquaredLogarithmicError, "", "",                                           \
        "mean((log(1 + x) - log(1 + t))**2), x and t at least 1e-7")                                                   \
    ROW(huber, Huber, "delta", "1", "mean((x - t)**2 / 2 if |x - t| <= delta else delta * |x - t| - delta**2 / 2)")    \
    ROW(log_cosh, LogCosh, "", "", "mean(log(cosh(x - t)))")                                                           \
    ROW(poisson, Poisson, "", "", "mean(x - t * log(x + 1e-7))")                                                       \
    ROW(kl_divergence, KlDivergence, "", "", "sum(t * log(t / x)), t and x clipped to [1e-7, 1]")                      \
    ROW(hinge, Hinge, "", "", "mean(max(1 - t * x, 0)), t of -1 or 1; 0 counts as -1")                                 \
    ROW(squared_hinge, SquaredHinge, "", "", "mean(max(1 - t * x, 0)**2), t of -1 or 1; 0 counts as -1")               \
    ROW(binary_crossentropy, BinaryCrossentropy, "", "", "mean(-t*log(x) - (1-t)*log(1-x)), x clipped to 1e-7")        \
    ROW(sigmoid_crossentropy, SigmoidCrossentropy, "", "", "mean(max(x,0) - x*t + log(1 + exp(-|x|)))")                \
    ROW(binary_focal_crossentropy, BinaryFocalCrossentropy, "apply_class_balancing,alpha,gamma", "0,0.25,2",           \
        "mean(w * q**gamma * binary_crossentropy), q = t*(1-x) + (1-t)*x, w = t*alpha + (1-t)*(1-alpha) if balanced, " \
        "else 1")                                                                                                      \
    ROW(sigmoid_focal_crossentropy, SigmoidFocalCrossentropy, "apply_class_balancing,alpha,gamma", "0,0.25,2",         \
        "binary_focal_crossentropy of sigmoid(x)")

// ROW(name, kernel, parameter names, their defaults, formula). Losses over a whole row; targets are integer labels or
// one row of targets a sample.
#define FUSEDNET_ROW_LOSSES(ROW)                                                                   \
    ROW(softmax_crossentropy, softmax_crossentropy, "", "", "sum(t * (logsumexp(x) - x))")         \
    ROW(crossentropy, crossentropy, "", "", "-sum(t * log(x / sum(x))), quotient clipped to 1e-7") \
    ROW(softmax_focal_crossentropy, softmax_focal_crossentropy, "alpha,gamma", "0.25,2",           \
        "-alpha * sum(t * (1-p)**gamma * log(p)), p = softmax(x)")                                 \
    ROW(categorical_focal_crossentropy, focal_crossentropy, "alpha,gamma", "0.25,2",               \
        "-alpha * sum(t * (1-q)**gamma * log(q)), q = x / sum(x) clipped to 1e-7")                 \
    ROW(cosine_similarity, cosine_similarity, "", "", "-sum(x * t) / (|x| * |t|), norms at least 1e-7")

// ROW(name, kernel, numbers it sums, numbers it sums for each output, parameter names, their defaults, formula).
// A metric adds each batch to its sums; what is reported is computed from them at the end.
#define FUSEDNET_METRICS(ROW)                                                                                       \
    ROW(accuracy, accuracy, 2, 0, "threshold", "0.5", "share of samples whose largest output is the label's")       \
    ROW(top_k_accuracy, top_k_accuracy, 2, 0, "k", "5",                                                             \
        "share of samples with fewer than k outputs above the label's")                                             \
    ROW(binary_accuracy, binary_accuracy, 2, 0, "threshold", "0.5", "share of elements where (x > threshold) is t") \
    ROW(precision, precision, 2, 0, "threshold", "0.5", "share of positives among the elements with x > threshold") \
    ROW(recall, recall, 2, 0, "threshold", "0.5", "share of the positive elements that have x > threshold")         \
    ROW(auc, auc, 400, 0, "", "", "area under the curve of true over false positive rate, 200 thresholds")          \
    ROW(mean_squared_error, mean_squared_error, 2, 0, "", "", "mean((x - t)**2)")                                   \
    ROW(mean_absolute_error, mean_absolute_error, 2, 0, "", "", "mean(|x - t|)")                                    \
    ROW(r2_score, r2_score, 1, 3, "", "", "1 - sum((x - t)**2) / sum((t - mean(t))**2), the mean over the outputs")

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
