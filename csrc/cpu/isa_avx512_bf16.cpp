#include "intrinsics_avx512.h"

#include "target.h"

namespace fusednet::avx512_bf16 {

#include "pairs_avx512.h"

#include "gemm_pairs.h"

#include "gemm_bf16.h"

// Three products of bf16 at twice the rate of float32 would take longer than one of float32.
extern const Products products;
constinit const Products products = {{nullptr, nullptr, gemm_bf16}};

}  // namespace fusednet::avx512_bf16
