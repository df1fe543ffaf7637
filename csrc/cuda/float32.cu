// The device's float32 kernels and their table.
#include "target.h"

#include "cublaslt.h"
#include "program.h"
#include "runtime.h"

namespace fusednet::cuda {

__device__ inline void add_one(unsigned long long* counter) {
    atomicAdd(counter, 1ull);
}

namespace float32 {

constexpr bool launched = true, recorded = false;  // recorded.cu has what is

#include "launch.h"

#include "vec_float.h"

#include "../cpu/math.h"

#include "../cpu/wide.h"

#include "../cpu/gates_unfused.h"

constexpr Index lanes = 1;

#include "kernels.h"

#include "products.h"

#include "products_reduced.h"

constexpr Table<T> make_cuda_table() noexcept {
    Table<T> table = make_device_table<goes_by_our_slices>("cuda");
    table.gemm = product<product_as_is, relu_forward>;
    table.reduced[int(Precision::high)] = product<product_of_two_parts, relu_forward>;
    table.reduced[int(Precision::medium)] = product<product_of_bfloat16, relu_forward>;
    return table;
}

extern const Table<T> table;
constinit const Table<T> table = make_cuda_table();

// Whether the device that is current has code here: the runtime's error.
int probe_kernels() noexcept {
    cudaFuncAttributes attributes;
    return int(cudaFuncGetAttributes(&attributes, run_kernel<GemmKernel>));
}

}  // namespace float32
}  // namespace fusednet::cuda
