// The gradient of a kernel where it is not stored: its norm is found without it, and the update computes it a block of
// rows at a time and uses it up while it is in the cache.
#pragma once

#include "../cpu/pool.h"
#include "steps_dense.h"

namespace fusednet {

// dw (k, c) = x' dz, from what the backward pass leaves behind.
template <class T>
struct KernelGradient {
    const Tensor<T>* w;
    Value<T> x;
    View<T> dz;
    double *sums, *sizes;  // a number a task of the step that measures it

    // Rows of a panel's gradient at a time: what the update reads for them comes from memory during their product,
    // whose length goes with the batch.
    Index rows_a_block(Index n) const noexcept {
        const Index most = plan_scratch / w->panel();
        return n / 2 < 28 ? 28 : n / 2 < most ? n / 2 : most;
    }

    // The gradient of some rows of a panel, in `out`.
    void compute(const Table<T>& k, const Batch& b, Index panel, Index row, Index rows, View<T> out,
                 T* scratch) const noexcept {
        const Index c = panel * w->panel();
        k.gemm({.m = rows,
                .n = w->columns(panel),
                .k = b.rows,
                .a = x.data.data + row,
                .a_row = 1,
                .a_col = x.data.ld,
                .b = dz.data + c,
                .b_row = dz.ld,
                .b_col = 1,
                .c = out,
                .scratch = scratch});
    }

    // f(row, rows, gradient) for each block of rows of a panel: where it is stored, or in the thread's scratch.
    // before(row, rows) announces each of them.
    template <class Before, class F>
    void for_blocks(const Table<T>& k, const Batch& b, Index panel, T* scratch, const Before& before,
                    const F& f) const noexcept {
        const Index c = panel * w->panel(), step = rows_a_block(b.rows);
        for (Index row = 0; row < w->rows; row += step) {
            const Index rows = w->rows - row < step ? w->rows - row : step;
            before(row, rows);
            View<T> out{scratch + gemm_scratch, w->panel()};
            if (w->stored)
                out = {w->gradient.row(row) + c, w->gradient.ld};
            else
                compute(k, b, panel, row, rows, out, scratch);
            f(row, rows, out);
        }
    }
};

// |dw|^2 from the products of samples with samples, a task the columns from 32 samples on. `sizes` gets the sum of the
// terms' magnitudes: far above the sum itself, the terms cancel and rounding is what remains.
template <class T>
struct GramNorm final : Step<T> {
    static constexpr Index wide = 32, tall = plan_scratch / (2 * wide);
    const KernelGradient<T>* gradient;

    GramNorm(const Table<T>& table, std::string label, const KernelGradient<T>* gradient)
        : Step<T>(table, std::move(label), Split::rows, gradient->w->rows + gradient->w->cols, false),
          gradient(gradient) {}

    double work(Index n) const noexcept override { return double(n) * double(n) * double(this->cols); }
    Index tasks(Index n) const noexcept override { return divide_up(n, wide); }
    void run(const Batch& b, Index task, T* scratch) const noexcept override {
        if (!gram_pays(b.rows, gradient->w->rows, gradient->w->cols)) return;
        const Index first = task * wide, count = b.rows - first < wide ? b.rows - first : wide;
        const View<T> of_x{scratch + gemm_scratch, wide}, of_dz{of_x.data + tall * wide, wide};
        Dot total{0, 0};
        const auto add = [&](double weight, Index m, Index n, View<const T> x, View<const T> dz) {
            Dot d;
            this->k.dot(m, n, x, dz, &d);
            total.sum += weight * d.sum;
            total.size += weight * d.size;
        };
        for (Index row = 0; row < first + count; row += tall) {
            const Index rows = first + count - row < tall ? first + count - row : tall;
            product(gradient->x.data, gradient->w->rows, row, rows, first, count, of_x, scratch);
            product(gradient->dz, gradient->w->cols, row, rows, first, count, of_dz, scratch);
            // above the diagonal block every pair stands for two
            const Index above = first > row ? (first - row < rows ? first - row : rows) : 0;
            add(2.0, above, count, readonly(of_x), readonly(of_dz));
            for (Index i = above; i < rows; ++i) {
                const Index j = row + i - first;  // on the diagonal
                const View<const T> x{of_x.row(i) + j, wide}, dz{of_dz.row(i) + j, wide};
                add(1.0, 1, 1, x, dz);
                add(2.0, 1, count - j - 1, at_column(x, 1), at_column(dz, 1));
            }
        }
        gradient->sums[task] = total.sum;
        gradient->sizes[task] = total.size;
    }

private:
    // The products of rows `row` on with rows `first` on of a matrix.
    void product(View<T> v, Index cols, Index row, Index rows, Index first, Index count, View<T> out,
                 T* scratch) const noexcept {
        this->k.product(Precision::highest)({.m = rows,
                                             .n = count,
                                             .k = cols,
                                             .a = v.row(row),
                                             .a_row = v.ld,
                                             .a_col = 1,
                                             .b = v.row(first),
                                             .b_row = 1,
                                             .b_col = v.ld,
                                             .c = out,
                                             .scratch = scratch});
    }
};

// |x|^2 and |dz|^2, whose product is at least |dw|^2: enough to know that an unclipped gradient is finite, where it is
// far below every limit.
template <class T>
struct GradientBound final : Step<T> {
    const KernelGradient<T>* gradient;

    GradientBound(const Table<T>& table, std::string label, const KernelGradient<T>* gradient)
        : Step<T>(table, std::move(label), Split::rows, gradient->w->rows + gradient->w->cols, false),
          gradient(gradient) {}

    double work(Index n) const noexcept override { return 2.0 * double(n) * double(this->cols); }
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        const View<T> x{gradient->x.data.row(part.row), gradient->x.data.ld};
        const View<T> dz{gradient->dz.row(part.row), gradient->dz.ld};
        this->k.squared_norm(part.rows, gradient->w->rows, readonly(x), gradient->sums + task);
        this->k.squared_norm(part.rows, gradient->w->cols, readonly(dz), gradient->sizes + task);
    }
};

}  // namespace fusednet
