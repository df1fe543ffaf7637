// Small products with what follows from them or goes beside them in the same launch. `sliced` says which are ours and
// go by slices; the others are `gemm`'s.

// An activation of each element, by the thread that has found it.
template <class F>
struct SlicedDense {
    static constexpr int threads = SlicedGemm::threads;
    using Shared = SlicedGemm::Shared;
    using Local = Nothing;
    SlicedGemm product;
    F f;

    FUSEDNET_DEVICE constexpr int steps() const { return product.steps(); }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        if (step == 0) return product.run(step, t, shared, local);
        product.write(t, shared, [&](Index i, Index j, T z) {
            const Piece<1> at{i, j};
            at.store(product.g.y, Pack<T, 1>{{T(value_of(f, V(z), slopes<F>(product.g.slope, at)[0]))}});
        });
    }
};

template <class F, bool (*sliced)(const Gemm<T>&)>
void dense_forward(const Gemm<T>& g, Product<T> gemm) noexcept {
    if constexpr (each_shares)
        if (sliced(g)) return launch("dense_forward", blocks_of_slices(g), SlicedDense<F>{{g}, F(g.params)});
    gemm(g);
}

// A product of one tile's height, then what goes down the same columns: a block has all of them.
template <class Rest>
struct SlicedThen {
    static constexpr int threads = SlicedGemm::threads;
    static_assert(threads == Rest::threads && SlicedGemm::tile == Rest::Split::wide && Rest::Split::side == 1);
    union Shared {
        SlicedGemm::Shared product;
        typename Rest::Shared rest;
    };
    using Local = typename Rest::Local;
    SlicedGemm product;
    Rest rest;

    FUSEDNET_DEVICE constexpr int steps() const { return product.steps() + rest.steps(); }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local& local) const {
        Nothing none;
        if (step < product.steps())
            product.run(step, t, shared.product, none);
        else
            rest.run(step - product.steps(), t, shared.rest, local);
    }
};

// z = x w + bias, and its normalization by its own statistics.
template <class F, bool (*sliced)(const Gemm<T>&)>
void dense_by_batch(const Gemm<T>& g, const BatchNormForward<T>& a, T* mean, T* variance, Product<T> gemm) noexcept {
    using Fold = FoldColumns<Moments, 1, MomentsOfRows, KeepMoments>;
    using Rest = FoldThenEach<Fold, NormalizeRows<F>>;
    if constexpr (each_shares)
        if (g.m <= SlicedGemm::tile && is_short(a.rows, a.cols) && sliced(g))
            return launch(
                "dense_forward", blocks_of_slices(g),
                SlicedThen<Rest>{
                    {g}, {{{a.rows, a.cols, 1}, {a.x}, {mean, variance}, nullptr}, NormalizeRows<F>{a, F(a.params)}}});
    gemm(g);
    batchnorm_by_batch<F>(a, mean, variance);
}

// Products and column sums that know nothing of each other: those of a dense layer's backward pass.

// Arguments at places that do not depend on the block: products of a group wait longer for their numbers.
using ColumnSumsBeside = FoldColumns<Sums<1>, 1, SumOfRows, KeepSum>;
using ProductsBeside = Beside<Beside<SlicedGemm, SlicedGemm>, ColumnSumsBeside>;

// The sums go beside the products where a block has all rows of its columns, else with the first one where `gemm` does
// it.
template <bool (*sliced)(const Gemm<T>&)>
void products_at_once(const Gemm<T>* all, Index count, const ColumnSums<T>* sums, Product<T> gemm) noexcept {
    const auto is_ours = [](const Gemm<T>& g) { return !g.epilogue && sliced(g); };
    SlicedGemm ours[2] = {};
    Index blocks[2] = {}, held = 0;
    for (Index i = 0; i < count && held < 2; ++i)
        if (is_ours(all[i])) {
            ours[held] = {all[i]};
            blocks[held++] = blocks_of_slices(all[i]);
        }
    const Index rows = sums ? sums->rows : 0, cols = sums ? sums->cols : 0, across = Columns<1>::across(cols);
    const bool beside = held > 0 && across > 0 && splits_of_fold(rows, across) == 1 && !enough_for_pieces(rows, cols);
    bool alone = sums && !beside;
    for (Index i = 0, passed = 0; i < count; ++i) {
        if (passed < held && is_ours(all[i])) {
            ++passed;
            continue;
        }
        Gemm<T> g = all[i];
        if (i == 0 && alone) {
            g.b_sums = sums->sums;
            alone = false;
        }
        gemm(g);
    }
    if (alone) column_sums(rows, cols, sums->x, sums->sums);
    if (held == 1 && !beside)
        launch("gemm", blocks[0], ours[0]);
    else if (held > 0)
        launch("dense_backward", blocks[0] + blocks[1] + (beside ? across : 0),
               ProductsBeside{
                   {ours[0], ours[1], blocks[0]},
                   {{rows, cols, 1}, {sums ? sums->x : View<const T>{}}, {sums ? sums->sums : nullptr}, nullptr},
                   blocks[0] + blocks[1]});
}
