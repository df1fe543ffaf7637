// The catalogue: one row declares an activation, a loss, a metric, an optimizer, a constraint, a noise or a schedule.
// Enumerators, kernel tables, Python names, tests and documentation follow from the rows; the maths of a row is the
// struct of the same name in formulas/. Names and defaults of parameters are comma-separated. The source may be empty:
// for what everybody knows; the sources of metrics, constraints and schedules are with their Python classes.
#pragma once

// ROW(name, Struct, parameter names, their defaults, formula, source).
#define FUSEDNET_ACTIVATIONS(ROW)                                                                                  \
    ROW(linear, Linear, "", "", "x", "")                                                                           \
    ROW(sigmoid, Sigmoid, "", "", "1 / (1 + exp(-x))", "")                                                         \
    ROW(tanh, Tanh, "", "", "tanh(x)", "")                                                                         \
    ROW(relu, Relu, "", "", "max(x, 0)", "Nair & Hinton 2010")                                                     \
    ROW(leaky_relu, LeakyRelu, "negative_slope", "0.01", "x if x > 0 else negative_slope * x", "Maas et al. 2013") \
    ROW(elu, Elu, "alpha", "1", "x if x > 0 else alpha * (exp(x) - 1)", "Clevert et al. 2016, eq. 15")             \
    ROW(selu, Selu, "", "", "scale * x if x > 0 else scale * alpha * (exp(x) - 1)",                                \
        "Klambauer et al. 2017, eq. 2 and 14")                                                                     \
    ROW(prelu, Prelu, "", "", "x if x > 0 else slope * x, slope learned", "He et al. 2015, eq. 1")                 \
    ROW(rrelu, Rrelu, "lower,upper", "0.125,0.3333333333333333",                                                   \
        "x if x > 0 else slope * x, slope drawn from [lower, upper)",                                              \
        "Xu et al. 2015, eq. 4, with the slope as a factor")                                                       \
    ROW(gelu, Gelu, "", "", "x * (1 + erf(x / sqrt(2))) / 2", "Hendrycks & Gimpel 2016, section 2")                \
    ROW(gelu_tanh, GeluTanh, "", "", "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2",                   \
        "Hendrycks & Gimpel 2016, section 2")                                                                      \
    ROW(silu, Silu, "", "", "x / (1 + exp(-x))", "Elfwing et al. 2018")                                            \
    ROW(mish, Mish, "", "", "x * tanh(log(1 + exp(x)))", "Misra 2020, eq. 1")                                      \
    ROW(softplus, Softplus, "", "", "log(1 + exp(x))", "Dugas et al. 2001")                                        \
    ROW(softsign, Softsign, "", "", "x / (1 + |x|)", "Bergstra et al. 2009")                                       \
    ROW(relu6, Relu6, "", "", "min(max(x, 0), 6)", "Krizhevsky 2010")                                              \
    ROW(hard_sigmoid, HardSigmoid, "", "", "min(max(x + 3, 0), 6) / 6", "Howard et al. 2019, section 5.2")         \
    ROW(hard_silu, HardSilu, "", "", "x * min(max(x + 3, 0), 6) / 6", "Howard et al. 2019, section 5.2")           \
    ROW(exponential, Exponential, "", "", "exp(x)", "")                                                            \
    ROW(rescaling, Rescaling, "scale,offset", "1,0", "scale * x + offset", "")

// ROW(name, kernel, formula, source). Activations that look at whole rows.
#define FUSEDNET_ROW_ACTIVATIONS(ROW)                                   \
    ROW(softmax, softmax, "exp(x - max(x)) / sum(exp(x - max(x)))", "") \
    ROW(log_softmax, log_softmax, "x - max(x) - log(sum(exp(x - max(x))))", "")

