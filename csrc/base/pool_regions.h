#pragma once
#include <stdint.h>
#include "table.h"
namespace fusednet {
inline void fractional_regions(Index, Index, bool, bool, uint64_t, uint64_t, uint64_t, bool, int32_t*,
                               int32_t*) noexcept {}
}  // namespace fusednet
