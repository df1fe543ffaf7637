// Steps that treat each element, or each sample, by itself: rows fetched, activations, noise, pooling, residual sums.
#pragma once

#include <algorithm>

#include "../base/pool_regions.h"
#include "step.h"

namespace fusednet {

// x (n, c) = the batch's rows of the caller's array. A device gets its targets with them, where it has any.
template <class T>
struct GatherRows final : Step<T> {
    Value<T> x;
    const TargetRows<T>* targets;
    static constexpr Index rows_a_gather = 16;  // nothing but memory to wait for: small batches too are for all threads

    GatherRows(const Table<T>& table, Value<T> x, const TargetRows<T>* targets)
        : Step<T>(table, "gather", Split::rows, x.cols, false), x(x), targets(targets) {}
    Index tasks(Index rows) const noexcept override { return divide_up(rows, most(rows)); }
    void run(const Batch& b, Index task, T*) const noexcept override {
        if (this->k.device) return gather_at_once(b);
        const Index row = task * most(b.rows);
        const auto* from = static_cast<const char*>(b.x.data) + (b.order ? 0 : row * b.x.row_bytes);
        this->k.gather[int(b.x.source)]({.rows = b.rows - row < most(b.rows) ? b.rows - row : most(b.rows),
                                         .cols = x.cols,
                                         .src = from,
                                         .src_row_bytes = b.x.row_bytes,
                                         .order = at_column(b.order, row),
                                         .dst = {x.data.row(row), x.data.ld}});
    }

private:
    Index most(Index rows) const noexcept { return this->k.device ? rows : rows_a_gather; }
    void gather_at_once(const Batch& b) const noexcept {
        const auto rows = [&](const Rows& from, Index cols, View<T> to) {
            return Gathering<T>{{b.rows, cols, from.data, from.row_bytes, b.order, to, b.cursor}, from.source};
        };
        Gathering<T> all[3] = {rows(b.x, x.cols, x.data)};
        Index count = 1;
        if (b.targets.labels && targets->labels) {
            all[count] = rows({}, 1, {});
            all[count].labels = b.targets.labels;
            all[count++].to = targets->labels;
        }
        if (b.targets.values.data && targets->values.data)
            all[count++] = rows(b.targets.values, targets->cols, targets->values);
        if (b.targets.weights && targets->weights)
            all[count++] = rows({b.targets.weights, sizeof(double), Source::float64, true}, 1, {targets->weights, 1});
        this->k.at_once->gathers(all, count);
    }
};

template <class T>
struct ActivationForwardStep final : Step<T> {
    View<T> x, y;
    ActivationUse<T> f;
    ActivationForwardStep(const Table<T>& table, std::string label, Split split, bool local, Index cols, View<T> x,
                          View<T> y, ActivationUse<T> f)
        : Step<T>(table, std::move(label), split, cols, local), x(x), y(y), f(f) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.activation_forward[int(f.kind)](
            {part.rows, part.cols, readonly(at(x, part)), at(y, part), f.params,
             f.slope ? f.slope->forward(this->k, b, this->cols, part.col, part.cols) : View<const T>{}});
    }
};

// dx = dy f'(saved); dx may be dy.
template <class T>
struct ActivationBackwardStep final : Step<T> {
    View<T> dy, saved, dx;
    ActivationUse<T> f;
    ActivationBackwardStep(const Table<T>& table, std::string label, Index cols, View<T> dy, View<T> saved, View<T> dx,
                           ActivationUse<T> f)
        : Step<T>(table, std::move(label), Split::columns, cols, true), dy(dy), saved(saved), dx(dx), f(f) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.activation_backward[int(f.kind)]({part.rows, part.cols, readonly(at(dy, part)),
                                                  readonly(at(saved, part)), at(dx, part), f.params,
                                                  f.slope ? f.slope->current(b, part.col) : View<const T>{},
                                                  f.slope ? f.slope->gradient(part.col) : nullptr});
        if (f.slope) f.slope->finish(this->k, b, task);
    }
};

// The gradient of a slope that all features share: the sum of theirs.
template <class T>
struct SharedSlopeGradient final : Step<T> {
    const SlopeSource<T>* slope;
    Index features;
    SharedSlopeGradient(const Table<T>& table, std::string label, Index features, const SlopeSource<T>* slope)
        : Step<T>(table, std::move(label), Split::columns, 1, false), slope(slope), features(features) {}
    void run(const Batch& b, Index, T*) const noexcept override {
        this->k.column_sums(features, 1, {slope->sums, 1}, slope->alpha->gradient.data);
        finish_gradient(this->k, *slope->alpha, b, 0);
    }
};

