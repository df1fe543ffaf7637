#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "target.h"

namespace fusednet::baseline {

#include "vec_baseline.h"

#include "math.h"

#include "wide_halves.h"

#include "wide.h"

#include "gates_unfused.h"

#include "kernels.h"

extern const Table<T> table;
constinit const Table<T> table = make_host_table("baseline");

}  // namespace fusednet::baseline
