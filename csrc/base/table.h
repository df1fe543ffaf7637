// What a backend offers: one table of kernels a scalar type and instruction set. Kernels are noexcept, validate
// nothing and allocate nothing; matrices are row-major with unit column stride and `ld` elements between rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "judge.h"
#include "rows.h"

namespace fusednet {

using Index = ptrdiff_t;

#define FUSEDNET_ENUMERATOR(name, ...) name,
enum class Activation { FUSEDNET_ACTIVATIONS(FUSEDNET_ENUMERATOR) count };
enum class Loss { FUSEDNET_ELEMENT_LOSSES(FUSEDNET_ENUMERATOR) FUSEDNET_ROW_LOSSES(FUSEDNET_ENUMERATOR) count };
enum class RowActivation { FUSEDNET_ROW_ACTIVATIONS(FUSEDNET_ENUMERATOR) count };
enum class Metric { FUSEDNET_METRICS(FUSEDNET_ENUMERATOR) count };
enum class Optimizer { FUSEDNET_OPTIMIZERS(FUSEDNET_ENUMERATOR) count };
enum class Constraint { FUSEDNET_CONSTRAINTS(FUSEDNET_ENUMERATOR) count };
enum class Noise { FUSEDNET_NOISES(FUSEDNET_ENUMERATOR) count };
#undef FUSEDNET_ENUMERATOR
// Of matrix products: float32 numbers as they are; three products of bf16 halves of them, about 16 bits; bf16, 8 bits.
enum class Precision { highest, high, medium, count };
inline constexpr const char* precision_names[] = {"highest", "high", "medium"};

enum class Source { uint8, float32, float64, count };  // element types that rows are gathered from

template <class T>
struct View {
    T* data = nullptr;
    Index ld = 0;
    [[gnu::always_inline]] constexpr T* row(Index i) const noexcept { return data + i * ld; }
};

constexpr int max_params = 4;    // of an activation, loss, metric, constraint or noise
constexpr int max_slots = 3;     // optimizer state arrays a parameter
constexpr int max_hyper = 8;     // hyper-parameters of an optimizer, learning rate first
constexpr int max_scalars = 12;  // what an optimizer derives from them once a step

struct Params {
    double p[max_params] = {};
};

// Where an activation's negative slope comes from: it has none, a parameter of each column, a draw for each element.
enum class Slope { none, learned, random };

// y = f(x), row by row. y may be x. slope: read by rows of the catalogue that have one; ld 0 is one row for all.
// stream: y, not x, is more than the caches hold and is written past them; activations by element and log_softmax only.
template <class T>
struct ActivationForward {
    Index rows, cols;
    View<const T> x;
    View<T> y;
    Params params;
    View<const T> slope = {};
    bool stream = false;
};

// dx = dy * f'(saved); saved is y where the row's formula differentiates from its output, else x. dx may be dy.
// dslope (cols), if not null: the sums over the rows of dy * dy/dslope, for a learned slope. stream: as forward, of dx.
template <class T>
struct ActivationBackward {
    Index rows, cols;
    View<const T> dy, saved;
    View<T> dx;
    Params params;
    View<const T> slope = {};
    T* dslope = nullptr;
    bool stream = false;
};

// C = A B, or C += A B; then C = f(C) if an epilogue is given. bias, if any, is a row that is added once.
template <class T>
struct Gemm {
    Index m, n, k;
    const T* a;
    Index a_row, a_col;  // strides of A (m, k)
    const T* b;
    Index b_row, b_col;       // strides of B (k, n); one of them is 1
    View<T> c;                // (m, n)
    const T* bias = nullptr;  // (n) or null
    bool accumulate = false;
    void (*epilogue)(const ActivationForward<T>&) noexcept = nullptr;
    View<T> y = {};  // (m, n): the epilogue's output; may be c
    Params params = {};
    View<const T> slope = {};  // (m, n): of the epilogue
    T* scratch = nullptr;      // gemm_scratch elements, 64-byte aligned
    T* b_sums = nullptr;       // (n) or null: the sums of B's columns, of a B with b_col 1; of a device alone
};
constexpr Index gemm_scratch = 68 * 1024;

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
    Params params;
    View<const T> slope = {};
    bool stream = false;
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
    Params params;
    bool training;
    View<const T> slope = {};
    T* dslope = nullptr;
    bool stream = false;
};

// Over the features of each sample: y = gamma (x - mean) / sqrt(variance + epsilon) + beta. mean and inverse (rows),
// the row's mean and 1 / sqrt(variance + epsilon), are written forward and read backward. gamma, beta may be null.
template <class T>
struct LayerNormForward {
    Index rows, cols;
    View<const T> x;
    View<T> y;
    const T *gamma, *beta;
    T *mean, *inverse;
    double epsilon;
};
template <class T>
struct LayerNormBackward {  // dx, by rows; dx may be dy
    Index rows, cols;
    View<const T> dy, x;
    View<T> dx;
    const T *gamma, *mean, *inverse;
};
template <class T>
struct LayerNormGradients {  // dgamma, dbeta (cols), by columns; either may be null
    Index rows, cols;
    View<const T> dy, x;
    const T *mean, *inverse;
    T *dgamma, *dbeta;
};

