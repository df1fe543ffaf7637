// Every kernel and the table that lists them. Included inside a namespace, after its scalar functions and what runs
// kernels: launch, workspace and add_one.

#include "../formulas/activations.h"
#include "../formulas/losses.h"
#include "../formulas/noises.h"
#include "../formulas/normal.h"
#include "../formulas/optimizers.h"

#include "../base/philox.h"

#include "loops.h"

#include "groups.h"

#include "kernels_elementwise.h"

#include "kernels_batchnorm.h"
#include "kernels_noise.h"
#include "kernels_optimizer.h"
#include "kernels_pool.h"
#include "kernels_rows.h"

#include "kernels_loss.h"
#include "kernels_metrics.h"

#include "gemm.h"

#include "kernels_products.h"

#include "../base/make_table.h"

constexpr auto relu_forward = activation_forward<Shortest<Relu<V>>::Functor>;

// With what a device has beside. `sliced`: see products_at_once.
#define FUSEDNET_BY_BATCH(name, Struct, ...) batchnorm_by_batch<Shortest<Struct<V>>::Functor>,
#define FUSEDNET_DENSE(name, Struct, ...) dense_forward<Shortest<Struct<V>>::Functor, sliced>,
#define FUSEDNET_DENSE_BY_BATCH(name, Struct, ...) dense_by_batch<Shortest<Struct<V>>::Functor, sliced>,
#define FUSEDNET_UPDATES(name, Struct, ...) optimizer_updates<Struct<V>>,
template <bool (*sliced)(const Gemm<T>&)>
constexpr AtOnce<T> at_once = {.gathers = gathers,
                               .batchnorm_by_batch = {FUSEDNET_ACTIVATIONS(FUSEDNET_BY_BATCH)},
                               .dense_forward = {FUSEDNET_ACTIVATIONS(FUSEDNET_DENSE)},
                               .dense_by_batch = {FUSEDNET_ACTIVATIONS(FUSEDNET_DENSE_BY_BATCH)},
                               .products = products_at_once<sliced>,
                               .measure = measure,
                               .optimizer_updates = {FUSEDNET_OPTIMIZERS(FUSEDNET_UPDATES)}};

template <bool (*sliced)(const Gemm<T>&)>
constexpr Table<T> make_device_table(const char* name) noexcept {
    Table<T> table = make_table(name);
    table.at_once = &at_once<sliced>;
    return table;
}
