// Random layers. What an element draws depends on its number alone: every table gives the same numbers.

// Elements 4b to 4b + 3 use block b; for normal draws elements 2i and 2i + 1 share two words.
template <bool normal>
FUSEDNET_DEVICE V draw(const Draw& d, Index i, Index j) {
    const uint64_t element = uint64_t(d.first_row + i) * uint64_t(d.width) + uint64_t(d.first_col + j);
    const uint64_t number = element / 4;
    const int k = int(element % 4);
    const uint64_t stream = d.stream + (d.pass ? *d.pass : 0);
    const PhiloxBlock block = philox_rounds(uint32_t(number), uint32_t(number >> 32), stream, d.seed);
    if constexpr (normal) {
        const NormalPair pair =
            k < 2 ? normal_pair(block.word[0], block.word[1]) : normal_pair(block.word[2], block.word[3]);
        return V(k % 2 == 0 ? pair.cosine : pair.sine);
    } else {
        const uint32_t word = k < 2 ? (k == 0 ? block.word[0] : block.word[1]) : k == 2 ? block.word[2] : block.word[3];
        return V(int32_t(word >> 8)) * V(0x1p-24);
    }
}

template <class N>
void noise_forward(const NoiseForward<T>& a) noexcept {
    const N noise(a.params);
    each("noise_forward", a.rows, a.cols, [a, noise] FUSEDNET_DEVICE(Index i, Index j) {
        a.y.row(i)[j] = noise.value(a.x.row(i)[j], draw<N::normal>(a.draw, i, j));
    });
}

template <class N>
void noise_backward(const NoiseBackward<T>& a) noexcept {
    const N noise(a.params);
    each("noise_backward", a.rows, a.cols, [a, noise] FUSEDNET_DEVICE(Index i, Index j) {
        V drawn(0);
        if constexpr (N::gradient_draws) drawn = draw<N::normal>(a.draw, i, j);
        a.dx.row(i)[j] = noise.gradient(a.dy.row(i)[j], drawn);
    });
}

inline void uniform(const UniformArgs<T>& a) noexcept {
    each("uniform", a.rows, a.cols, [a] FUSEDNET_DEVICE(Index i, Index j) {
        a.y.row(i)[j] = V(a.low) + V(a.high - a.low) * draw<false>(a.draw, i, j);
    });
}
