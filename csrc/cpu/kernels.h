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
#include "kernels_batchnorm_rows.h"
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

#include "../base/make_table.h"

// With what only the host has: its tasks walk rows that share caches.
#define FUSEDNET_BATCHNORM_SUMS(name, Struct, ...) batchnorm_sums<Shortest<Struct<V>>::Functor>,
#define FUSEDNET_BATCHNORM_DIFFERENCES(name, Struct, ...) batchnorm_differences<Shortest<Struct<V>>::Functor>,
constexpr BatchNormRows<T> batchnorm_rows{.chunks = batchnorm_chunks,
                                          .join = batchnorm_join,
                                          .sums = {FUSEDNET_ACTIVATIONS(FUSEDNET_BATCHNORM_SUMS)},
                                          .totals = batchnorm_totals,
                                          .differences = {FUSEDNET_ACTIVATIONS(FUSEDNET_BATCHNORM_DIFFERENCES)}};
constexpr Table<T> make_host_table(const char* name) noexcept {
    Table<T> table = make_table(name);
    table.batchnorm_rows = &batchnorm_rows;
    return table;
}
