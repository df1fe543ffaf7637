// The float32 kernels once more, as functions that a program calls (program.h). They are relocatable code, whose calls
// take registers that the kernels of float32.cu had better keep for more threads.
#include "target.h"

#include "cublaslt.h"
#include "program.h"
#include "runtime.h"

namespace fusednet::cuda {

__device__ inline void add_one(unsigned long long* counter) {
    atomicAdd(counter, 1ull);
}

namespace in_programs {

constexpr bool launched = false, recorded = true;

#include "launch.h"

#include "vec_float.h"

#include "../cpu/math.h"

#include "../cpu/wide.h"

#include "../cpu/gates_unfused.h"

constexpr Index lanes = 1;

#include "kernels.h"

#include "products.h"

// Products that the library would do, of whatever precision, are refused.
constexpr Table<T> make_recorded_table() noexcept {
    Table<T> table = make_device_table<goes_by_our_slices>("cuda");
    table.gemm = product<product_as_is, relu_forward>;
    return table;
}

extern const Table<T> table;
constinit const Table<T> table = make_recorded_table();

}  // namespace in_programs
}  // namespace fusednet::cuda
