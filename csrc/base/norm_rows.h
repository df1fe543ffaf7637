// Kernels of batch normalization for tasks that walk rows.
#pragma once

#include "table.h"

namespace fusednet {

// Batch normalization by rows, for who has them walked in several tasks: what is found of each chunk of `row_chunk`
// rows, chunk after chunk, then joined in that order. The results are those of the whole, to the bit.
constexpr Index row_chunk = 64;
template <class T>
struct BatchNormRows {
    // Of a chunk three rows of `found`: a center, and the sums of the deviations from it and of their squares.
    void (*chunks)(Index rows, Index cols, View<const T> x, View<T> found) noexcept;
    void (*join)(Index rows, Index cols, View<const T> found, T* mean, T* variance) noexcept;
    // Of a chunk two rows, or three for a learned slope: the sums of du, of du x hat and of the slope's gradient. dx
    // keeps du where another would have to compute it again.
    void (*sums[int(Activation::count)])(const BatchNormBackward<T>&, View<T> found) noexcept;
    // means: two rows, of what `differences` takes off. The gradients may be null.
    void (*totals)(Index rows, Index cols, Index parts, View<const T> found, View<T> means, T* dgamma, T* dbeta,
                   T* dslope) noexcept;
    void (*differences[int(Activation::count)])(const BatchNormBackward<T>&, View<const T> means) noexcept;
};

}  // namespace fusednet