// ROW(name, Struct, parameter names, their defaults, formula, source). One sample's loss is the mean (or sum) of the
// element's formula over its features.
#define FUSEDNET_ELEMENT_LOSSES(ROW)                                                                                   \
    ROW(mean_squared_error, MeanSquaredError, "", "", "mean((x - t)**2)", "")                                          \
    ROW(mean_absolute_error, MeanAbsoluteError, "", "", "mean(|x - t|)", "")                                           \
    ROW(mean_absolute_percentage_error, MeanAbsolutePercentageError, "", "", "100 * mean(|x - t| / max(|t|, 1e-7))",   \
        "")                                                                                                            \
    ROW(mean_squared_logarithmic_error, MeanSquaredLogarithmicError, "", "",                                           \
        "mean((log(1 + x) - log(1 + t))**2), x and t at least 1e-7", "")                                               \
    ROW(huber, Huber, "delta", "1", "mean((x - t)**2 / 2 if |x - t| <= delta else delta * |x - t| - delta**2 / 2)",    \
        "Huber 1964")                                                                                                  \
    ROW(log_cosh, LogCosh, "", "", "mean(log(cosh(x - t)))", "")                                                       \
    ROW(poisson, Poisson, "", "", "mean(x - t * log(x + 1e-7))", "")                                                   \
    ROW(kl_divergence, KlDivergence, "", "", "sum(t * log(t / x)), t and x clipped to [1e-7, 1]",                      \
        "Kullback & Leibler 1951")                                                                                     \
    ROW(hinge, Hinge, "", "", "mean(max(1 - t * x, 0)), t of -1 or 1; 0 counts as -1", "")                             \
    ROW(squared_hinge, SquaredHinge, "", "", "mean(max(1 - t * x, 0)**2), t of -1 or 1; 0 counts as -1", "")           \
    ROW(binary_crossentropy, BinaryCrossentropy, "", "", "mean(-t*log(x) - (1-t)*log(1-x)), x clipped to 1e-7", "")    \
    ROW(sigmoid_crossentropy, SigmoidCrossentropy, "", "", "mean(max(x,0) - x*t + log(1 + exp(-|x|)))", "")            \
    ROW(binary_focal_crossentropy, BinaryFocalCrossentropy, "apply_class_balancing,alpha,gamma", "0,0.25,2",           \
        "mean(w * q**gamma * binary_crossentropy), q = t*(1-x) + (1-t)*x, w = t*alpha + (1-t)*(1-alpha) if balanced, " \
        "else 1",                                                                                                      \
        "Lin et al. 2017, eq. 4 and 5")                                                                                \
    ROW(sigmoid_focal_crossentropy, SigmoidFocalCrossentropy, "apply_class_balancing,alpha,gamma", "0,0.25,2",         \
        "binary_focal_crossentropy of sigmoid(x)", "Lin et al. 2017, eq. 4 and 5")

// ROW(name, kernel, parameter names, their defaults, formula, source). Losses over a whole row; targets are integer
// labels or one row of targets a sample.
#define FUSEDNET_ROW_LOSSES(ROW)                                                                                  \
    ROW(softmax_crossentropy, softmax_crossentropy, "", "", "sum(t * (logsumexp(x) - x))", "")                    \
    ROW(crossentropy, crossentropy, "", "", "-sum(t * log(x / sum(x))), quotient clipped to 1e-7", "")            \
    ROW(softmax_focal_crossentropy, softmax_focal_crossentropy, "alpha,gamma", "0.25,2",                          \
        "-alpha * sum(t * (1-p)**gamma * log(p)), p = softmax(x)", "Lin et al. 2017, eq. 5, for several classes") \
    ROW(categorical_focal_crossentropy, focal_crossentropy, "alpha,gamma", "0.25,2",                              \
        "-alpha * sum(t * (1-q)**gamma * log(q)), q = x / sum(x) clipped to 1e-7",                                \
        "Lin et al. 2017, eq. 5, for several classes")                                                            \
    ROW(cosine_similarity, cosine_similarity, "", "", "-sum(x * t) / (|x| * |t|), norms at least 1e-7", "")

// ROW(loss of probabilities, the same of logits, softmax: whether rows sum to one, else each output is a sigmoid).
#define FUSEDNET_LOSS_FUSIONS(ROW)                                    \
    ROW(crossentropy, softmax_crossentropy, true)                     \
    ROW(binary_crossentropy, sigmoid_crossentropy, false)             \
    ROW(binary_focal_crossentropy, sigmoid_focal_crossentropy, false) \
    ROW(categorical_focal_crossentropy, softmax_focal_crossentropy, true)

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

