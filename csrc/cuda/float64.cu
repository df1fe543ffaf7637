// The same kernels in float64, for gradient checks there.
#include "target.h"

#include "cublaslt.h"
#include "program.h"
#include "runtime.h"

namespace fusednet::cuda {

__device__ inline void add_one(unsigned long long* counter) {
    atomicAdd(counter, 1ull);
}

namespace float64 {

constexpr bool launched = true, recorded = false;  // for gradient checks, whose steps are not in a hurry

#include "launch.h"

#include "../cpu/vec_float64.h"

#include "kernels.h"

#include "products.h"

constexpr Table<T> make_cuda_table() noexcept {
    Table<T> table = make_device_table<goes_by_our_slices>("cuda");
    table.gemm = product<product_as_is, relu_forward>;
    return table;
}

extern const Table<T> table;
constinit const Table<T> table = make_cuda_table();

}  // namespace float64
}  // namespace fusednet::cuda