// x (rows, pieces * cols), piece after piece; y = the largest piece of each column. Backward: dx of that piece is dy
// (the first of equals), of the others 0.
template <class T>
struct MaxoutForward {
    Index rows, cols, pieces;
    View<const T> x;
    View<T> y;
};
template <class T>
struct MaxoutBackward {
    Index rows, cols, pieces;
    View<const T> dy, x, y;
    View<T> dx;
};

// x (rows, height * width * channels), channels last; y (rows, out_height * out_width * channels) = the maximum over
// rows row_begin[i] to row_end[i] and columns col_begin[j] to col_end[j]. argmax, of y's shape, is where in x's row it
// was found (the first of equals); null forward: not wanted.
template <class T>
struct PoolForward {
    Index rows, height, width, channels, out_height, out_width;
    const int32_t *row_begin, *row_end, *col_begin, *col_end;
    View<const T> x;
    View<T> y;
    View<int32_t> argmax;
};
template <class T>
struct PoolBackward {  // dx = 0, then dx[argmax] += dy
    Index rows, in_cols, out_cols;
    View<const T> dy;
    View<const int32_t> argmax;
    View<T> dx;
};

// What element (i, j) of a random layer draws is a function of seed, stream and
// (first_row + i) * width + first_col + j.
struct Draw {
    uint64_t seed, stream;
    Index first_row, first_col, width;
    const uint64_t* pass = nullptr;  // of a device alone: added to the stream
};
// y = the row's formula of x and the draw. y may be x.
template <class T>
struct NoiseForward {
    Index rows, cols;
    View<const T> x;
    View<T> y;
    Params params;
    Draw draw;
};
template <class T>
struct NoiseBackward {  // dx, from the same draws; dx may be dy
    Index rows, cols;
    View<const T> dy;
    View<T> dx;
    Params params;
    Draw draw;
};
template <class T>
struct UniformArgs {  // y = low + (high - low) u
    Index rows, cols;
    View<T> y;
    double low, high;
    Draw draw;
};

// y = a + scale[i] * b; a null: 0, scale null: 1. y may be a or b.
template <class T>
struct ScaledAdd {
    Index rows, cols;
    View<const T> a, b;
    const T* scale;  // (rows)
    View<T> y;
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
    Params params = {};
    const T* weights = nullptr;  // (rows): multiplies a sample's loss and gradient; null: 1
};

// t = (1 - smoothing) t + smoothing / cols, with t from labels (one-hot) where they are given.
// `binary`: smoothing / 2 in place of smoothing / cols.
template <class T>
struct SmoothTargets {
    Index rows, cols;
    const int32_t* labels;
    View<T> targets;
    double smoothing;
    bool binary;
};

// Adds a batch to the metric's sums: `fixed + per_output * cols` numbers. x: the network's outputs; targets are
// labels (rows), which count as one-hot rows (with one column: as 0 or 1), or rows.
template <class T>
struct MetricArgs {
    Index rows, cols;
    View<const T> x;
    const int32_t* labels;
    View<const T> targets;
    Params params;
    double* sums;
};

// What an update needs to know of its step, in one place: a device holds it.
struct StepScalars {
    double optimizer[max_scalars];  // from Formulas::optimizer_scalars
    double learning_rate, decay, average_momentum;
};

// Where decays: w -= decay * w. Then w is updated in place from clamp(g * *scale, ±clip_value), then, where average is
// not null, average = average_momentum * average + (1 - average_momentum) * w.
template <class T>
struct UpdateArgs {
    Index rows, cols;
    Index ld;  // of w, its slots and its average
    T* w;
    View<const T> g;
    T* slot[max_slots];
    const StepScalars* scalars;
    const double* scale;
    double clip_value;  // infinity: none
    bool decays = false;
    T* average = nullptr;
};

// Columns of w projected on what the constraint allows, in place.
template <class T>
struct ConstrainArgs {
    Index rows, cols;
    View<T> w;
    Params params;
};

// *value = l1 * sum |w| + l2 * sum w^2, summed in float64.
template <class T>
struct PenaltyValue {
    Index rows, cols;
    View<const T> w;
    double l1, l2;
};
// g += l1 * sign(w) + 2 * l2 * w; *norm, if not null, is the squared norm of the new g, summed in float64.
template <class T>
struct PenaltyGradient {
    Index rows, cols;
    View<const T> w;
    View<T> g;
    double l1, l2;
};

// Gradient accumulation. sum += g; or, at the end of it, g = (sum + g) * scale, and sum stays until the update has been
// done. *norm, if not null, is the squared norm of g.
template <class T>
struct AccumulateArgs {
    Index rows, cols;
    View<T> sum, g;
    double scale;  // 0: not the end
};

