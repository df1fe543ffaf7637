// GCC 12's own header reads what it calls undefined on purpose (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include "target.h"

namespace fusednet::avx512 {

#include "vec_avx512.h"

#include "math.h"

#include "wide.h"

#include "kernels.h"

extern const Table<T> table;
constinit const Table<T> table = make_table("avx512");

}  // namespace fusednet::avx512
