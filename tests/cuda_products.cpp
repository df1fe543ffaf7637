// The device's products on the host: kernels run as loops, the library is the one that FUSEDNET_CUBLASLT names. Prints
// a line for each case: what was asked, the calls of the library, the largest error relative to sum |a| |b|.
#include <dlfcn.h>

#include <algorithm>
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
bool can_launch(const char*, ptrdiff_t) noexcept {
    return true;
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
int own_activations = 0, own_sums = 0;
}  // namespace
bool recording() noexcept {
    return is_recording;
}
void refuse_recording() noexcept {
    ++refusals;
}
// At once, as a launch of its own.
template <class Work>
void enqueue(const Work& work, bool) {
    work(0);
}

namespace float32 {
#include "../csrc/cuda/launch.h"
#include "../csrc/cuda/vec_float.h"
//
#include "../csrc/cuda/loops.h"
//
#include "cuda_products_kernels.h"
//
#include "../csrc/cuda/gemm.h"
#include "../csrc/cuda/products.h"
#include "../csrc/cuda/products_reduced.h"
constexpr Product<T> products[] = {product<product_as_is, rectify>, product<product_of_two_parts, rectify>,
                                   product<product_of_bfloat16, rectify>};
}  // namespace float32

namespace float64 {
#include "../csrc/cpu/vec_float64.h"
#include "../csrc/cuda/launch.h"
//
#include "../csrc/cuda/loops.h"
//
#include "cuda_products_kernels.h"
//
#include "../csrc/cuda/gemm.h"
#include "../csrc/cuda/products.h"
constexpr Product<T> products[] = {product<product_as_is, rectify>};
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

// At a multiple of 256 bytes and so many elements.
template <class T>
struct Array {
    std::vector<T> held;
    T* at;
    Array(Index size, Index beyond) : held(size_t(size + beyond) + 256 / sizeof(T), T(NAN)) {
        at = held.data();
        while (reinterpret_cast<uintptr_t>(at) % 256) ++at;
        at += beyond;
    }
    T& operator[](Index i) { return at[i]; }
};

enum Follows { nothing, negation, relu_in_place, relu_apart };

struct Case {
    Index m, n, k;
    bool a_turned, b_turned, accumulate, bias;
    Follows follows;
    bool sums;
    Index gap;        // beyond a row, filled with NaN
    Index spread;     // 2: A has no unit stride
    Index shift = 0;  // of the bias and the sums, beside the gap
};

struct Fake {
    const int *calls, *choices, *epilogues;
};

template <class T>
void run(const char* name, Product<T> product, void (*relu)(const ActivationForward<T>&) noexcept, const Case& c,
         const Fake& fake) {
    uint32_t state = 12345;
    const auto matrix = [&](Index rows, Index cols, bool turned, Index spread, Index& row, Index& col) {
        const Index inner = (turned ? rows : cols) * spread + c.gap;
        row = turned ? spread : inner;
        col = turned ? inner : spread;
        Array<T> x(inner * (turned ? cols : rows), c.gap);
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < cols; ++j) x[i * row + j * col] = T(drawn(state));
        return x;
    };
    Gemm<T> g = {};
    Index c_row = 0, c_col = 0;
    Array<T> a = matrix(c.m, c.k, c.a_turned, c.spread, g.a_row, g.a_col);
    Array<T> b = matrix(c.k, c.n, c.b_turned, 1, g.b_row, g.b_col);
    Array<T> out = matrix(c.m, c.n, false, 1, c_row, c_col), apart(c.m * c_row, c.gap);
    Array<T> bias(c.n, c.gap + c.shift), sums(c.n + 1, c.gap + c.shift);
    for (Index j = 0; j < c.n; ++j) bias[j] = T(drawn(state));
    const std::vector<T> before(out.at, out.at + c.m * c_row);
    Array<T>& y = c.follows == relu_in_place ? out : apart;
    g.m = c.m, g.n = c.n, g.k = c.k;
    g.a = a.at, g.b = b.at, g.c = {out.at, c_row};
    g.bias = c.bias ? bias.at : nullptr;
    g.accumulate = c.accumulate;
    if (c.follows) g.epilogue = c.follows == negation ? negate<T> : relu, g.y = {y.at, c_row};
    if (c.sums) g.b_sums = sums.at;
    const int calls_before = *fake.calls, refusals_before = refusals;
    own_activations = own_sums = 0;
    product(g);
    double worst = c.sums && !std::isnan(double(sums[c.n])) ? INFINITY : 0;
    for (Index j = 0; c.sums && j < c.n; ++j) {
        double sum = 0, size = 1;
        for (Index l = 0; l < c.k; ++l) {
            sum += double(b[l * g.b_row + j]);
            size += std::fabs(double(b[l * g.b_row + j]));
        }
        const double error = std::fabs(double(sums[j]) - sum) / size;
        worst = error > worst || !(error == error) ? error : worst;
    }
    for (Index i = 0; i < c.m; ++i)
        for (Index j = 0; j < c_row; ++j) {
            const Index at = i * c_row + j;
            if (j >= c.n) {  // the gap is left alone
                if (!std::isnan(double(out[at]))) worst = INFINITY;
                continue;
            }
            double sum = (c.accumulate ? double(before[size_t(at)]) : 0.0) + (c.bias ? double(bias[j]) : 0.0), size = 1;
            for (Index l = 0; l < c.k; ++l) {
                const double term = double(a[i * g.a_row + l * g.a_col]) * double(b[l * g.b_row + j * g.b_col]);
                sum += term;
                size += std::fabs(term);
            }
            if (c.follows == relu_in_place) sum = std::max(sum, 0.0);
            const double error = std::fabs(double(out[at]) - sum) / size;
            worst = error > worst || !(error == error) ? error : worst;
            if (c.follows == negation && !(y[at] == -out[at])) worst = INFINITY;
            if (c.follows == relu_apart && !(y[at] == std::max(out[at], T(0)))) worst = INFINITY;
        }
    std::printf("%s %td %td %td %d%d%d%d%d%d %td %td calls %d refused %d own %d %d error %.3g epilogues", name, c.m,
                c.n, c.k, c.a_turned, c.b_turned, c.accumulate, c.bias, int(c.follows), c.sums, c.gap, c.spread,
                *fake.calls - calls_before, refusals - refusals_before, own_activations, own_sums, worst);
    for (int i = calls_before; i < *fake.calls; ++i) std::printf(" %d", fake.epilogues[i % 4096]);
    std::printf("\n");
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
    Fake fake = {&none, &none, &none};
    const char* path = std::getenv("FUSEDNET_CUBLASLT");
    void* const library = path ? dlopen(path, RTLD_NOW) : nullptr;
    const auto number = [&](const char* name) { return static_cast<int*>(dlsym(library, name)); };
    const bool stands_in = library && number("fake_calls");
    const char* const asked = count > 1 ? arguments[1] : "";
    if (stands_in) {
        fake = {number("fake_calls"), number("fake_choices"), number("fake_epilogues")};
        if (!std::strcmp(asked, "unserved")) *number("fake_serves") = 0;
        if (!std::strcmp(asked, "lacks")) *number("fake_lacks") = std::atoi(arguments[2]);
    }
    if (!std::strcmp(asked, "found")) {  // FOLDER...
        set_library_folders({arguments + 2, arguments + count});
        std::printf("%s\n", library_text());
        return 0;
    }
    is_recording = !std::strcmp(asked, "recorded");
    std::printf("text %s\n", library_text());
    std::printf("misplaced %td\n", misplaced());
    const char* const names[] = {"highest", "high", "medium"};
    const auto run_float32 = [&](int p, const Case& c) {
        run(names[p], float32::products[p], &float32::rectify, c, fake);
    };
    const auto run_all = [&](const Case& c) {
        for (int p = 0; p < 3; ++p) run_float32(p, c);
        run("float64", float64::products[0], &float64::rectify, c, fake);
    };
    const bool follows_alone = !std::strcmp(asked, "follows") || !std::strcmp(asked, "lacks");
    for (int bits = 0; bits < 32 && !follows_alone; ++bits)
        for (const fusednet::Index gap : {0, 3})
            run_all({130, 127, 129, bool(bits & 1), bool(bits & 2), bool(bits & 4), bool(bits & 8),
                     bits & 16 ? negation : nothing, false, gap, 1});
    for (int bits = 0; bits < 4; ++bits)
        for (const Follows relu : {relu_in_place, relu_apart})
            run_all(
                {130, 127, 129, relu == relu_apart, bool(bits & 2), bool(bits & 1), bool(bits & 2), relu, false, 3, 1});
    for (int bits = 0; bits < 8; ++bits)
        run_all(
            {130, 127, 129, bool(bits & 1), false, bool(bits & 2), bool(bits & 4), nothing, true, bits & 1 ? 3 : 0, 1});
    run_float32(0, {130, 127, 129, false, false, false, true, nothing, false, 0, 2});
    for (const int p : {0, 2}) {
        run_float32(p, {50, 100, 300, false, false, false, true, relu_in_place, false, 0, 1});
        run_float32(p, {50, 100, 300, true, false, false, false, negation, true, 0, 1});
    }
    for (const auto& [m, n, k] : {std::array<fusednet::Index, 3>{0, 100, 300}, {100, 0, 300}, {100, 100, 0}})
        run_float32(0, {m, n, k, false, false, false, true, nothing, true, 0, 1});
    std::printf("choices %d\n", *fake.choices);
    for (int i = 0; i < 3; ++i) {
        run_all({131, 127, 129, true, false, false, false, nothing, true, 0, 1});
        run_all({131, 127, 129, false, false, false, true, relu_in_place, false, 0, 1});
        std::printf("choices %d\n", *fake.choices);
    }
    run_all({131, 127, 129, true, false, false, false, nothing, true, 0, 1, 1});
    run_all({131, 127, 129, false, false, false, true, nothing, false, 0, 1, 1});
    if (failed()) std::printf("failure %s\n", failure);
}
