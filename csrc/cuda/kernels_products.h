// Products and column sums that know nothing of each other: those of a dense layer's backward pass.

// Arguments at places that do not depend on the block: products of a group wait longer for their numbers.
using ColumnSumsBeside = FoldColumns<Sums<1>, 1, SumOfRows, KeepSum>;
using ProductsBeside = Beside<Beside<SlicedGemm, SlicedGemm>, ColumnSumsBeside>;

// All that `sliced` says are ours and go by slices, in one launch, with the sums beside them where a block has all rows
// of its columns. The others are `gemm`'s.
template <bool (*sliced)(const Gemm<T>&)>
void products_at_once(const Gemm<T>* all, Index count, const ColumnSums<T>* sums, Product<T> gemm) noexcept {
    SlicedGemm ours[2] = {};
    Index blocks[2] = {}, held = 0;
    for (Index i = 0; i < count; ++i)
        if (held == 2 || all[i].epilogue || !sliced(all[i])) {
            gemm(all[i]);
        } else {
            ours[held] = {all[i]};
            blocks[held++] = blocks_of_slices(all[i]);
        }
    const Index rows = sums ? sums->rows : 0, cols = sums ? sums->cols : 0, across = Columns<1>::across(cols);
    const bool beside = held > 0 && across > 0 && splits_of_fold(rows, across) == 1 && !enough_for_pieces(rows, cols);
    if (sums && !beside) column_sums(rows, cols, sums->x, sums->sums);
    if (held == 1 && !beside)
        launch("gemm", blocks[0], ours[0]);
    else if (held > 0)
        launch("dense_backward", blocks[0] + blocks[1] + (beside ? across : 0),
               ProductsBeside{
                   {ours[0], ours[1], blocks[0]},
                   {{rows, cols, 1}, {sums ? sums->x : View<const T>{}}, {sums ? sums->sums : nullptr}, nullptr},
                   blocks[0] + blocks[1]});
}
