// How fusednet.ops spread a kernel's work over the pool. A device is given all of it at once, as one task. Tasks follow
// from the shape alone, never from the number of threads, and sums of tasks are added in their order: the same bits for
// any count.
#pragma once

#include <algorithm>
#include <cstdio>
#include <vector>

#include "../base/tiles.h"
#include "../cpu/pool.h"
#include "arrays.h"
#include "call.h"

namespace fusednet::bindings {

// Elements of a task: 32 KB of float32, so that it starts from the second-level cache and costs more than its call.
constexpr Index elements_a_task = 8 * 1024;

// What is written past the caches: more than the last of them holds, of which most would be gone before anyone reads
// it. Not what is overwritten in place: that has been read, it is in the caches. 4 M floats into an L3 of 32 MB took
// 0.65 ms the usual way and 0.99 past it, 16 M 4.5 and 3.0 (Zen 4, two threads, November 2026). A larger cache serves
// more cores. Not by sysconf, which made 320 MB of these 32.
inline Index streamed_bytes() noexcept {
    static const Index bytes = [] {
        long size = 0;
        char unit = 'K';
        if (std::FILE* const file = std::fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re")) {
            if (std::fscanf(file, "%ld%c", &size, &unit) < 1) size = 0;
            std::fclose(file);
        }
        const Index last = Index(size) << (unit == 'M' ? 20 : 10);
        return std::clamp(last > 0 ? last : Index(1) << 25, Index(1) << 24, Index(1) << 26);
    }();
    return bytes;
}
inline bool past_caches(Index bytes) noexcept {
    return bytes > streamed_bytes();
}

// f() while other Python threads run, if it takes so long that others would be glad of it.
template <class F>
void without_gil(double work, const F& f) {
    if (work < worth_sharing) return f();
    const py::gil_scoped_release release;
    f();
}

// f(task, scratch) for each task; scratch, if the caller gives its own, is that of the thread that runs it. `work` is
// about the number of flops: little of it stays with the caller.
template <class F>
void share(Index tasks, double work, const F& f, void* scratch = nullptr) {
    const Task task = [](void* context, Index i, void* own) { (*static_cast<const F*>(context))(i, own); };
    void* context = const_cast<void*>(static_cast<const void*>(&f));
    if (work >= worth_sharing)
        run_tasks(tasks, task, context, scratch, false);
    else
        for (Index i = 0; i < tasks; ++i) task(context, i, scratch);
}

// f(tile) for tiles, a task each, of at most `tall` rows and `wide` columns; flops: of an element.
template <class F>
void share_tiles(Index rows, Index cols, Index tall, Index wide, double flops, const F& f) {
    if (rows < 1 || cols < 1) return;
    if (DeviceCall::current()) return f(Tile{0, 0, rows, cols});
    const Index down = divide_up(rows, tall), across = divide_up(cols, wide);
    share(down * across, flops * double(rows) * double(cols), [&](Index task, void*) {
        const Index row = task / across * tall, col = task % across * wide;
        f(Tile{row, col, rows - row < tall ? rows - row : tall, cols - col < wide ? cols - col : wide});
    });
}

// Whole rows, some of them a task. No columns are a task all the same: what belongs to a row is still written.
inline Index rows_each(Index cols) noexcept {
    return cols < 1 ? elements_a_task : cols < elements_a_task ? elements_a_task / cols : 1;
}
template <class F>
void share_rows(Index rows, Index cols, double flops, const F& f) {
    share_tiles(rows, 1, rows_each(cols), 1, flops * double(cols < 1 ? 1 : cols),
                [&](const Tile& t) { f(t.row, t.rows); });
}

// Adds to `sums` (count) what f(first row, rows, sums of its own) adds to zeros, in the order of the rows.
template <class F>
void add_rows(Index rows, Index cols, double flops, size_t count, double* sums, const F& f) {
    if (DeviceCall* const call = DeviceCall::current()) {
        double* const there = call->sent(sums, Index(count));
        f(0, rows, there);
        return call->device().download(sums, there, count * sizeof(double));
    }
    const Index tall = rows_each(cols);
    std::vector<double> all(size_t(divide_up(rows, tall)) * count);
    share_rows(rows, cols, flops, [&](Index first, Index held) { f(first, held, &all[size_t(first / tall) * count]); });
    for (size_t i = 0; i < all.size(); ++i) sums[i % count] += all[i];
}

// The sum of f(first row, rows), in the order of the rows.
template <class F>
double sum_rows(Index rows, Index cols, double flops, const F& f) {
    if (DeviceCall::current()) return f(0, rows);
    double sum = 0;
    add_rows(rows, cols, flops, 1, &sum, [&](Index first, Index held, double* added) { *added = f(first, held); });
    return sum;
}

// Columns before the first that begins a cache line in every row; 0 where the rows differ in that.
template <class T>
Index before_line(const View<T>& view, Index cols) {
    constexpr size_t line = 64;
    const size_t over = reinterpret_cast<uintptr_t>(view.data) % line;
    if (over % sizeof(T) || size_t(view.ld) * sizeof(T) % line) return 0;
    return std::min(cols, Index((line - over) % line / sizeof(T)));
}

// Whole columns: the panels that a plan has, wider where the rows that a panel has are beyond the caches, and then from
// line to line of the matrix that is written. No rows are a task all the same.
template <class T, class F>
void share_columns(Index rows, Index cols, const View<T>& written, double flops, const F& f) {
    constexpr Index far = 1 << 19, narrow = 64, wide = 256;
    const bool near = rows * cols < far || cols < 2 * narrow;
    const Index panel = near ? panel_columns(cols) : std::clamp(cols / 2 / narrow * narrow, narrow, wide);
    const Index head = near ? 0 : before_line(written, cols);
    if (cols < 1) return;
    if (DeviceCall::current()) return f(0, cols);
    share(divide_up(head, panel) + divide_up(cols - head, panel), flops * double(rows < 1 ? 1 : rows) * double(cols),
          [&](Index task, void*) {
              const Index begin = task == 0 ? 0 : head > 0 ? head + (task - 1) * panel : task * panel;
              const Index end = task == 0 && head > 0 ? head : std::min(cols, begin + panel);
              f(begin, end - begin);
          });
}
template <class F>
void share_columns(Index rows, Index cols, double flops, const F& f) {
    share_columns(rows, cols, View<char>{}, flops, f);
}

// Columns of a tile of elements.
inline Index run_of(Index cols) noexcept {
    return cols < 1 ? 1 : cols < elements_a_task ? cols : elements_a_task;
}

// Of so many elements that depend on nothing else: work enough to repay a task's call, and in long arrays long runs,
// which the prefetchers like (4 % of a ReLU of a million, Zen 4, November 2026).
inline Index elements_of_task(Index elements, double flops) noexcept {
    constexpr Index step = 1024, most = 4 * elements_a_task, parts = 32;
    constexpr double least_flops = 64 * 1024;
    return std::clamp(std::max(elements / parts, Index(least_flops / flops)) / step * step, step, most);
}

// Elements that depend on nothing else. Matrices without gaps between their rows are one row: then f sees it as such.
template <class F, class... Views>
void share_elements(Index rows, Index cols, double flops, const F& f, const Views&... views) {
    if (((views.ld == cols || rows == 1) && ...)) {
        cols *= rows;
        rows = 1;
        return share_tiles(1, cols, 1, elements_of_task(cols, flops), flops, f);
    }
    share_tiles(rows, cols, elements_a_task / run_of(cols), run_of(cols), flops, f);
}

// The sum of f(tile) over the same tiles, in their order.
template <class F, class... Views>
double sum_elements(Index rows, Index cols, double flops, const F& f, const Views&... views) {
    if (((views.ld == cols || rows == 1) && ...)) {
        cols *= rows;
        rows = 1;
    }
    if (rows < 1 || cols < 1) return 0;
    if (DeviceCall::current()) return f(Tile{0, 0, rows, cols});
    const Index wide = run_of(cols), tall = elements_a_task / wide;
    const Index across = divide_up(cols, wide);
    std::vector<double> sums(size_t(divide_up(rows, tall) * across));
    share_tiles(rows, cols, tall, wide, flops,
                [&](const Tile& t) { sums[size_t(t.row / tall * across + t.col / wide)] = f(t); });
    double total = 0;
    for (const double sum : sums) total += sum;
    return total;
}

}  // namespace fusednet::bindings
