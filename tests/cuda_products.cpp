// The device's products on the host: kernels run as loops, the library is the one that FUSEDNET_CUBLASLT names. Prints
// a line for each case: what was asked, the calls of the library, the largest error relative to sum |a| |b|.
#include <dlfcn.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../csrc/cuda/cublaslt.h"
#include "../csrc/cuda/program.h"
#include "../csrc/cuda/runtime.h"
#include "../csrc/cuda/target.h"

namespace fusednet::cuda {

namespace {
char failure[256];
}

CUstream_st* stream() noexcept {
    return nullptr;
}
bool failed() noexcept {
    return failure[0] != 0;
}
void note_failure(const char* what, const char* why) noexcept {
    std::snprintf(failure, sizeof failure, "%s: %s", what, why);
}
void* workspace_bytes(Space space, size_t bytes) noexcept {
    static std::vector<char> held[int(Space::count)];
    auto& memory = held[int(space)];
    if (memory.size() < bytes + 256) memory.resize(bytes + 256);
    std::memset(memory.data(), 0xff, memory.size());
    return memory.data() + (256 - reinterpret_cast<uintptr_t>(memory.data()) % 256) % 256;
}
namespace {
bool is_recording = false;
int refusals = 0;
}  // namespace
bool recording() noexcept {
    return is_recording;
}
void refuse_recording() noexcept {
    ++refusals;
}
// At once, as a launch of its own.
struct Sharing {
    Index places = 0;
    bool backwards = false;
};
template <class Work>
void enqueue(const Work& work, bool) {
    work(Sharing{});
}

namespace float32 {
#include "../csrc/cuda/launch.h"
#include "../csrc/cuda/vec_float.h"
//
#include "../csrc/cuda/loops.h"
//
#include "../csrc/cuda/gemm.h"
#include "../csrc/cuda/products.h"
#include "../csrc/cuda/products_reduced.h"
constexpr Product<T> products[] = {product<product_as_is>, product<product_of_two_parts>, product<product_of_bfloat16>};
}  // namespace float32

namespace float64 {
#include "../csrc/cpu/vec_float64.h"
#include "../csrc/cuda/launch.h"
//
#include "../csrc/cuda/loops.h"
//
#include "../csrc/cuda/gemm.h"
#include "../csrc/cuda/products.h"
constexpr Product<T> products[] = {product<product_as_is>};
}  // namespace float64

namespace {

double drawn(uint32_t& state) {
    state = state * 1664525u + 1013904223u;
    return double(state >> 8) / double(1 << 23) - 1;
}

template <class T>
void negate(const ActivationForward<T>& a) noexcept {
    for (Index i = 0; i < a.rows; ++i)
        for (Index j = 0; j < a.cols; ++j) a.y.row(i)[j] = -a.x.row(i)[j];
}

struct Case {
    Index m, n, k;
    bool a_turned, b_turned, accumulate, bias, epilogue;
    Index gap;     // beyond a row, filled with NaN
    Index spread;  // 2: A has no unit stride
};

template <class T>
void run(const char* name, Product<T> product, const Case& c, const int* calls) {
    uint32_t state = 12345;
    const auto matrix = [&](Index rows, Index cols, bool turned, Index spread, Index& row, Index& col) {
        const Index inner = (turned ? rows : cols) * spread + c.gap;
        row = turned ? spread : inner;
        col = turned ? inner : spread;
        std::vector<T> x(size_t(inner * (turned ? cols : rows)), T(NAN));
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < cols; ++j) x[size_t(i * row + j * col)] = T(drawn(state));
        return x;
    };
    Gemm<T> g = {};
    Index c_row = 0, c_col = 0;
    const auto a = matrix(c.m, c.k, c.a_turned, c.spread, g.a_row, g.a_col);
    const auto b = matrix(c.k, c.n, c.b_turned, 1, g.b_row, g.b_col);
    auto out = matrix(c.m, c.n, false, 1, c_row, c_col);
    auto y = out;
    std::vector<T> bias(size_t(c.n));
    for (T& x : bias) x = T(drawn(state));
    const auto before = out;
    g.m = c.m, g.n = c.n, g.k = c.k;
    g.a = a.data(), g.b = b.data(), g.c = {out.data(), c_row};
    g.bias = c.bias ? bias.data() : nullptr;
    g.accumulate = c.accumulate;
    if (c.epilogue) g.epilogue = negate<T>, g.y = {y.data(), c_row};
    const int calls_before = *calls, refusals_before = refusals;
    product(g);
    double worst = 0;
    for (Index i = 0; i < c.m; ++i)
        for (Index j = 0; j < c_row; ++j) {
            const size_t at = size_t(i * c_row + j);
            if (j >= c.n) {  // the gap is left alone
                if (!std::isnan(double(out[at]))) worst = INFINITY;
                continue;
            }
            double sum = (c.accumulate ? double(before[at]) : 0.0) + (c.bias ? double(bias[size_t(j)]) : 0.0), size = 1;
            for (Index l = 0; l < c.k; ++l) {
                const double term =
                    double(a[size_t(i * g.a_row + l * g.a_col)]) * double(b[size_t(l * g.b_row + j * g.b_col)]);
                sum += term;
                size += std::fabs(term);
            }
            const double error = std::fabs(double(out[at]) - sum) / size;
            worst = error > worst || !(error == error) ? error : worst;
            if (c.epilogue && !(y[at] == -out[at])) worst = INFINITY;
        }
    std::printf("%s %td %td %td %d%d%d%d%d %td %td calls %d refused %d error %.3g\n", name, c.m, c.n, c.k, c.a_turned,
                c.b_turned, c.accumulate, c.bias, c.epilogue, c.gap, c.spread, *calls - calls_before,
                refusals - refusals_before, worst);
}

// How many places of a thread are not those that its numbers have, in arrays of more elements than 32 bits count.
Index misplaced() {
    Index wrong = 0;
    for (const Index cols : {Index(1), Index(7), Index(4096), Index(INT32_MAX), Index(3) << 33})
        for (const Index first : {Index(0), Index(6), Index(4097), Index(UINT32_MAX), Index(5) << 34})
            for (const Index stride : {Index(1), Index(7), Index(2162688), Index(1) << 33}) {
                Index number = first;
                float32::Places p(first, stride, first / cols + 3, cols);
                for (int turn = 0; turn < 5; ++turn, number += stride, p.next())
                    wrong += p.i != number / cols || p.j != number % cols || p.inside() != (p.i < first / cols + 3);
            }
    return wrong;
}

}  // namespace
}  // namespace fusednet::cuda