// Activations of whole rows: softmax and its logarithm.
template <class T>
struct RowActivationForwardStep final : Step<T> {
    View<T> x, y;
    RowActivation kind;
    RowActivationForwardStep(const Table<T>& table, std::string label, Index cols, View<T> x, View<T> y,
                             RowActivation kind)
        : Step<T>(table, std::move(label), Split::rows, cols, false), x(x), y(y), kind(kind) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.row_activation_forward[int(kind)]({part.rows, part.cols, readonly(at(x, part)), at(y, part), {}, {}});
    }
};

template <class T>
struct RowActivationBackwardStep final : Step<T> {
    View<T> dy, y, dx;
    RowActivation kind;
    RowActivationBackwardStep(const Table<T>& table, std::string label, Index cols, View<T> dy, View<T> y, View<T> dx,
                              RowActivation kind)
        : Step<T>(table, std::move(label), Split::rows, cols, true), dy(dy), y(y), dx(dx), kind(kind) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.row_activation_backward[int(kind)](
            {part.rows, part.cols, readonly(at(dy, part)), readonly(at(y, part)), at(dx, part), {}, {}, nullptr});
    }
};

// Random layers; they pass x on where the pass is not training.
template <class T>
struct NoiseUse {
    Noise kind;
    Params params;
    uint64_t layer;
};

template <class T>
struct NoiseForwardStep final : Step<T> {
    View<T> x, y;
    NoiseUse<T> noise;
    NoiseForwardStep(const Table<T>& table, std::string label, Index cols, View<T> x, View<T> y, NoiseUse<T> noise)
        : Step<T>(table, std::move(label), Split::columns, cols, true), x(x), y(y), noise(noise) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        if (b.training)
            this->k.noise_forward[int(noise.kind)]({part.rows, part.cols, readonly(at(x, part)), at(y, part),
                                                    noise.params,
                                                    draw_of(b, noise.layer, part.row, part.col, this->cols)});
        else
            this->k.scaled_add({part.rows, part.cols, {}, readonly(at(x, part)), nullptr, at(y, part)});
    }
};

template <class T>
struct NoiseBackwardStep final : Step<T> {
    View<T> dy, dx;
    NoiseUse<T> noise;
    NoiseBackwardStep(const Table<T>& table, std::string label, Index cols, View<T> dy, View<T> dx, NoiseUse<T> noise)
        : Step<T>(table, std::move(label), Split::columns, cols, true), dy(dy), dx(dx), noise(noise) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        if (b.training)
            this->k.noise_backward[int(noise.kind)]({part.rows, part.cols, readonly(at(dy, part)), at(dx, part),
                                                     noise.params,
                                                     draw_of(b, noise.layer, part.row, part.col, this->cols)});
        else
            this->k.scaled_add({part.rows, part.cols, {}, readonly(at(dy, part)), nullptr, at(dx, part)});
    }
};

// What the samples of a residual block's branch are multiplied by: 1 where it survives, else 0, and the probability of
// surviving where the pass is not training (Huang et al. 2016, eq. 2 and 5).
template <class T>
struct SurvivalStep final : Step<T> {
    T* scale;  // (n)
    double survival;
    bool per_sample;
    uint64_t layer;
    SurvivalStep(const Table<T>& table, std::string label, T* scale, double survival, bool per_sample, uint64_t layer)
        : Step<T>(table, std::move(label), Split::rows, 1, false),
          scale(scale),
          survival(survival),
          per_sample(per_sample),
          layer(layer) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        if (b.training)
            this->k.uniform(
                {part.rows, 1, {scale + part.row, 1}, 0.0, 1.0, draw_of(b, layer, part.row, 0, per_sample ? 1 : 0)});
        if (b.training)
            this->k.is_below(part.rows, scale + part.row, survival);
        else
            this->k.fill({part.rows, scale + part.row, nullptr, survival});
    }
};

// y = a + scale[i] b, a and scale optional.
template <class T>
struct AddStep final : Step<T> {
    View<T> a, b, y;
    const T* scale;
    AddStep(const Table<T>& table, std::string label, Index cols, View<T> a, View<T> b, const T* scale, View<T> y)
        : Step<T>(table, std::move(label), Split::columns, cols, true), a(a), b(b), y(y), scale(scale) {}
    void run(const Batch& batch, Index task, T*) const noexcept override {
        const Part part = part_of(*this, batch, task);
        this->k.scaled_add({part.rows, part.cols, a.data ? readonly(at(a, part)) : View<const T>{},
                            readonly(at(b, part)), scale, at(y, part)});
    }
};

