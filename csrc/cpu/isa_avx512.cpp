#include "intrinsics_avx512.h"

#include "target.h"

namespace fusednet::avx512 {

#include "vec_avx512.h"

#include "math.h"

#include "wide_halves.h"

#include "wide.h"

#include "gates.h"
#include "shortcuts.h"

#include "kernels.h"

extern const Table<T> table;
constinit const Table<T> table = make_host_table("avx512");

}  // namespace fusednet::avx512