int main(int count, char** arguments) {
    using namespace fusednet::cuda;
    static const int none = 0;
    const int* calls = &none;
    const char* path = std::getenv("FUSEDNET_CUBLASLT");
    if (void* fake = path ? dlopen(path, RTLD_NOW) : nullptr) {
        if (const void* symbol = dlsym(fake, "fake_calls")) calls = static_cast<const int*>(symbol);
        if (count > 1 && !std::strcmp(arguments[1], "unserved")) *static_cast<int*>(dlsym(fake, "fake_serves")) = 0;
    }
    is_recording = count > 1 && !std::strcmp(arguments[1], "recorded");
    std::printf("text %s\n", library_text());
    std::printf("misplaced %td\n", misplaced());
    const char* const names[] = {"highest", "high", "medium"};
    for (int bits = 0; bits < 32; ++bits)
        for (const fusednet::Index gap : {0, 3}) {
            const Case large = {
                130, 127, 129, bool(bits & 1), bool(bits & 2), bool(bits & 4), bool(bits & 8), bool(bits & 16), gap, 1};
            for (int p = 0; p < 3; ++p) run(names[p], float32::products[p], large, calls);
            run("float64", float64::products[0], large, calls);
        }
    run("highest", float32::products[0], {130, 127, 129, false, false, false, true, false, 0, 2}, calls);
    run("highest", float32::products[0], {50, 100, 300, false, false, false, true, true, 0, 1}, calls);
    run("medium", float32::products[2], {50, 100, 300, false, false, false, true, true, 0, 1}, calls);
    for (const auto& [m, n, k] : {std::array<fusednet::Index, 3>{0, 100, 300}, {100, 0, 300}, {100, 100, 0}})
        run("highest", float32::products[0], {m, n, k, false, false, false, true, false, 0, 1}, calls);
    if (void* fake = path ? dlopen(path, RTLD_NOW) : nullptr)
        if (const void* choices = dlsym(fake, "fake_choices"))
            std::printf("choices %d\n", *static_cast<const int*>(choices));
    if (failed()) std::printf("failure %s\n", failure);
}
