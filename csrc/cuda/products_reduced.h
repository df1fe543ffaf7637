// Float32 products of fewer bits by the library, which gets operands rewritten for it. Included after products.h.

// Where an operand is rewritten to: rows begin at multiples of 16 bytes, the whole ends at one of 256.
template <class A>
struct Rewritten {
    Index ld, size;
    Rewritten(Index rows, Index cols) : ld(multiple(cols, 16)), size(multiple(rows * ld, 256)) {}
    static Index multiple(Index n, Index bytes) {
        return divide_up(n * Index(sizeof(A)), bytes) * bytes / Index(sizeof(A));
    }
};

inline View<const float> view_of(const LibraryProduct::Matrix& m) {
    return {static_cast<const float*>(m.data), m.ld};
}

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

inline void to_bfloat16(Index rows, Index cols, View<const float> from, View<uint16_t> to) noexcept {
    flatten(rows, cols, from, to);
    each_piece("to_bfloat16", rows, cols, columns_in_pieces(rows, cols, from, to), [=] FUSEDNET_DEVICE(const auto& at) {
        const auto x = at.load(from);
        Pack<uint16_t, at.count> rounded;
        FUSEDNET_UNROLL
        for (int k = 0; k < at.count; ++k) rounded[k] = bfloat16_of(x[k]);
        at.store(to, rounded);
    });
}

inline Served product_of_bfloat16(const LibraryProduct& whole) noexcept {
    LibraryProduct p = whole;
    p.a_sums = nullptr;  // they would be sums of what is rounded
    const Index a_rows = p.a.transposed ? p.rows : p.inner, a_cols = p.a.transposed ? p.inner : p.rows;
    const Index b_rows = p.b.transposed ? p.inner : p.cols, b_cols = p.b.transposed ? p.cols : p.inner;
    const Rewritten<uint16_t> at_a(a_rows, a_cols), at_b(b_rows, b_cols);
    auto* const a = workspace<uint16_t>(Space::operands, at_a.size + at_b.size);
    auto* const b = a + at_a.size;
    to_bfloat16(a_rows, a_cols, view_of(p.a), {a, at_a.ld});
    to_bfloat16(b_rows, b_cols, view_of(p.b), {b, at_b.ld});
    p.a = {a, p.a.transposed, at_a.ld};
    p.b = {b, p.b.transposed, at_b.ld};
    p.operands = Operands::bfloat16;
    return library_product(p);
}

// x = high + low + what 22 bits leave over.
struct TwoParts {
    View<float> high, low;

    template <int n>
    FUSEDNET_DEVICE void store(const Piece<n>& at, const Pack<float, n>& x) const {
        Pack<float, n> h, l;
        FUSEDNET_UNROLL
        for (int k = 0; k < n; ++k) {
            h[k] = tf32_of(x[k]);
            const float rest = x[k] - h[k];
            l[k] = rest == rest ? tf32_of(rest) : 0.0f;  // infinities have no rest
        }
        at.store(high, h);
        at.store(low, l);
    }
};

// The same of a matrix (rows, cols) turned over: parts (cols, rows). A block has 64 x 64 of it.
struct TurnedParts {
    static constexpr int tile = 64, threads = 256, across = tile / piece, deep = threads / across, turns = tile / deep;
    struct Shared {
        float x[tile][tile + 1];  // a column's elements lie in different banks
    };
    using Local = Nothing;
    Index rows, cols;
    View<const float> from;
    bool packs;
    TwoParts to;

    FUSEDNET_DEVICE constexpr int steps() const { return 2; }
    FUSEDNET_DEVICE void run(int step, const Thread& t, Shared& shared, Local&) const {
        const Index tiles = divide_up(cols, tile), row = t.block / tiles * tile, col = t.block % tiles * tile;
        const int x = t.index % across * piece, y = t.index / across;
        if (step == 0) {
            Pack<float, piece> loaded[turns];
            FUSEDNET_UNROLL
            for (int k = 0; k < turns; ++k) loaded[k] = load({row + y + k * deep, col + x});
            FUSEDNET_UNROLL
            for (int k = 0; k < turns; ++k)
                for (int v = 0; v < piece; ++v) shared.x[y + k * deep][x + v] = loaded[k][v];
        } else if (row + x < rows) {  // what a pack has beyond the last row is padding
            FUSEDNET_UNROLL
            for (int k = 0; k < turns; ++k) {
                const int j = y + k * deep;
                if (col + j >= cols) break;
                Pack<float, piece> column;
                for (int v = 0; v < piece; ++v) column[v] = shared.x[x + v][j];
                to.store(Piece<piece>{col + j, row + x}, column);
            }
        }
    }

private:
    FUSEDNET_DEVICE Pack<float, piece> load(const Piece<piece>& at) const {
        if (packs && at.i < rows && at.j + piece <= cols) return at.load(from);
        Pack<float, piece> x = {};
        for (int v = 0; v < piece; ++v)
            if (at.i < rows && at.j + v < cols) x[v] = from.row(at.i)[at.j + v];
        return x;
    }
};

// Of op(M) (rows, inner), along `inner`: the tensor cores' products of TF32 are slower of operands that lie otherwise.
inline void to_two_parts(const LibraryProduct::Matrix& m, bool lies_so, Index rows, Index inner,
                         const TwoParts& to) noexcept {
    const View<const float> from = view_of(m);
    if (!lies_so) {
        const Index blocks = divide_up(inner, TurnedParts::tile) * divide_up(rows, TurnedParts::tile);
        const bool packs = has_packs(from.data, inner, from.ld * Index(sizeof(float)));
        return launch("to_two_parts", blocks, TurnedParts{inner, rows, from, packs, to});
    }
    each_piece("to_two_parts", rows, inner, columns_in_pieces(rows, inner, from, to.high, to.low),
               [=] FUSEDNET_DEVICE(const auto& at) { to.store(at, at.load(from)); });
}

// Three products of TF32 parts; that of the low parts is left out, the small ones come first, with the bias. So the
// last one leaves z, and may have a ReLU.
inline Served product_of_two_parts(const LibraryProduct& whole) noexcept {
    const Rewritten<float> at_a(whole.rows, whole.inner), at_b(whole.cols, whole.inner);
    float* const a_high = workspace<float>(Space::operands, 2 * (at_a.size + at_b.size));
    float *const a_low = a_high + at_a.size, *const b_high = a_low + at_a.size, *const b_low = b_high + at_b.size;
    to_two_parts(whole.a, whole.a.transposed, whole.rows, whole.inner, {{a_high, at_a.ld}, {a_low, at_a.ld}});
    to_two_parts(whole.b, !whole.b.transposed, whole.cols, whole.inner, {{b_high, at_b.ld}, {b_low, at_b.ld}});
    const auto multiply = [&](const float* a_part, const float* b_part, bool first, bool last) noexcept {
        LibraryProduct p = whole;
        p.a = {a_part, true, at_a.ld};
        p.b = {b_part, false, at_b.ld};
        p.operands = Operands::tf32;
        p.relu = whole.relu && last;
        p.a_sums = nullptr;
        if (!first) {
            p.bias = nullptr;
            p.accumulate = true;
        }
        return library_product(p);
    };
    if (!multiply(a_low, b_high, true, false).product) return {};
    const bool second = multiply(a_high, b_low, false, false).product;
    Served served = multiply(a_high, b_high, false, true);
    if (!second || !served.product) note_failure("product by cuBLASLt", "one of three parts is not served");
    served.product = true;
    return served;
}
