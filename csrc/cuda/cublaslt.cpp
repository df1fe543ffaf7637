#include "cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cublaslt_abi.h"
#include "runtime.h"
#include "text.h"

namespace fusednet::cuda {
namespace {

constexpr size_t library_workspace = size_t(32) << 20;  // NVIDIA's advice for Hopper and newer

// Which of its epilogues are used, besides the bias: FUSEDNET_CUBLASLT_EPILOGUES names them, "none" has none of them.
// Neither is by itself: no GPU has run them, and NVIDIA's ReLU is said to make 0 of NaN, which ours keeps.
struct Epilogues {
    const char* names = std::getenv("FUSEDNET_CUBLASLT_EPILOGUES");
    bool asked = names && *names, known = true;
    bool relu = false, sums = false;

    Epilogues() noexcept {
        constexpr const char* between = " ,";
        for (const char* word = names; asked && *word;) {
            const size_t length = std::strcspn(word, between);
            const auto is = [&](const char* name) {
                return length == std::strlen(name) && std::strncmp(word, name, length) == 0;
            };
            relu = relu || is("relu");
            sums = sums || is("sums");
            known = known && (length == 0 || is("relu") || is("sums") || is("none"));
            word += length;
            word += std::strspn(word, between);
        }
    }
};

const Epilogues& epilogues() noexcept {
    static const Epilogues once;
    return once;
}

std::vector<std::string>& folders() noexcept {
    static std::vector<std::string> given;
    return given;
}

struct Library {
    lt::Functions f = {};
    bool found = false;
    char text[1024] = {};

    Library() noexcept {
        if (!epilogues().known) {
            print(text, sizeof text,
                  "our own kernels (FUSEDNET_CUBLASLT_EPILOGUES expects relu, sums or none, got '%s')",
                  epilogues().names);
            return;
        }
        if (const char* path = std::getenv("FUSEDNET_CUBLASLT"); path && *path) {
            if (!open(path)) print(text, sizeof text, "our own kernels (FUSEDNET_CUBLASLT: %s)", why_);
            return;
        }
        if (open_package("cu13/lib/libcublasLt.so.13") || open("libcublasLt.so.13") ||
            open_package("cublas/lib/libcublasLt.so.12") || open("libcublasLt.so.12"))
            return;
        print(text, sizeof text, "our own kernels (no libcublasLt.so.13 or .12 was found: pip install %s)",
              "nvidia-cublas");
    }

private:
    char why_[512] = {};

    // NVIDIA's package: in the folder that holds ours as well, or in one of the others.
    bool open_package(const char* library) noexcept {
        char path[1024];
        Dl_info here;
        if (dladdr(reinterpret_cast<void*>(&library_text), &here) && here.dli_fname)
            if (const char* end = std::strrchr(here.dli_fname, '/')) {
                print(path, sizeof path, "%.*s/../nvidia/%s", int(end - here.dli_fname), here.dli_fname, library);
                if (open(path)) return true;
            }
        for (const std::string& folder : folders()) {
            print(path, sizeof path, "%s/nvidia/%s", folder.c_str(), library);
            if (open(path)) return true;
        }
        return false;
    }

    bool open(const char* path) noexcept {
        void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!handle) {
            const char* error = dlerror();
            print(why_, sizeof why_, "%s", error ? error : path);
            return false;
        }
        const bool all = get(handle, "cublasLtGetVersion", f.version) && get(handle, "cublasLtCreate", f.create) &&
                         get(handle, "cublasLtMatmulDescCreate", f.create_descriptor) &&
                         get(handle, "cublasLtMatmulDescDestroy", f.destroy_descriptor) &&
                         get(handle, "cublasLtMatmulDescSetAttribute", f.set_descriptor) &&
                         get(handle, "cublasLtMatrixLayoutCreate", f.create_layout) &&
                         get(handle, "cublasLtMatrixLayoutDestroy", f.destroy_layout) &&
                         get(handle, "cublasLtMatmulPreferenceCreate", f.create_preference) &&
                         get(handle, "cublasLtMatmulPreferenceDestroy", f.destroy_preference) &&
                         get(handle, "cublasLtMatmulPreferenceSetAttribute", f.set_preference) &&
                         get(handle, "cublasLtMatmulAlgoGetHeuristic", f.heuristic) &&
                         get(handle, "cublasLtMatmul", f.matmul);
        if (!all) {
            dlclose(handle);
            return false;
        }
        // 130002 is 13.0.2; before 12.9 it was 120802 likewise, before 12 five digits
        const size_t version = f.version();
        Dl_info info;
        const bool known = dladdr(reinterpret_cast<void*>(f.version), &info) && info.dli_fname;
        const Epilogues& e = epilogues();
        print(text, sizeof text, "cuBLASLt %zu.%zu.%zu (%s)%s%s%s", version / 10000, version / 100 % 100, version % 100,
              known ? info.dli_fname : path, e.asked ? ", epilogues: bias" : "", e.asked && e.relu ? ", relu" : "",
              e.asked && e.sums ? ", sums" : "");
        return found = true;
    }

