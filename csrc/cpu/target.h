// What every instruction set's translation unit includes before it opens its namespace. No standard headers: an
// inline function of theirs, compiled here for a newer CPU, could become the copy that the whole module links.
#pragma once

#include "../base/nadam.h"
#include "../base/norm_rows.h"
#include "../base/table.h"

#define FUSEDNET_MEMBER inline __attribute__((always_inline))
#define FUSEDNET_INLINE static FUSEDNET_MEMBER
#define FUSEDNET_INLINE_LAMBDA __attribute__((always_inline))
// Unrolled loops keep an array of vectors in registers.
#define FUSEDNET_UNROLL _Pragma("GCC unroll 16")
