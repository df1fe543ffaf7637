// cuBLASLt's C interface on the host, for tests: the numbers are those of NVIDIA's reference manual, the product is a
// plain loop over columns. What the real library would refuse is refused.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

// Where a product is left for later: the emulated device's queue.
struct CUstream_st {
    void (*enqueue)(const std::function<void()>& work);
};

namespace {

struct Descriptor {
    int compute, scale;
    int32_t transpose_a = 0, transpose_b = 0, epilogue = 1;
    void* vector = nullptr;  // a bias that is read, or sums that are written
};
struct Layout {
    int type;
    uint64_t rows, cols;
    int64_t ld;
};
struct Preference {
    uint64_t workspace = 0;
    uint32_t alignment[4] = {256, 256, 256, 256};
};
struct Heuristic {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

constexpr int success = 0, not_initialized = 1, invalid = 7, unsupported = 15;
constexpr int float32 = 0, float64 = 1, bfloat16 = 14;
constexpr int compute_32f = 68, compute_64f = 70, compute_tf32 = 77;
constexpr int32_t plain = 1, relu = 2, bias = 4, relu_bias = 6, bias_gradient_a = 256;
constexpr uint64_t magic = 0xf05edull;

double element(const void* data, const Layout& layout, bool transposed, uint64_t i, uint64_t j) {
    const uint64_t at = transposed ? j + i * uint64_t(layout.ld) : i + j * uint64_t(layout.ld);
    if (layout.type == float64) return static_cast<const double*>(data)[at];
    if (layout.type == float32) return double(static_cast<const float*>(data)[at]);
    const uint32_t bits = uint32_t(static_cast<const uint16_t*>(data)[at]) << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return double(x);
}

// NaN may be anything: after a refused step a product's operands are what another has left.
bool is_tf32(double x) {
    const float y = float(x);
    uint32_t bits;
    std::memcpy(&bits, &y, sizeof bits);
    return (bits & 0x1fff) == 0 || x != x;
}

// An algorithm is the magic number, the alignments that were promised, that of the vector that the descriptor had, and
// the epilogue.
bool aligned(const void* p, const uint64_t* algorithm, int which) {
    return reinterpret_cast<uintptr_t>(p) % algorithm[1 + which] == 0;
}
uint64_t alignment_of(const void* p) {
    uint64_t alignment = 256;
    while (reinterpret_cast<uintptr_t>(p) % alignment) alignment /= 2;
    return alignment;
}
void put(void* to, int type, uint64_t at, double x) {
    if (type == float64)
        static_cast<double*>(to)[at] = x;
    else
        static_cast<float*>(to)[at] = float(x);
}

// D = epilogue(alpha op(A) op(B) + beta C), with all that it needs: it may be computed later.
struct Product {
    Descriptor d;
    Layout a_layout, b_layout, c_layout;
    const void *a, *b, *c;
    void* out;
    double alpha, beta;

