// The few types, numbers and functions of cuBLASLt's C interface that are used, the same in versions 12 and 13.
// Where the toolkit's header is at hand, the build compares.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct CUstream_st;

namespace fusednet::cuda::lt {

enum Status : int { success = 0 };
enum Compute : int { compute_32f = 68, compute_64f = 70, compute_32f_fast_tf32 = 77 };
enum Type : int { real_32f = 0, real_64f = 1, real_16bf = 14 };
enum Operation : int32_t { plain = 0, transpose = 1 };
enum Epilogue : int32_t {
    epilogue_default = 1,
    epilogue_relu = 2,
    epilogue_bias = 4,
    epilogue_relu_bias = 6,
    epilogue_sums_of_a = 256  // op(A)'s rows over the inner dimension: the gradient of a bias
};
enum DescriptorAttribute : int { transpose_a = 3, transpose_b = 4, epilogue = 7, bias_pointer = 8 };
enum PreferenceAttribute : int {
    workspace_bytes = 1,
    alignment_a = 5,
    alignment_b = 6,
    alignment_c = 7,
    alignment_d = 8
};

using Handle = struct Context*;
using Descriptor = struct DescriptorOpaque*;
using Layout = struct LayoutOpaque*;
using Preference = struct PreferenceOpaque*;

struct Algorithm {
    uint64_t data[8];
};
struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    Status state;
    float waves;
    int reserved[4];
};

struct Functions {
    size_t (*version)();
    Status (*create)(Handle*);
    Status (*create_descriptor)(Descriptor*, Compute, Type scale);
    Status (*destroy_descriptor)(Descriptor);
    Status (*set_descriptor)(Descriptor, DescriptorAttribute, const void*, size_t);
    Status (*create_layout)(Layout*, Type, uint64_t rows, uint64_t cols, int64_t ld);
    Status (*destroy_layout)(Layout);
    Status (*create_preference)(Preference*);
    Status (*destroy_preference)(Preference);
    Status (*set_preference)(Preference, PreferenceAttribute, const void*, size_t);
    Status (*heuristic)(Handle, Descriptor, Layout a, Layout b, Layout c, Layout d, Preference, int asked, Heuristic*,
                        int* given);
    Status (*matmul)(Handle, Descriptor, const void* alpha, const void* a, Layout, const void* b, Layout,
                     const void* beta, const void* c, Layout, void* d, Layout, const Algorithm*, void* workspace,
                     size_t workspace_bytes, CUstream_st*);
};

}  // namespace fusednet::cuda::lt

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>

namespace fusednet::cuda::lt {
static_assert(success == int(CUBLAS_STATUS_SUCCESS));
static_assert(compute_32f == int(CUBLAS_COMPUTE_32F) && compute_64f == int(CUBLAS_COMPUTE_64F) &&
              compute_32f_fast_tf32 == int(CUBLAS_COMPUTE_32F_FAST_TF32));
static_assert(real_32f == int(CUDA_R_32F) && real_64f == int(CUDA_R_64F) && real_16bf == int(CUDA_R_16BF));
static_assert(plain == int(CUBLAS_OP_N) && transpose == int(CUBLAS_OP_T));
static_assert(epilogue_default == int(CUBLASLT_EPILOGUE_DEFAULT) && epilogue_relu == int(CUBLASLT_EPILOGUE_RELU) &&
              epilogue_bias == int(CUBLASLT_EPILOGUE_BIAS) && epilogue_relu_bias == int(CUBLASLT_EPILOGUE_RELU_BIAS) &&
              epilogue_sums_of_a == int(CUBLASLT_EPILOGUE_BGRADA));
static_assert(transpose_a == int(CUBLASLT_MATMUL_DESC_TRANSA) && transpose_b == int(CUBLASLT_MATMUL_DESC_TRANSB) &&
              epilogue == int(CUBLASLT_MATMUL_DESC_EPILOGUE) && bias_pointer == int(CUBLASLT_MATMUL_DESC_BIAS_POINTER));
static_assert(workspace_bytes == int(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) &&
              alignment_a == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) &&
              alignment_b == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES) &&
              alignment_c == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES) &&
              alignment_d == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t) &&
              sizeof(Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t) &&
              offsetof(Heuristic, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) &&
              offsetof(Heuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));
}  // namespace fusednet::cuda::lt
#endif
