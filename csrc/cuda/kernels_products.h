// Products and column sums that know nothing of each other: those of a dense layer's backward pass.

// All that `sliced` says are ours and go by slices, in one launch, with the sums beside them where a block has all rows
// of its columns. The others are `gemm`'s.
template <bool (*sliced)(const Gemm<T>&)>
void products_at_once(const Gemm<T>* all, Index count, const ColumnSums<T>* sums, Product<T> gemm) noexcept {
    constexpr const char* name = "dense_backward";
    Together<SlicedGemm, 2> together(name);
    for (Index i = 0; i < count; ++i)
        if (!all[i].epilogue && sliced(all[i]))
            together.add(blocks_of_slices(all[i]), {all[i]});
        else
            gemm(all[i]);
    if (!sums) return;
    const Index rows = sums->rows, cols = sums->cols, across = Columns<1>::across(cols);
    using Fold = FoldColumns<Sums<1>, 1, SumOfRows, KeepSum>;
    if (across > 0 && splits_of_fold(rows, across) == 1 && !enough_for_pieces(rows, cols))
        together.flush_beside(across, Fold{{rows, cols, 1}, {sums->x}, {sums->sums}, nullptr});
    else
        column_sums(rows, cols, sums->x, sums->sums);
}