// y[i] = *from, or `constant` where from is null.
template <class T>
struct FillArgs {
    Index n;
    T* y;
    const T* from;
    double constant;
};

// Sums in float64 of x y and of |x y|, element by element.
struct Dot {
    double sum, size;
};

// dst row i = src row order[i] (or i where order is null), converted to T. The source's columns are contiguous.
template <class T>
struct GatherArgs {
    Index rows, cols;
    const void* src;
    Index src_row_bytes;
    const int64_t* order;
    View<T> dst;
    const Cursor* cursor = nullptr;  // of a device alone: i begins at its row
};

template <class T>
struct AtOnce;  // at_once.h

template <class T>
struct BatchNormRows;

template <class T>
using Product = void (*)(const Gemm<T>&) noexcept;

// Products of fewer bits that a CPU's additions to another table's instruction set make faster.
struct Products {
    Product<float> at[int(Precision::count)];  // null: none is faster than `gemm`, which serves instead
};

template <class T>
struct Table {
    const char* name;
    int lanes;
    Product<T> gemm;
    void (*activation_forward[int(Activation::count)])(const ActivationForward<T>&) noexcept;
    void (*activation_backward[int(Activation::count)])(const ActivationBackward<T>&) noexcept;
    void (*row_activation_forward[int(RowActivation::count)])(const ActivationForward<T>&) noexcept;
    void (*row_activation_backward[int(RowActivation::count)])(const ActivationBackward<T>&) noexcept;  // saved is y
    void (*batchnorm_statistics)(const BatchNormStatistics<T>&) noexcept;
    void (*batchnorm_forward[int(Activation::count)])(const BatchNormForward<T>&) noexcept;
    void (*batchnorm_backward[int(Activation::count)])(const BatchNormBackward<T>&) noexcept;
    void (*layernorm_forward)(const LayerNormForward<T>&) noexcept;
    void (*layernorm_backward)(const LayerNormBackward<T>&) noexcept;
    void (*layernorm_gradients)(const LayerNormGradients<T>&) noexcept;
    void (*maxout_forward)(const MaxoutForward<T>&) noexcept;
    void (*maxout_backward)(const MaxoutBackward<T>&) noexcept;
    void (*pool_forward)(const PoolForward<T>&) noexcept;
    void (*pool_backward)(const PoolBackward<T>&) noexcept;
    void (*noise_forward[int(Noise::count)])(const NoiseForward<T>&) noexcept;
    void (*noise_backward[int(Noise::count)])(const NoiseBackward<T>&) noexcept;
    void (*uniform)(const UniformArgs<T>&) noexcept;
    void (*scaled_add)(const ScaledAdd<T>&) noexcept;
    void (*moving_average)(Index n, T* moving, const T* value, double momentum) noexcept;  // m*moving + (1-m)*value
    void (*column_sums)(Index rows, Index cols, View<const T> x, T* sums) noexcept;
    void (*loss[int(Loss::count)])(const LossArgs<T>&) noexcept;
    void (*smooth_targets)(const SmoothTargets<T>&) noexcept;
    void (*metric[int(Metric::count)])(const MetricArgs<T>&) noexcept;
    void (*optimizer_update[int(Optimizer::count)])(const UpdateArgs<T>&) noexcept;
    void (*constrain[int(Constraint::count)])(const ConstrainArgs<T>&) noexcept;
    void (*penalty_value)(const PenaltyValue<T>&, double* value) noexcept;
    void (*penalty_gradient)(const PenaltyGradient<T>&, double* norm) noexcept;
    void (*accumulate)(const AccumulateArgs<T>&, double* norm) noexcept;
    void (*squared_norm)(Index rows, Index cols, View<const T> x, double* norm) noexcept;  // summed in float64
    void (*dot)(Index rows, Index cols, View<const T> x, View<const T> y, Dot* sums) noexcept;
    void (*gather[int(Source::count)])(const GatherArgs<T>&) noexcept;
    // to[i] = from[order[i]], or from[i] where order is null
    void (*gather_labels)(Index n, const int32_t* from, const int64_t* order, int32_t* to) noexcept;
    void (*fill)(const FillArgs<T>&) noexcept;
    void (*is_below)(Index n, T* x, double limit) noexcept;                                     // x = x < limit ? 1 : 0
    void (*first_nonfinite_row)(Index rows, Index cols, View<const T> x, Index* row) noexcept;  // `rows`: there is none
    Product<T> reduced[int(Precision::count)] = {};                                             // see Products
    const AtOnce<T>* at_once = nullptr;                                                         // of a device alone
    const BatchNormRows<T>* batchnorm_rows = nullptr;  // norm_rows.h; null on devices
    const char* base = nullptr;                        // the table that all but the products are of, if not this one
    const Device* device = nullptr;                    // where the arrays lie; null: in the host's memory

    Product<T> product(Precision p) const noexcept { return reduced[int(p)] ? reduced[int(p)] : gemm; }
};

}  // namespace fusednet
