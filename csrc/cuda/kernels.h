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

#include "../base/make_table.h"

// With what a device has beside: many of one kind at once.
#define FUSEDNET_UPDATES(name, Struct, ...) optimizer_updates<Struct<V>>,
constexpr Table<T> make_device_table(const char* name) noexcept {
    constexpr void (*updates[])(const UpdateArgs<T>*, Index) noexcept = {FUSEDNET_OPTIMIZERS(FUSEDNET_UPDATES)};
    Table<T> table = make_table(name);
    for (int i = 0; i < int(Optimizer::count); ++i) table.optimizer_updates[i] = updates[i];
    table.squared_norms = squared_norms;
    table.moving_averages = moving_averages;
    table.first_nonfinite_rows = first_nonfinite_rows;
    return table;
}
