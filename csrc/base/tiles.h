// Parts of matrices, and of what goes with them.
#pragma once

#include "table.h"

namespace fusednet {

// Some rows and columns.
struct Tile {
    Index row, col, rows, cols;
};

// What a tile, or a run of rows, has of a matrix or of a vector; null stays null.
template <class T>
View<T> part_of(const View<T>& view, Index row, Index col) noexcept {
    return {view.data ? view.row(row) + col : nullptr, view.ld};
}
template <class T>
T* part_of(T* vector, Index first) noexcept {
    return vector ? vector + first : nullptr;
}

template <class T>
[[gnu::noinline]] BatchNormForward<T> tile_of(const BatchNormForward<T>& a, const Tile& t) noexcept {
    BatchNormForward<T> part = a;
    part.rows = t.rows;
    part.cols = t.cols;
    part.x = part_of(a.x, t.row, t.col);
    part.y = part_of(a.y, t.row, t.col);
    part.slope = part_of(a.slope, t.row, t.col);
    using Args = BatchNormForward<T>;
    for (auto vector : {&Args::mean, &Args::variance, &Args::gamma, &Args::beta})
        part.*vector = part_of(a.*vector, t.col);
    return part;
}

template <class T>
[[gnu::noinline]] BatchNormBackward<T> tile_of(const BatchNormBackward<T>& a, const Tile& t) noexcept {
    using Args = BatchNormBackward<T>;
    Args part = a;
    part.rows = t.rows;
    part.cols = t.cols;
    for (auto view : {&Args::dy, &Args::x, &Args::saved, &Args::slope}) part.*view = part_of(a.*view, t.row, t.col);
    part.dx = part_of(a.dx, t.row, t.col);
    for (auto vector : {&Args::mean, &Args::variance, &Args::gamma, &Args::beta})
        part.*vector = part_of(a.*vector, t.col);
    for (auto vector : {&Args::dgamma, &Args::dbeta, &Args::dslope}) part.*vector = part_of(a.*vector, t.col);
    return part;
}

}  // namespace fusednet
