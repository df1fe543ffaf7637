// What a backend offers: one table of kernels a scalar type and instruction set. Kernels are noexcept, validate
// nothing and allocate nothing; matrices are row-major with unit column stride and `ld` elements between rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "rows.h"

namespace fusednet {

using Index = ptrdiff_t;

#define FUSEDNET_ENUMERATOR(name, ...) name,
enum class Activation { FUSEDNET_ACTIVATIONS(FUSEDNET_ENUMERATOR) count };
enum class Loss { FUSEDNET_ELEMENT_LOSSES(FUSEDNET_ENUMERATOR) FUSEDNET_ROW_LOSSES(FUSEDNET_ENUMERATOR) count };
enum class Optimizer { FUSEDNET_OPTIMIZERS(FUSEDNET_ENUMERATOR) count };
#undef FUSEDNET_ENUMERATOR

enum class Source { uint8, float32, float64, count };  // element types that rows are gathered from

template <class T>
struct View {
    T* data = nullptr;
    Index ld = 0;
    [[gnu::always_inline]] T* row(Index i) const noexcept { return data + i * ld; }
};

struct ActivationParams {
    double p[2] = {0.0, 0.0};
};

constexpr int max_slots = 3;     // optimizer state arrays a parameter
constexpr int max_hyper = 8;     // hyper-parameters of an optimizer, learning rate first
constexpr int max_scalars = 12;  // what an optimizer derives from them once a step

// y = f(x), row by row. y may be x.
template <class T>
struct ActivationForward {
    Index rows, cols;
    View<const T> x;
    View<T> y;
    ActivationParams params;
};

// dx = dy * f'(saved); saved is y where the row's formula differentiates from its output, else x. dx may be dy.
template <class T>
struct ActivationBackward {
    Index rows, cols;
    View<const T> dy, saved;
    View<T> dx;
    ActivationParams params;
};

// C = A B, or C += A B; then C = f(C) if an epilogue is given. bias, if any, is a row that is added once.
template <class T>
struct Gemm {
    Index m, n, k;
    const T* a;
    Index a_row, a_col;  // strides of A (m, k)
    const T* b;
    Index b_row, b_col;  // strides of B (k, n); one of them is 1
    View<T> c;           // (m, n)
    const T* bias;       // (n) or null
    bool accumulate;
    void (*epilogue)(const ActivationForward<T>&) noexcept;  // or null
    View<T> y;                                               // (m, n): the epilogue's output; may be c
    ActivationParams params;
    T* scratch;  // gemm_scratch elements, 64-byte aligned
};
constexpr Index gemm_scratch = 64 * 1024;

// mean (cols), variance (cols): over the batch, biased, two-pass in row chunks joined by Chan's formula.
template <class T>
struct BatchNormStatistics {
    Index rows, cols;
    View<const T> x;
    T *mean, *variance;
};

// y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta). gamma, beta may be null (1, 0). y may be x.
template <class T>
struct BatchNormForward {
    Index rows, cols;
    View<const T> x;
    View<T> y;
    const T *mean, *variance, *gamma, *beta;
    double epsilon;
    ActivationParams params;
};

// The gradient of the same. saved is y, read only where the activation differentiates from its output.
// training: the statistics are the batch's own and depend on x; else they are constants. dx may be dy; dgamma and
// dbeta may be null.
template <class T>
struct BatchNormBackward {
    Index rows, cols;
    View<const T> dy, x, saved;
    View<T> dx;
    const T *mean, *variance, *gamma, *beta;
    T *dgamma, *dbeta;
    double epsilon;
    ActivationParams params;
    bool training;
};

// *loss = sum over the rows of a sample's loss (not scaled); dx = scale * its gradient. Row losses take labels
// (rows), or targets (rows, cols) where labels is null; element losses take targets. y, if not null, receives the
// probabilities of the losses from logits (softmax or sigmoid of x; may be x). dx may be null, x or y.
template <class T>
struct LossArgs {
    Index rows, cols;
    View<const T> x;
    const int32_t* labels;
    View<const T> targets;
    View<T> y, dx;
    double scale;
    double* loss;
};

// *correct = rows whose largest output (the first of equals) is the label or at the largest target; with one
// column, rows where (x > threshold) == (target > 0.5), or == (label > 0).
template <class T>
struct AccuracyArgs {
    Index rows, cols;
    View<const T> x;
    const int32_t* labels;
    View<const T> targets;
    double threshold;
    Index* correct;
};

// w is updated in place from clamp(g * scale, ±clip_value); scalars come from Table::optimizer_scalars.
template <class T>
struct UpdateArgs {
    Index n;
    T* w;
    const T* g;
    T* slot[max_slots];
    const double* scalars;
    double scale;
    double clip_value;  // infinity: none
};

// dst row i = src row order[i] (or i where order is null), converted to T. The source's columns are contiguous.
template <class T>
struct GatherArgs {
    Index rows, cols;
    const void* src;
    Index src_row_bytes;
    const int64_t* order;
    View<T> dst;
};

template <class T>
struct Table {
    const char* name;
    int lanes;
    void (*gemm)(const Gemm<T>&) noexcept;
    void (*activation_forward[int(Activation::count)])(const ActivationForward<T>&) noexcept;
    void (*activation_backward[int(Activation::count)])(const ActivationBackward<T>&) noexcept;
    void (*softmax_forward)(const ActivationForward<T>&) noexcept;
    void (*softmax_backward)(const ActivationBackward<T>&) noexcept;  // saved is y
    void (*batchnorm_statistics)(const BatchNormStatistics<T>&) noexcept;
    void (*batchnorm_forward[int(Activation::count)])(const BatchNormForward<T>&) noexcept;
    void (*batchnorm_backward[int(Activation::count)])(const BatchNormBackward<T>&) noexcept;
    void (*moving_average)(Index n, T* moving, const T* value, double momentum) noexcept;  // m*moving + (1-m)*value
    void (*column_sums)(Index rows, Index cols, View<const T> x, T* sums) noexcept;
    void (*loss[int(Loss::count)])(const LossArgs<T>&) noexcept;
    void (*accuracy)(const AccuracyArgs<T>&) noexcept;
    void (*optimizer_update[int(Optimizer::count)])(const UpdateArgs<T>&) noexcept;
    double (*squared_norm)(Index rows, Index cols, View<const T> x) noexcept;  // summed in float64
    void (*gather[int(Source::count)])(const GatherArgs<T>&) noexcept;
    Index (*first_nonfinite_row)(Index rows, Index cols, View<const T> x) noexcept;  // `rows` if there is none
};

// Per row of the catalogue: does the derivative read the output (true) or the input (false)?
struct ActivationTraits {
    bool from_output;
};

// What the float64 formulas alone define: step scalars (bias corrections and the like) and traits.
struct Formulas {
    ActivationTraits activation[int(Activation::count)];
    // t: the step's number, from 1. hyper: the row's hyper-parameters, learning rate first. Writes `scalars`.
    void (*optimizer_scalars[int(Optimizer::count)])(double t, const double* hyper, double* scalars) noexcept;
};

}  // namespace fusednet