// ROW(name, Struct, slots, slot names, their first values, hyper-parameter names, their defaults, formula, source). A
// first value is a number or the name of a hyper-parameter. In formulas g is the gradient, t the step from 1.
#define FUSEDNET_OPTIMIZERS(ROW)                                                                                       \
    ROW(sgd, Sgd, 0, "", "", "learning_rate", "0.01", "w -= learning_rate * g", "")                                    \
    ROW(sgd_momentum, SgdMomentum, 1, "momentum", "0", "learning_rate,momentum", "0.01,0.9",                           \
        "m = momentum * m - learning_rate * g, w += m", "Polyak 1964")                                                 \
    ROW(sgd_nesterov, SgdNesterov, 1, "momentum", "0", "learning_rate,momentum", "0.01,0.9",                           \
        "m = momentum * m - learning_rate * g, w += momentum * m - learning_rate * g",                                 \
        "Nesterov 1983; Sutskever et al. 2013, eq. 3 and 4")                                                           \
    ROW(adagrad, Adagrad, 1, "accumulated_square", "initial_accumulator_value",                                        \
        "learning_rate,initial_accumulator_value,epsilon", "0.001,0.1,1e-7",                                           \
        "a += g**2, w -= learning_rate * g / sqrt(a + epsilon)", "Duchi et al. 2011, figure 1 with diagonal matrices") \
    ROW(rmsprop, RmsProp, 1, "velocity", "0", "learning_rate,rho,epsilon", "0.001,0.9,1e-7",                           \
        "v = rho * v + (1 - rho) * g**2, w -= learning_rate * g / sqrt(v + epsilon)",                                  \
        "Tieleman & Hinton 2012, lecture 6.5")                                                                         \
    ROW(rmsprop_momentum, RmsPropMomentum, 2, "velocity,momentum", "0,0", "learning_rate,rho,epsilon,momentum",        \
        "0.001,0.9,1e-7,0.9", "v as rmsprop, m = momentum * m + learning_rate * g / sqrt(v + epsilon), w -= m",        \
        "Tieleman & Hinton 2012, lecture 6.5")                                                                         \
    ROW(rmsprop_centered, RmsPropCentered, 2, "velocity,average_gradient", "0,0", "learning_rate,rho,epsilon",         \
        "0.001,0.9,1e-7",                                                                                              \
        "v as rmsprop, a = rho * a + (1 - rho) * g, w -= learning_rate * g / sqrt(max(v - a**2, 0) "                   \
        "+ epsilon)",                                                                                                  \
        "Graves 2013, eq. 38 to 40")                                                                                   \
    ROW(rmsprop_centered_momentum, RmsPropCenteredMomentum, 3, "velocity,average_gradient,momentum", "0,0,0",          \
        "learning_rate,rho,epsilon,momentum", "0.001,0.9,1e-7,0.9",                                                    \
        "v and a as rmsprop_centered, m = momentum * m + learning_rate * g / sqrt(max(v - a**2, 0) "                   \
        "+ epsilon), w -= m",                                                                                          \
        "Graves 2013, eq. 38 to 42")                                                                                   \
    ROW(adam, Adam, 2, "momentum,velocity", "0,0", "learning_rate,beta_1,beta_2,epsilon", "0.001,0.9,0.999,1e-7",      \
        "m = beta_1 * m + (1 - beta_1) * g, v = beta_2 * v + (1 - beta_2) * g**2, w -= "                               \
        "learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)",                             \
        "Kingma & Ba 2015, algorithm 1 with the reordering at the end of section 2")                                   \
    ROW(amsgrad, AmsGrad, 3, "momentum,velocity,velocity_hat", "0,0,0", "learning_rate,beta_1,beta_2,epsilon",         \
        "0.001,0.9,0.999,1e-7",                                                                                        \
        "m and v as adam, h = max(h, v), w -= learning_rate * sqrt(1 - beta_2**t) / (1 - "                             \
        "beta_1**t) * m / (sqrt(h) + epsilon)",                                                                        \
        "Reddi et al. 2018, algorithm 2")                                                                              \
    ROW(nadam, Nadam, 2, "momentum,velocity", "0,0", "learning_rate,beta_1,beta_2,epsilon", "0.001,0.9,0.999,1e-7",    \
        "m and v as adam, u_t = beta_1 * (1 - 0.96**t / 2), U_t = u_1 * ... * u_t, w -= "                              \
        "learning_rate * (u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t)) / (sqrt(v / (1 "                    \
        "- beta_2**t)) + epsilon)",                                                                                    \
        "Dozat 2016, algorithm 2")                                                                                     \
    ROW(adamax, Adamax, 2, "momentum,norm", "0,0", "learning_rate,beta_1,beta_2,epsilon", "0.001,0.9,0.999,1e-7",      \
        "m as adam, u = max(beta_2 * u, |g|), w -= learning_rate / (1 - beta_1**t) * m / (u + "                        \
        "epsilon)",                                                                                                    \
        "Kingma & Ba 2015, algorithm 2")                                                                               \
    ROW(adadelta, Adadelta, 2, "accumulated_grad,accumulated_delta_var", "0,0", "learning_rate,rho,epsilon",           \
        "0.001,0.95,1e-7",                                                                                             \
        "a = rho * a + (1 - rho) * g**2, step = sqrt(d + epsilon) / sqrt(a + epsilon) * g, d = rho "                   \
        "* d + (1 - rho) * step**2, w -= learning_rate * step",                                                        \
        "Zeiler 2012, algorithm 1")                                                                                    \
    ROW(lion, Lion, 1, "momentum", "0", "learning_rate,beta_1,beta_2", "0.001,0.9,0.99",                               \
        "w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g), then m = beta_2 * m + (1 - "                        \
        "beta_2) * g",                                                                                                 \
        "Chen et al. 2023, algorithm 2")

