#include "target.h"

namespace fusednet::amx_emulated {

#include "pairs_emulated.h"

#include "gemm_pairs.h"

#include "tiles_emulated.h"

#include "gemm_amx.h"

extern const Products products;
constinit const Products products = {{nullptr, gemm_amx<true>, gemm_amx<false>}};

}  // namespace fusednet::amx_emulated