// Where the regions of a pooling layer begin and end; those of fractional pooling are drawn anew in each training pass.
struct PoolRegions {
    PoolSpec spec;
    int32_t *row_begin, *row_end, *col_begin, *col_end;
    uint64_t layer;
    int32_t* drawn;  // on the host: the begins and ends of one axis
};

template <class T>
struct PoolRegionsStep final : Step<T> {
    const PoolRegions* regions;
    PoolRegionsStep(const Table<T>& table, std::string label, const PoolRegions* regions)
        : Step<T>(table, std::move(label), Split::columns, 1, false), regions(regions) {}
    void run(const Batch& b, Index, T*) const noexcept override {
        const PoolRegions& r = *regions;
        const PoolSpec& spec = r.spec;
        if (spec.fractional) {
            axis(b, r.layer, spec.height, spec.out_height, r.row_begin, r.row_end);
            axis(b, r.layer + 1, spec.width, spec.out_width, r.col_begin, r.col_end);
            return;
        }
        if (!this->k.device) place_fixed();
    }
    // They stay: a device gets them once.
    void place_fixed() const noexcept {
        const PoolRegions& r = *regions;
        const PoolSpec& spec = r.spec;
        put(r.row_begin, spec.row_begin.data(), spec.out_height);
        put(r.row_end, spec.row_end.data(), spec.out_height);
        put(r.col_begin, spec.col_begin.data(), spec.out_width);
        put(r.col_end, spec.col_end.data(), spec.out_width);
    }

private:
    void axis(const Batch& b, uint64_t layer, Index size, Index out, int32_t* begin, int32_t* end) const noexcept {
        const PoolSpec& spec = regions->spec;
        const Draw draw = draw_of(b, layer, 0, 0, 0);
        int32_t *const first = regions->drawn, *const last = first + out;
        if (b.training)
            pool_regions(int32_t(size), int32_t(out), spec.overlapping, spec.pseudo_random, draw.seed, draw.stream,
                         first, last);
        else
            inference_pool_regions(int32_t(size), int32_t(out), spec.overlapping, first, last);
        put(begin, first, out);
        put(end, last, out);
    }
    void put(int32_t* to, const int32_t* from, Index count) const noexcept {
        if (this->k.device)
            this->k.device->upload(to, from, size_t(count) * sizeof *to);
        else
            std::copy(from, from + count, to);
    }
};

template <class T>
struct PoolForwardStep final : Step<T> {
    View<T> x, y;
    View<int32_t> argmax;
    const PoolRegions* regions;
    PoolForwardStep(const Table<T>& table, std::string label, Index cols, View<T> x, View<T> y, View<int32_t> argmax,
                    const PoolRegions* regions)
        : Step<T>(table, std::move(label), Split::rows, cols, false), x(x), y(y), argmax(argmax), regions(regions) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        const PoolRegions& r = *regions;
        this->k.pool_forward({.rows = part.rows,
                              .height = r.spec.height,
                              .width = r.spec.width,
                              .channels = r.spec.channels,
                              .out_height = r.spec.out_height,
                              .out_width = r.spec.out_width,
                              .row_begin = r.row_begin,
                              .row_end = r.row_end,
                              .col_begin = r.col_begin,
                              .col_end = r.col_end,
                              .x = readonly(at(x, part)),
                              .y = at(y, part),
                              .argmax = argmax.data ? at(argmax, part) : View<int32_t>{}});
    }
};

template <class T>
struct PoolBackwardStep final : Step<T> {
    View<T> dy, dx;
    View<int32_t> argmax;
    Index in_cols;
    PoolBackwardStep(const Table<T>& table, std::string label, Index cols, View<T> dy, View<int32_t> argmax, View<T> dx,
                     Index in_cols)
        : Step<T>(table, std::move(label), Split::rows, cols, false),
          dy(dy),
          dx(dx),
          argmax(argmax),
          in_cols(in_cols) {}
    void run(const Batch& b, Index task, T*) const noexcept override {
        const Part part = part_of(*this, b, task);
        this->k.pool_backward({part.rows, in_cols, part.cols, readonly(at(dy, part)), readonly(at(argmax, part)),
                               View<T>{dx.row(part.row), dx.ld}});
    }
};

}  // namespace fusednet