// ROW(name, kernel, parameter names, their defaults, formula). What a parameter is projected on after an update; the
// norm is that of a column.
#define FUSEDNET_CONSTRAINTS(ROW)                                                         \
    ROW(non_negative, non_negative, "", "", "max(w, 0)")                                  \
    ROW(max_norm, max_norm, "max_value", "2", "w * min(norm, max_value) / (norm + 1e-7)") \
    ROW(unit_norm, unit_norm, "", "", "w / (norm + 1e-7)")                                \
    ROW(min_max_norm, min_max_norm, "min_value,max_value,rate", "0,1,1",                  \
        "w * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (norm + 1e-7)")

// ROW(name, Struct, parameter names, their defaults, formula, source). Random layers; u is uniform on [0, 1), z is
// normal.
#define FUSEDNET_NOISES(ROW)                                                                       \
    ROW(dropout, Dropout, "rate", "0.5", "x / (1 - rate) where u >= rate, else 0",                 \
        "Srivastava et al. 2014, section 4, scaled while training")                                \
    ROW(alpha_dropout, AlphaDropout, "rate", "0.5", "a * (x where u >= rate, else -1.7581) + b",   \
        "Klambauer et al. 2017, section 2")                                                        \
    ROW(gaussian_noise, GaussianNoise, "stddev", "0.1", "x + stddev * z", "")                      \
    ROW(gaussian_dropout, GaussianDropout, "rate", "0.5", "x * (1 + sqrt(rate / (1 - rate)) * z)", \
        "Srivastava et al. 2014, section 10")

// ROW(name, function, parameter names, formula). Learning rates by the number of updates done before, t; flags are 0 or
// 1. Dots stand for any number of values, the last ones one more than those before them.
#define FUSEDNET_SCHEDULES(ROW)                                                                                    \
    ROW(constant, constant, "learning_rate", "learning_rate")                                                      \
    ROW(exponential_decay, exponential_decay, "initial_learning_rate,decay_steps,decay_rate,staircase",            \
        "initial_learning_rate * decay_rate**(t / decay_steps)")                                                   \
    ROW(inverse_time_decay, inverse_time_decay, "initial_learning_rate,decay_steps,decay_rate,staircase",          \
        "initial_learning_rate / (1 + decay_rate * t / decay_steps)")                                              \
    ROW(piecewise_constant_decay, piecewise_constant_decay, "boundaries...,values...",                             \
        "values[number of boundaries below t]")                                                                    \
    ROW(polynomial_decay, polynomial_decay, "initial_learning_rate,decay_steps,end_learning_rate,power,cycle",     \
        "end_learning_rate + (initial_learning_rate - end_learning_rate) * (1 - t / decay_steps)**power")          \
    ROW(cosine_decay, cosine_decay, "initial_learning_rate,decay_steps,alpha,warmup_target,warmup_steps",          \
        "warmup_target * (alpha + (1 - alpha) * (1 + cos(pi * (t - warmup_steps) / decay_steps)) / 2)")            \
    ROW(cosine_decay_restarts, cosine_decay_restarts, "initial_learning_rate,first_decay_steps,t_mul,m_mul,alpha", \
        "initial_learning_rate * (alpha + (1 - alpha) * m_mul**i * (1 + cos(pi * share of cycle i)) / 2)")         \
    ROW(one_cycle, one_cycle, "max_lr,total_steps,pct_start,linear,div_factor,final_div_factor",                   \
        "max_lr / div_factor up to max_lr, then down to max_lr / div_factor / final_div_factor")
