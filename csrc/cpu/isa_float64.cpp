#include "target.h"

#include "../base/traits.h"

namespace fusednet::float64 {

#include "vec_float64.h"

#include "kernels.h"

extern const Table<T> table;
constinit const Table<T> table = make_host_table("float64");

template <class O>
void optimizer_scalars(double t, const double* hyper, double* scalars) noexcept {
    O::scalars(t, hyper, scalars);
}

#define FUSEDNET_TRAITS(name, Struct, ...)                                                                  \
    {Struct<V>::from_output, Struct<V>::reads_saved, Struct<V>::slope_from, double(Struct<V>::value_flops), \
     double(Struct<V>::derivative_flops)},
#define FUSEDNET_SCALARS(name, Struct, ...) optimizer_scalars<Struct<V>>,

extern const Formulas formulas;
constinit const Formulas formulas = {
    .activation = {FUSEDNET_ACTIVATIONS(FUSEDNET_TRAITS)},
    .optimizer_scalars = {FUSEDNET_OPTIMIZERS(FUSEDNET_SCALARS)},
};

}  // namespace fusednet::float64
