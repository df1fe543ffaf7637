// Float32 products of fewer bits by the library, which gets operands rewritten for it. Included after products.h.

// op(M) (height, width) as M lies: rows of `cols` contiguous elements.
struct Stored {
    Index rows, cols;
    View<const float> from;
    Stored(const LibraryProduct::Matrix& m, Index height, Index width)
        : rows(m.transposed ? height : width),
          cols(m.transposed ? width : height),
          from{static_cast<const float*>(m.data), m.ld} {}
};

// Rows begin at multiples of 16 bytes, the whole ends at one of 256.
template <class A>
struct Rewritten {
    Index ld, size;
    explicit Rewritten(const Stored& s) : ld(multiple(s.cols, 16)), size(multiple(s.rows * ld, 256)) {}
    static Index multiple(Index n, Index bytes) {
        return divide_up(n * Index(sizeof(A)), bytes) * bytes / Index(sizeof(A));
    }
};

// The nearest bfloat16, ties to even.
FUSEDNET_DEVICE inline uint16_t bfloat16_of(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if (!(x == x)) return uint16_t(bits >> 16 | 0x40);
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The nearest number of 11 significant bits, ties to even. Infinities and NaN stay, and nothing becomes infinite.
FUSEDNET_DEVICE inline float tf32_of(float x) {
    constexpr uint32_t dropped = 0x1fff, exponent = 0x7f800000;
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if ((bits & exponent) == exponent) return x;
    const uint32_t nearest = (bits + 0xfff + (bits >> 13 & 1)) & ~dropped;
    return __builtin_bit_cast(float, (nearest & exponent) == exponent ? bits & ~dropped : nearest);
}

inline void to_bfloat16(const Stored& s, uint16_t* to, Index ld) noexcept {
    const View<const float> from = s.from;
    each("to_bfloat16", s.rows, s.cols,
         [=] FUSEDNET_DEVICE(Index i, Index j) { to[i * ld + j] = bfloat16_of(from.row(i)[j]); });
}

// x = high + low + what 22 bits leave over.
inline void to_two_parts(const Stored& s, float* high, float* low, Index ld) noexcept {
    const View<const float> from = s.from;
    each("to_two_parts", s.rows, s.cols, [=] FUSEDNET_DEVICE(Index i, Index j) {
        const float x = from.row(i)[j], h = tf32_of(x), rest = x - h;
        high[i * ld + j] = h;
        low[i * ld + j] = rest == rest ? tf32_of(rest) : 0.0f;  // infinities have no rest
    });
}

inline bool product_of_bfloat16(const LibraryProduct& whole) noexcept {
    LibraryProduct p = whole;
    const Stored a(p.a, p.rows, p.inner), b(p.b, p.inner, p.cols);
    const Rewritten<uint16_t> at_a(a), at_b(b);
    auto* const to = workspace<uint16_t>(Space::operands, at_a.size + at_b.size);
    to_bfloat16(a, to, at_a.ld);
    to_bfloat16(b, to + at_a.size, at_b.ld);
    p.a = {to, p.a.transposed, at_a.ld};
    p.b = {to + at_a.size, p.b.transposed, at_b.ld};
    p.operands = Operands::bfloat16;
    return library_product(p);
}

// Three products of TF32 parts; that of the low parts is left out, the small ones come first.
inline bool product_of_two_parts(const LibraryProduct& whole) noexcept {
    const Stored a(whole.a, whole.rows, whole.inner), b(whole.b, whole.inner, whole.cols);
    const Rewritten<float> at_a(a), at_b(b);
    float* const a_high = workspace<float>(Space::operands, 2 * (at_a.size + at_b.size));
    float *const a_low = a_high + at_a.size, *const b_high = a_low + at_a.size, *const b_low = b_high + at_b.size;
    to_two_parts(a, a_high, a_low, at_a.ld);
    to_two_parts(b, b_high, b_low, at_b.ld);
    const auto multiply = [&](const float* a_part, const float* b_part, bool first) noexcept {
        LibraryProduct p = whole;
        p.a = {a_part, p.a.transposed, at_a.ld};
        p.b = {b_part, p.b.transposed, at_b.ld};
        p.operands = Operands::tf32;
        if (!first) {
            p.bias = nullptr;
            p.accumulate = true;
        }
        return library_product(p);
    };
    if (!multiply(a_low, b_high, true)) return false;
    if (!multiply(a_high, b_low, false) || !multiply(a_high, b_high, false))
        note_failure("product by cuBLASLt", "one of three parts is not served");
    return true;
}
