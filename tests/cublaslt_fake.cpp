// cuBLASLt's C interface on the host, for tests: the numbers are those of NVIDIA's reference manual, the product is a
// plain loop over columns. What the real library would refuse is refused.
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

struct Descriptor {
    int compute, scale;
    int32_t transpose_a = 0, transpose_b = 0, epilogue = 1;
    const void* bias = nullptr;
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

constexpr int success = 0, invalid = 7, unsupported = 15;
constexpr int float32 = 0, float64 = 1, bfloat16 = 14;
constexpr int compute_32f = 68, compute_64f = 70, compute_tf32 = 77;
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

bool is_tf32(double x) {
    const float y = float(x);
    uint32_t bits;
    std::memcpy(&bits, &y, sizeof bits);
    return (bits & 0x1fff) == 0;
}

// An algorithm is the magic number and the alignments that were promised.
bool aligned(const void* p, const uint64_t* algorithm, int which) {
    return reinterpret_cast<uintptr_t>(p) % algorithm[1 + which] == 0;
}

}  // namespace

extern "C" {

int fake_calls = 0, fake_choices = 0, fake_serves = 1;

size_t cublasLtGetVersion() {
    return 130002;
}
int cublasLtCreate(void** handle) {
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
        if (size != sizeof d->bias) return invalid;
        std::memcpy(&d->bias, value, size);
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

int cublasLtMatmulAlgoGetHeuristic(void*, Descriptor* d, Layout* a, Layout* b, Layout* c, Layout*, Preference* p,
                                   int asked, Heuristic* results, int* given) {
    *given = 0;
    if (!fits(*d, *a, *b, *c) || asked < 1) return invalid;
    ++fake_choices;
    if (!fake_serves) return unsupported;
    results[0] = {
        {magic, p->alignment[0], p->alignment[1], p->alignment[2], p->alignment[3]}, 1 << 20, success, 1.0f, {}};
    *given = 1;
    return success;
}

int cublasLtMatmul(void*, Descriptor* d, const void* alpha, const void* a, Layout* a_layout, const void* b,
                   Layout* b_layout, const void* beta, const void* c, Layout* c_layout, void* out, Layout*,
                   const uint64_t* algorithm, void* workspace, size_t workspace_bytes, void*) {
    ++fake_calls;
    if (!fits(*d, *a_layout, *b_layout, *c_layout) || c != out || algorithm[0] != magic) return invalid;
    if (!workspace || workspace_bytes < (1 << 20) || (d->epilogue == 4) != (d->bias != nullptr)) return invalid;
    if (!aligned(a, algorithm, 0) || !aligned(b, algorithm, 1) || !aligned(c, algorithm, 2) ||
        !aligned(out, algorithm, 3))
        return invalid;
    const bool wide = c_layout->type == float64;
    const auto scalar = [&](const void* p) {
        return wide ? *static_cast<const double*>(p) : double(*static_cast<const float*>(p));
    };
    const uint64_t inner = d->transpose_a ? a_layout->rows : a_layout->cols;
    for (uint64_t j = 0; j < c_layout->cols; ++j)
        for (uint64_t i = 0; i < c_layout->rows; ++i) {
            double sum = 0;
            for (uint64_t l = 0; l < inner; ++l) {
                const double x = element(a, *a_layout, d->transpose_a, i, l),
                             y = element(b, *b_layout, d->transpose_b, l, j);
                if (d->compute == compute_tf32 && !(is_tf32(x) && is_tf32(y))) return invalid;
                sum += x * y;
            }
            sum *= scalar(alpha);
            const uint64_t at = i + j * uint64_t(c_layout->ld);
            if (scalar(beta) != 0) sum += scalar(beta) * element(c, *c_layout, false, i, j);
            if (d->epilogue == 4)
                sum += wide ? static_cast<const double*>(d->bias)[i] : double(static_cast<const float*>(d->bias)[i]);
            if (wide)
                static_cast<double*>(out)[at] = sum;
            else
                static_cast<float*>(out)[at] = float(sum);
        }
    return success;
}

}  // extern "C"
