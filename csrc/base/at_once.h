// What a device alone is asked for: many things at once that know nothing of each other, and what follows from each
// other where one launch can have both. Each by itself takes less time than its launch.
#pragma once

#include "table.h"

namespace fusednet {

// Rows of the caller's array or, where `labels` is not null, as many labels.
template <class T>
struct Gathering {
    GatherArgs<T> rows;
    Source source;
    const int32_t* labels = nullptr;
    int32_t* to = nullptr;
};

// sums (cols) = those of the columns of x.
template <class T>
struct ColumnSums {
    Index rows, cols;
    View<const T> x;
    T* sums;
};

// *sum = the sum of the squares of x, in float64; or, not `squares`, 0 where all of x is finite, else NaN.
template <class T>
struct Measure {
    Index rows, cols;
    View<const T> x;
    double* sum;
    bool squares = true;
};

// moving = momentum moving + (1 - momentum) value, of n numbers.
template <class T>
struct MovingAverage {
    Index n;
    T* moving;
    const T* value;
    double momentum;
};

template <class T>
struct AtOnce {
    void (*gathers)(const Gathering<T>*, Index count) noexcept;
    // By the statistics of its own x, which are found first: `mean` and `variance` are its own as well.
    void (*batchnorm_by_batch[int(Activation::count)])(const BatchNormForward<T>&, T* mean, T* variance) noexcept;
    // A product with its epilogue, and one without whose result is normalized so. `gemm`: of the plan's precision.
    void (*dense_forward[int(Activation::count)])(const Gemm<T>&, Product<T> gemm) noexcept;
    void (*dense_by_batch[int(Activation::count)])(const Gemm<T>&, const BatchNormForward<T>&, T* mean, T* variance,
                                                   Product<T> gemm) noexcept;
    // Products of two arrays that no other one writes; and the sums of the columns of the first one's B, or null.
    void (*products)(const Gemm<T>*, Index count, const ColumnSums<T>* sums, Product<T> gemm) noexcept;
    void (*measure)(const Measure<T>*, Index count) noexcept;
    // Either may be none.
    void (*optimizer_updates[int(Optimizer::count)])(const UpdateArgs<T>*, Index count, const MovingAverage<T>*,
                                                     Index averages) noexcept;
};

}  // namespace fusednet
