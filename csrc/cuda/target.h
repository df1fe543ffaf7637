// What a file of kernels for the device needs before it opens its namespace. nvcc compiles the kernels for the device;
// any other compiler compiles the same text for the host, where blocks and threads are loops.
#pragma once

#include <type_traits>

#include "../base/at_once.h"
#include "../base/nadam.h"
#include "../base/table.h"
#include "../base/tiles.h"
#include "panels.h"

#ifdef __CUDACC__
#define FUSEDNET_DEVICE __device__
#define FUSEDNET_MEMBER __host__ __device__ __forceinline__
#define FUSEDNET_UNROLL _Pragma("unroll")
#define FUSEDNET_UNROLL_8 _Pragma("unroll 8")
#else
#define FUSEDNET_DEVICE
#define FUSEDNET_MEMBER inline __attribute__((always_inline))
#define FUSEDNET_UNROLL
#define FUSEDNET_UNROLL_8
#endif
#define FUSEDNET_INLINE static FUSEDNET_MEMBER
