// Every kernel of one instruction set and the table that lists them. Included inside the set's namespace, after its
// vec_<isa>.h and its mathematical functions.

#include "../formulas/activations.h"
#include "../formulas/losses.h"
#include "../formulas/noises.h"
#include "../formulas/normal.h"
#include "../formulas/optimizers.h"

#include "../base/philox.h"

#include "loops.h"
#include "words.h"

#include "kernels_elementwise.h"

#include "kernels_batchnorm.h"
#include "kernels_constraints.h"
#include "kernels_data.h"
#include "kernels_layernorm.h"
#include "kernels_loss.h"
#include "kernels_metrics.h"
#include "kernels_noise.h"
#include "kernels_optimizer.h"
#include "kernels_pool.h"
#include "kernels_residual.h"

#include "gemm.h"

#define FUSEDNET_ACTIVATION_FORWARD(name, Struct, ...) activation_forward<Shortest<Struct<V>>::Functor>,
#define FUSEDNET_ACTIVATION_BACKWARD(name, Struct, ...) activation_backward<Shortest<Struct<V>>::Functor>,
#define FUSEDNET_BATCHNORM_FORWARD(name, Struct, ...) batchnorm_forward<Shortest<Struct<V>>::Functor>,
#define FUSEDNET_BATCHNORM_BACKWARD(name, Struct, ...) batchnorm_backward<Shortest<Struct<V>>::Functor>,
#define FUSEDNET_ELEMENT_LOSS(name, Struct, ...) element_loss<Struct<V>>,
#define FUSEDNET_ROW_ACTIVATION_FORWARD(name, kernel, ...) kernel##_forward,
#define FUSEDNET_ROW_ACTIVATION_BACKWARD(name, kernel, ...) kernel##_backward,
#define FUSEDNET_KERNEL(name, kernel, ...) kernel,
#define FUSEDNET_NOISE_FORWARD(name, Struct, ...) noise_forward<Struct<V>>,
#define FUSEDNET_NOISE_BACKWARD(name, Struct, ...) noise_backward<Struct<V>>,
#define FUSEDNET_UPDATE(name, Struct, ...) optimizer_update<Struct<V>>,

constexpr Table<T> make_table(const char* name) noexcept {
    return {
        .name = name,
        .lanes = int(lanes),
        .gemm = gemm,
        .activation_forward = {FUSEDNET_ACTIVATIONS(FUSEDNET_ACTIVATION_FORWARD)},
        .activation_backward = {FUSEDNET_ACTIVATIONS(FUSEDNET_ACTIVATION_BACKWARD)},
        .row_activation_forward = {FUSEDNET_ROW_ACTIVATIONS(FUSEDNET_ROW_ACTIVATION_FORWARD)},
        .row_activation_backward = {FUSEDNET_ROW_ACTIVATIONS(FUSEDNET_ROW_ACTIVATION_BACKWARD)},
        .batchnorm_statistics = batchnorm_statistics,
        .batchnorm_forward = {FUSEDNET_ACTIVATIONS(FUSEDNET_BATCHNORM_FORWARD)},
        .batchnorm_backward = {FUSEDNET_ACTIVATIONS(FUSEDNET_BATCHNORM_BACKWARD)},
        .layernorm_forward = layernorm_forward,
        .layernorm_backward = layernorm_backward,
        .layernorm_gradients = layernorm_gradients,
        .maxout_forward = maxout_forward,
        .maxout_backward = maxout_backward,
        .pool_forward = pool_forward,
        .pool_backward = pool_backward,
        .noise_forward = {FUSEDNET_NOISES(FUSEDNET_NOISE_FORWARD)},
        .noise_backward = {FUSEDNET_NOISES(FUSEDNET_NOISE_BACKWARD)},
        .uniform = uniform,
        .scaled_add = scaled_add,
        .moving_average = moving_average,
        .column_sums = column_sums,
        .loss = {FUSEDNET_ELEMENT_LOSSES(FUSEDNET_ELEMENT_LOSS) FUSEDNET_ROW_LOSSES(FUSEDNET_KERNEL)},
        .smooth_targets = smooth_targets,
        .metric = {FUSEDNET_METRICS(FUSEDNET_KERNEL)},
        .optimizer_update = {FUSEDNET_OPTIMIZERS(FUSEDNET_UPDATE)},
        .constrain = {FUSEDNET_CONSTRAINTS(FUSEDNET_KERNEL)},
        .penalty_value = penalty_value,
        .penalty_gradient = penalty_gradient,
        .accumulate = accumulate,
        .squared_norm = squared_norm,
        .dot = dot,
        .gather = {gather<uint8_t>, gather<float>, gather<double>},
        .first_nonfinite_row = first_nonfinite_row,
    };
}