    template <class F>
    bool get(void* handle, const char* name, F& function) noexcept {
        function = reinterpret_cast<F>(dlsym(handle, name));
        if (!function) print(why_, sizeof why_, "it has no %s", name);
        return function != nullptr;
    }
};

const Library& library() noexcept {
    static const Library loaded;
    return loaded;
}

// Of the device that is current at the first product.
lt::Handle handle() noexcept {
    static const lt::Handle created = [] {
        lt::Handle h = nullptr;
        return library().f.create(&h) == lt::success ? h : nullptr;
    }();
    return created;
}

// What the library's choice depends on.
struct Key {
    int64_t rows, cols, inner, a_ld, b_ld, d_ld;
    uint32_t a_alignment, b_alignment, d_alignment, vector_alignment;
    Operands operands;
    bool a_transposed, b_transposed, bias, relu, sums;
    bool operator==(const Key&) const = default;
};

uint32_t alignment_of(const void* p) noexcept {
    const auto bits = reinterpret_cast<uintptr_t>(p) | 256;
    return uint32_t(bits & -bits);
}

struct Choice {
    Key key = {};
    bool used = false;
    Served serves;
    lt::Descriptor descriptor = nullptr;
    lt::Layout a = nullptr, b = nullptr, d = nullptr;
    lt::Heuristic best = {};

    Choice() = default;
    Choice(const Choice&) = delete;
    Choice& operator=(const Choice&) = delete;
    ~Choice() { drop(); }

    void drop() noexcept {
        const lt::Functions& f = library().f;
        if (descriptor) f.destroy_descriptor(descriptor);
        for (lt::Layout layout : {a, b, d})
            if (layout) f.destroy_layout(layout);
        descriptor = nullptr;
        a = b = d = nullptr;
        used = false;
        serves = {};
    }

    void make(const Key& wanted, const LibraryProduct& p) noexcept {
        drop();
        key = wanted;
        used = true;
        lt::Preference preference = nullptr;
        if (library().f.create_preference(&preference) == lt::success && describe(p) && prefer(preference)) {
            serves = {.relu = wanted.relu, .sums = wanted.sums};
            serves.product = choose(p, preference);
            if (!serves.product && (wanted.relu || wanted.sums)) {
                serves = {};
                serves.product = choose(p, preference);
            }
        }
        if (preference) library().f.destroy_preference(preference);
    }

