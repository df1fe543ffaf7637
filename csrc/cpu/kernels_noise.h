// Random layers. What an element draws depends on its number alone, so any split of rows and columns, any instruction
// set and any scalar type give the same numbers.

constexpr Index draw_blocks = 4 * draw_run;  // of four words each

// Columns of one row whose draws stand in the buffer, from `at` on.
struct DrawnRun {
    Index row, col, cols, at;
};

struct DrawBuffer {
    alignas(64) uint32_t low[draw_blocks] = {}, high[draw_blocks] = {};  // the blocks' numbers
    alignas(64) uint32_t word[4 * draw_blocks];
    alignas(64) T draw[4 * draw_blocks];
};

// Elements 4b to 4b + 3 use block b; for normal draws elements 2i and 2i + 1 share two words.
template <bool normal>
void fill_draws(DrawBuffer& buffer, Index blocks, const Draw& d) {
    for (Index b = 0; b < blocks; b += draw_run)
        draw_words(buffer.low + b, buffer.high + b, d.stream, d.seed, buffer.word + 4 * b);
    const Index end = 4 * ((blocks + draw_run - 1) / draw_run * draw_run);
    const uint32_t* word = buffer.word;
    T* draw = buffer.draw;
    if constexpr (normal) {
        for (Index k = 0; k < end; k += 2) {
            const NormalPair pair = normal_pair(word[k], word[k + 1]);
            draw[k] = T(pair.cosine);
            draw[k + 1] = T(pair.sine);
        }
    } else {
        for (Index k = 0; k < end; ++k) draw[k] = T(int32_t(word[k] >> 8)) * T(0x1p-24);
    }
}

// Calls f(run, draws of its columns) until every element has been in one run. Runs of many short rows are drawn
// together, so that the vectors are full.
template <bool normal, class F>
FUSEDNET_INLINE void for_draws(Index rows, Index cols, const Draw& d, const F& f) {
    DrawBuffer buffer;
    DrawnRun runs[draw_blocks];
    Index count = 0, blocks = 0;
    const auto flush = [&]() FUSEDNET_INLINE_LAMBDA {
        fill_draws<normal>(buffer, blocks, d);
        for (Index r = 0; r < count; ++r) f(runs[r], buffer.draw + runs[r].at);
        count = blocks = 0;
    };
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < cols;) {
            const uint64_t element = uint64_t(d.first_row + i) * uint64_t(d.width) + uint64_t(d.first_col + j);
            const Index skip = Index(element % 4), room = 4 * (draw_blocks - blocks) - skip;
            const Index n = cols - j < room ? cols - j : room;
            const Index needs = (skip + n + 3) / 4;
            for (Index b = 0; b < needs; ++b) {
                const uint64_t number = element / 4 + uint64_t(b);
                buffer.low[blocks + b] = uint32_t(number);
                buffer.high[blocks + b] = uint32_t(number >> 32);
            }
            runs[count++] = {i, j, n, 4 * blocks + skip};
            blocks += needs;
            j += n;
            if (blocks == draw_blocks) flush();
        }
    flush();
}

template <class N>
void noise_forward(const NoiseForward<T>& a) noexcept {
    const N noise(a.params);
    for_draws<N::normal>(a.rows, a.cols, a.draw, [&](const DrawnRun& run, const T* draw) FUSEDNET_INLINE_LAMBDA {
        const T* x = a.x.row(run.row) + run.col;
        T* y = a.y.row(run.row) + run.col;
        for_vectors(run.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(y + j, noise.value(load(x + j, part), load(draw + j, part)), part);
        });
    });
}

template <class N>
void noise_backward(const NoiseBackward<T>& a) noexcept {
    const N noise(a.params);
    if constexpr (!N::gradient_draws) {
        for (Index i = 0; i < a.rows; ++i) {
            const T* dy = a.dy.row(i);
            T* dx = a.dx.row(i);
            for_vectors(a.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
                store(dx + j, noise.gradient(load(dy + j, part), V(0)), part);
            });
        }
        return;
    }
    for_draws<N::normal>(a.rows, a.cols, a.draw, [&](const DrawnRun& run, const T* draw) FUSEDNET_INLINE_LAMBDA {
        const T* dy = a.dy.row(run.row) + run.col;
        T* dx = a.dx.row(run.row) + run.col;
        for_vectors(run.cols, [&](Index j, auto part) FUSEDNET_INLINE_LAMBDA {
            store(dx + j, noise.gradient(load(dy + j, part), load(draw + j, part)), part);
        });
    });
}

inline void uniform(const UniformArgs<T>& a) noexcept {
    const V low(a.low), range(a.high - a.low);
    for_draws<false>(a.rows, a.cols, a.draw, [&](const DrawnRun& run, const T* draw) FUSEDNET_INLINE_LAMBDA {
        T* y = a.y.row(run.row) + run.col;
        for_vectors(run.cols, [&](Index j, auto part)
                                  FUSEDNET_INLINE_LAMBDA { store(y + j, low + range * load(draw + j, part), part); });
    });
}
