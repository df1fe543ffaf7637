// Random layers. What an element draws depends on its number alone: every table gives the same numbers.

// Elements 4b to 4b + 3 use block b; for normal draws elements 2i and 2i + 1 share two words.
template <bool normal, int n>
FUSEDNET_DEVICE Pack<T, n> draw(const Draw& d, const Piece<n>& at) {
    static_assert(n <= 4);
    const uint64_t element = uint64_t(d.first_row + at.i) * uint64_t(d.width) + uint64_t(d.first_col + at.j);
    const uint64_t number = element / 4, stream = d.stream + (d.pass ? *d.pass : 0);
    const int first = int(element % 4);
    const auto block = [&](uint64_t b) { return philox_rounds(uint32_t(b), uint32_t(b >> 32), stream, d.seed); };
    const PhiloxBlock own = block(number);
    PhiloxBlock next = own;
    if (first + n > 4) next = block(number + 1);
    Pack<T, n> drawn;
    NormalPair pair = {};
    FUSEDNET_UNROLL
    for (int v = 0; v < n; ++v) {
        const PhiloxBlock& from = first + v < 4 ? own : next;
        const int k = (first + v) % 4;
        if constexpr (normal) {
            if (v == 0 || k % 2 == 0)
                pair = k < 2 ? normal_pair(from.word[0], from.word[1]) : normal_pair(from.word[2], from.word[3]);
            drawn[v] = V(k % 2 == 0 ? pair.cosine : pair.sine);
        } else {
            const uint32_t word = k < 2 ? (k == 0 ? from.word[0] : from.word[1]) : k == 2 ? from.word[2] : from.word[3];
            drawn[v] = V(int32_t(word >> 8)) * V(0x1p-24);
        }
    }
    return drawn;
}

template <class N>
void noise_forward(const NoiseForward<T>& a) noexcept {
    const N noise(a.params);
    each_piece("noise_forward", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.x, a.y),
               [a, noise] FUSEDNET_DEVICE(const auto& at) {
                   auto y = at.load(a.x);
                   const auto drawn = draw<N::normal>(a.draw, at);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) y[k] = noise.value(y[k], drawn[k]);
                   at.store(a.y, y);
               });
}

template <class N>
void noise_backward(const NoiseBackward<T>& a) noexcept {
    const N noise(a.params);
    each_piece("noise_backward", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.dy, a.dx),
               [a, noise] FUSEDNET_DEVICE(const auto& at) {
                   auto dx = at.load(a.dy), drawn = dx;
                   if constexpr (N::gradient_draws) drawn = draw<N::normal>(a.draw, at);
                   FUSEDNET_UNROLL
                   for (int k = 0; k < at.count; ++k) dx[k] = noise.gradient(dx[k], drawn[k]);
                   at.store(a.dx, dx);
               });
}

inline void uniform(const UniformArgs<T>& a) noexcept {
    each_piece("uniform", a.rows, a.cols, columns_in_pieces(a.rows, a.cols, a.y), [a] FUSEDNET_DEVICE(const auto& at) {
        auto y = draw<false>(a.draw, at);
        FUSEDNET_UNROLL
        for (int k = 0; k < at.count; ++k) y[k] = V(a.low) + V(a.high - a.low) * y[k];
        at.store(a.y, y);
    });
}