    bool compute() const {
        const uint64_t inner = d.transpose_a ? a_layout.rows : a_layout.cols;
        const auto from_a = [&](uint64_t i, uint64_t l) { return element(a, a_layout, d.transpose_a, i, l); };
        for (uint64_t j = 0; j < c_layout.cols; ++j)
            for (uint64_t i = 0; i < c_layout.rows; ++i) {
                double sum = 0;
                for (uint64_t l = 0; l < inner; ++l) {
                    const double x = from_a(i, l), y = element(b, b_layout, d.transpose_b, l, j);
                    if (d.compute == compute_tf32 && !(is_tf32(x) && is_tf32(y))) return false;
                    sum += x * y;
                }
                sum *= alpha;
                if (beta != 0) sum += beta * element(c, c_layout, false, i, j);
                if (d.epilogue == bias || d.epilogue == relu_bias)
                    sum += element(d.vector, {c_layout.type, c_layout.rows, 1, int64_t(c_layout.rows)}, false, i, 0);
                if (d.epilogue == relu || d.epilogue == relu_bias) sum = sum > 0 ? sum : 0;  // of NaN, too
                put(out, c_layout.type, i + j * uint64_t(c_layout.ld), sum);
            }
        for (uint64_t i = 0; d.epilogue == bias_gradient_a && i < c_layout.rows; ++i) {
            double sum = 0;
            for (uint64_t l = 0; l < inner; ++l) sum += from_a(i, l);
            put(d.vector, c_layout.type, i, sum);
        }
        return true;
    }
};

}  // namespace

extern "C" {

int fake_calls = 0, fake_choices = 0, fake_serves = 1;
int fake_refuses = 0;  // whether it cannot be opened
void (*fake_opened)() = nullptr;
int fake_lacks = 0;        // bits of the epilogues that it does not have
int fake_epilogues[4096];  // of the calls, the latest at (fake_calls - 1) % 4096

size_t cublasLtGetVersion() {
    return 130002;
}
int cublasLtCreate(void** handle) {
    if (fake_opened) fake_opened();
    if (fake_refuses) return not_initialized;
    *handle = &fake_calls;
    return success;
}
int cublasLtMatmulDescCreate(Descriptor** d, int compute, int scale) {
    *d = new Descriptor{compute, scale};
    return success;
}
int cublasLtMatmulDescDestroy(Descriptor* d) {
    delete d;
    return success;
}
int cublasLtMatmulDescSetAttribute(Descriptor* d, int attribute, const void* value, size_t size) {
    void* to = attribute == 3   ? &d->transpose_a
               : attribute == 4 ? &d->transpose_b
               : attribute == 7 ? &d->epilogue
                                : nullptr;
    if (attribute == 8) {
        if (size != sizeof d->vector) return invalid;
        std::memcpy(&d->vector, value, size);
        return success;
    }
    if (!to || size != 4) return invalid;
    std::memcpy(to, value, size);
    return success;
}
int cublasLtMatrixLayoutCreate(Layout** l, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    if (ld < int64_t(rows)) return invalid;
    *l = new Layout{type, rows, cols, ld};
    return success;
}
int cublasLtMatrixLayoutDestroy(Layout* l) {
    delete l;
    return success;
}
int cublasLtMatmulPreferenceCreate(Preference** p) {
    *p = new Preference;
    return success;
}
int cublasLtMatmulPreferenceDestroy(Preference* p) {
    delete p;
    return success;
}
int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t size) {
    if (attribute == 1 && size == 8)
        std::memcpy(&p->workspace, value, size);
    else if (attribute >= 5 && attribute <= 8 && size == 4)
        std::memcpy(&p->alignment[attribute - 5], value, size);
    else
        return invalid;
    return success;
}

static bool fits(const Descriptor& d, const Layout& a, const Layout& b, const Layout& c) {
    const uint64_t a_rows = d.transpose_a ? a.cols : a.rows, a_cols = d.transpose_a ? a.rows : a.cols;
    const uint64_t b_rows = d.transpose_b ? b.cols : b.rows, b_cols = d.transpose_b ? b.rows : b.cols;
    if (a_rows != c.rows || a_cols != b_rows || b_cols != c.cols || a.type != b.type) return false;
    if (c.type == float64) return a.type == float64 && d.compute == compute_64f && d.scale == float64;
    if (c.type != float32 || d.scale != float32) return false;
    return a.type == bfloat16 ? d.compute == compute_32f
                              : a.type == float32 && (d.compute == compute_32f || d.compute == compute_tf32);
}
// Epilogues with a vector, and what NVIDIA's own tests leave out: the sums of an A that is transposed.
static bool has(const Descriptor& d) {
    if (d.epilogue == plain || d.epilogue == relu) return !d.vector;
    if (d.epilogue == bias_gradient_a && d.transpose_a) return false;
    return d.vector && (d.epilogue == bias || d.epilogue == relu_bias || d.epilogue == bias_gradient_a);
}

int cublasLtMatmulAlgoGetHeuristic(void*, Descriptor* d, Layout* a, Layout* b, Layout* c, Layout*, Preference* p,
                                   int asked, Heuristic* results, int* given) {
    *given = 0;
    if (!fits(*d, *a, *b, *c) || asked < 1) return invalid;
    ++fake_choices;
    if (!has(*d)) return invalid;
    if (!fake_serves || (d->epilogue & fake_lacks)) return unsupported;
    results[0] = {{magic, p->alignment[0], p->alignment[1], p->alignment[2], p->alignment[3], alignment_of(d->vector),
                   uint64_t(d->epilogue)},
                  1 << 20,
                  success,
                  1.0f,
                  {}};
    *given = 1;
    return success;
}

int cublasLtMatmul(void*, Descriptor* d, const void* alpha, const void* a, Layout* a_layout, const void* b,
                   Layout* b_layout, const void* beta, const void* c, Layout* c_layout, void* out, Layout*,
                   const uint64_t* algorithm, void* workspace, size_t workspace_bytes, CUstream_st* stream) {
    fake_epilogues[fake_calls++ % 4096] = d->epilogue;
    if (!fits(*d, *a_layout, *b_layout, *c_layout) || c != out || algorithm[0] != magic) return invalid;
    if (!workspace || workspace_bytes < (1 << 20) || !has(*d)) return invalid;
    if (!aligned(a, algorithm, 0) || !aligned(b, algorithm, 1) || !aligned(c, algorithm, 2) ||
        !aligned(out, algorithm, 3) || !aligned(d->vector, algorithm, 4) || algorithm[6] != uint64_t(d->epilogue))
        return invalid;
    const auto scalar = [&](const void* p) {
        return c_layout->type == float64 ? *static_cast<const double*>(p) : double(*static_cast<const float*>(p));
    };
    const Product product{*d, *a_layout, *b_layout, *c_layout, a, b, c, out, scalar(alpha), scalar(beta)};
    if (d->epilogue == bias_gradient_a && product.beta != 0) return invalid;  // nothing is said of it
    if (!stream) return product.compute() ? success : invalid;
    stream->enqueue([product] {
        if (!product.compute()) std::abort();
    });
    return success;
}

}  // extern "C"
