#include <immintrin.h>

#include "target.h"

namespace fusednet::avx2 {

#include "vec_avx2.h"

#include "math.h"

#include "wide_halves.h"

#include "wide.h"

#include "gates.h"
#include "shortcuts.h"

#include "kernels.h"

extern const Table<T> table;
constinit const Table<T> table = make_host_table("avx2");

}  // namespace fusednet::avx2