    // The bias that is read, or the sums that are written.
    const void* vector(const LibraryProduct& p) const noexcept { return serves.sums ? p.a_sums : p.bias; }
    bool set_vector(const LibraryProduct& p) noexcept { return set(lt::bias_pointer, vector(p)); }

private:
    lt::Epilogue epilogue() const noexcept {
        if (serves.sums) return lt::epilogue_sums_of_a;
        if (serves.relu) return key.bias ? lt::epilogue_relu_bias : lt::epilogue_relu;
        return key.bias ? lt::epilogue_bias : lt::epilogue_default;
    }
    template <class Value>
    bool set(lt::DescriptorAttribute attribute, const Value& value) noexcept {
        return library().f.set_descriptor(descriptor, attribute, &value, sizeof value) == lt::success;
    }
    bool layout(lt::Layout& made, lt::Type type, bool transposed, int64_t rows, int64_t cols, int64_t ld) noexcept {
        if (transposed) std::swap(rows, cols);
        return library().f.create_layout(&made, type, uint64_t(rows), uint64_t(cols), ld) == lt::success;
    }
    bool describe(const LibraryProduct& p) noexcept {
        const bool wide = p.operands == Operands::float64;
        const lt::Type result = wide ? lt::real_64f : lt::real_32f;
        const lt::Type operand = p.operands == Operands::bfloat16 ? lt::real_16bf : result;
        const lt::Compute compute = wide                           ? lt::compute_64f
                                    : p.operands == Operands::tf32 ? lt::compute_32f_fast_tf32
                                                                   : lt::compute_32f;
        return library().f.create_descriptor(&descriptor, compute, result) == lt::success &&
               set(lt::transpose_a, p.a.transposed ? lt::transpose : lt::plain) &&
               set(lt::transpose_b, p.b.transposed ? lt::transpose : lt::plain) &&
               layout(a, operand, p.a.transposed, p.rows, p.inner, p.a.ld) &&
               layout(b, operand, p.b.transposed, p.inner, p.cols, p.b.ld) &&
               layout(d, result, false, p.rows, p.cols, p.d_ld);
    }
    bool prefer(lt::Preference preference) noexcept {
        const auto set_to = [&](lt::PreferenceAttribute attribute, auto value) {
            return library().f.set_preference(preference, attribute, &value, sizeof value) == lt::success;
        };
        return set_to(lt::workspace_bytes, uint64_t(library_workspace)) && set_to(lt::alignment_a, key.a_alignment) &&
               set_to(lt::alignment_b, key.b_alignment) && set_to(lt::alignment_c, key.d_alignment) &&
               set_to(lt::alignment_d, key.d_alignment);
    }
    // The heuristic looks at the vector's alignment as well.
    bool choose(const LibraryProduct& p, lt::Preference preference) noexcept {
        int given = 0;
        return set(lt::epilogue, epilogue()) && set_vector(p) &&
               library().f.heuristic(handle(), descriptor, a, b, d, d, preference, 1, &best, &given) == lt::success &&
               given > 0 && best.state == lt::success;
    }
};

// The last products of a thread; a network has a few for each layer.
struct Choices {
    static constexpr int count = 128;
    Choice held[count];
    int next = 0;

    Choice& find(const LibraryProduct& p) noexcept {
        // NVIDIA's manual does not say what sums are beside what D had before; its tests leave out an A that is
        // transposed.
        const bool relu = p.relu && epilogues().relu;
        const bool sums = p.a_sums && epilogues().sums && !p.a.transposed && !p.accumulate && !p.bias && !relu;
        const void* const vector = sums ? p.a_sums : p.bias;
        const Key key = {.rows = p.rows,
                         .cols = p.cols,
                         .inner = p.inner,
                         .a_ld = p.a.ld,
                         .b_ld = p.b.ld,
                         .d_ld = p.d_ld,
                         .a_alignment = alignment_of(p.a.data),
                         .b_alignment = alignment_of(p.b.data),
                         .d_alignment = alignment_of(p.d),
                         .vector_alignment = vector ? alignment_of(vector) : 0,
                         .operands = p.operands,
                         .a_transposed = p.a.transposed,
                         .b_transposed = p.b.transposed,
                         .bias = p.bias != nullptr,
                         .relu = relu,
                         .sums = sums};
        for (Choice& choice : held)
            if (choice.used && choice.key == key) return choice;
        Choice& choice = held[next];
        next = (next + 1) % count;
        choice.make(key, p);
        return choice;
    }
};

}  // namespace

bool library_found() noexcept {
    return library().found;
}

bool library_ready() noexcept {
    return library_found() && handle();
}

void set_library_folders(std::vector<std::string> given) {
    folders() = std::move(given);
}

const char* library_text() noexcept {
    return library().text;
}

Served library_product(const LibraryProduct& p) noexcept {
    if (failed()) return {.product = true};  // nothing else would be done either
    if (!library_ready()) return {};
    static thread_local Choices choices;
    Choice& choice = choices.find(p);
    if (!choice.serves.product || (choice.vector(p) && !choice.set_vector(p))) return {};
    void* const workspace = workspace_bytes(Space::library, library_workspace);
    if (!workspace) return choice.serves;
    // scales of the sums' type
    const double one64 = 1, beta64 = p.accumulate ? 1 : 0;
    const float one32 = 1, beta32 = p.accumulate ? 1 : 0;
    const bool wide = p.operands == Operands::float64;
    const lt::Status status =
        library().f.matmul(handle(), choice.descriptor, wide ? static_cast<const void*>(&one64) : &one32, p.a.data,
                           choice.a, p.b.data, choice.b, wide ? static_cast<const void*>(&beta64) : &beta32, p.d,
                           choice.d, p.d, choice.d, &choice.best.algorithm, workspace, library_workspace, stream());
    if (status != lt::success) {
        char why[32];
        print(why, sizeof why, "status %d", int(status));
        note_failure("product by cuBLASLt", why);
    }
    return choice.serves;
}

}  // namespace fusednet::cuda
