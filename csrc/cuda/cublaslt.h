// Large matrix products by cuBLASLt, which is loaded where it is found; the build needs no part of it.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

namespace fusednet::cuda {

// What the operands are made of. C, D, the bias and the sums are float64 for float64, else float32.
enum class Operands { float32, tf32, bfloat16, float64 };

// D = op(A) op(B) + bias, or + C with C = D, column after column as the library counts: D (rows, cols), op(A)
// (rows, inner), op(B) (inner, cols), a bias for each row.
struct LibraryProduct {
    struct Matrix {
        const void* data;
        bool transposed;
        int64_t ld;
    };
    int64_t rows, cols, inner;
    Matrix a, b;
    void* d;
    int64_t d_ld;
    const void* bias;  // or null
    bool accumulate;
    Operands operands;
    // Beside that, where the library has it in the same product:
    bool relu = false;       // max(D, 0) in D's place
    void* a_sums = nullptr;  // a number for each row: the sum of op(A)'s row; not with a bias or a ReLU
};

// What the library does of a product. No product: there is no library, or it has nothing for this one.
struct Served {
    bool product = false, relu = false, sums = false;
};

// On the calling thread's queue.
Served library_product(const LibraryProduct& product) noexcept;
bool library_found() noexcept;
bool library_ready() noexcept;  // it was found and the device that is current can use it
// Folders of packages that the library may lie in, besides the one that holds ours. Before it is first needed.
void set_library_folders(std::vector<std::string> folders);
// "cuBLASLt 13.0.2 (/path)", or what serves without it and why. Lives as long as the process.
const char* library_text() noexcept;

}  // namespace fusednet::cuda
