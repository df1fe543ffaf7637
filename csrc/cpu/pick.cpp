#include "pick.h"

#include <stdlib.h>
#include <string.h>

#ifdef FUSEDNET_X86
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace fusednet {

namespace float64 {
extern const Table<double> table;
extern const Formulas formulas;
}  // namespace float64
namespace baseline {
extern const Table<float> table;
}
#ifdef FUSEDNET_X86
namespace avx2 {
extern const Table<float> table;
}
namespace avx512 {
extern const Table<float> table;
}
namespace avx512_bf16 {
extern const Products products;
}
namespace amx {
extern const Products products;
}
#endif
#ifdef FUSEDNET_EMULATED_CUDA
namespace cuda_emulated {
extern const Table<float> table;
}
#endif
#ifdef FUSEDNET_EMULATED_AMX
namespace amx_emulated {
extern const Products products;
}
#ifdef FUSEDNET_X86
namespace amx_emulated_avx512 {
extern const Products products;
}
#endif
#endif

namespace {

#ifdef FUSEDNET_X86
// __builtin_cpu_supports answers for the operating system too, which must save the wide registers.
bool avx2_supported() noexcept {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool avx512_supported() noexcept {
    return avx2_supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
bool avx512_bf16_supported() noexcept {
    return avx512_supported() && __builtin_cpu_supports("avx512bf16");
}
// The system must save the tiles too (it says so of those that XCR0 enables).
bool amx_supported() noexcept {
#ifdef __linux__
    constexpr unsigned tile = 1u << 24, bf16 = 1u << 22;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!avx512_bf16_supported() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & tile) || !(d & bf16))
        return false;
    constexpr long get_supported = 0x1021;                            // ARCH_GET_XCOMP_SUPP
    constexpr uint64_t tile_config = 1u << 17, tile_data = 1u << 18;  // features, by their bits in XCR0
    uint64_t saved = 0;
    return syscall(SYS_arch_prctl, get_supported, &saved) == 0 && !(~saved & (tile_config | tile_data));
#else
    return false;
#endif
}
// Linux wants to be asked for leave, once a process, by whoever is about to use tiles: signals then need more stack.
bool amx_permitted() noexcept {
#ifdef __linux__
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
    static const bool permitted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    return permitted;
#else
    return false;
#endif
}
#endif

// A table of another set's kernels with products of its own. Made here, by code that every CPU runs.
Table<float> with_products(const Table<float>& base, const char* name, const Products& products) noexcept {
    Table<float> table = base;
    table.name = name;
    table.base = base.name;
    for (int p = 0; p < int(Precision::count); ++p) table.reduced[p] = products.at[p];
    return table;
}

struct Tables {
    IsaTable list[8];
    int count = 0;
    void add(const Table<float>& table, bool supported, bool picked = true,
             bool (*permitted)() noexcept = nullptr) noexcept {
        list[count++] = {&table, supported, picked, permitted};
    }
    Tables() noexcept {
        add(baseline::table, true);
#ifdef FUSEDNET_X86
        static const Table<float> bf16 = with_products(avx512::table, "avx512_bf16", avx512_bf16::products);
        static const Table<float> tiles = with_products(avx512::table, "amx", amx::products);
        add(avx2::table, avx2_supported());
        add(avx512::table, avx512_supported());
        add(bf16, avx512_bf16_supported());
        add(tiles, amx_supported(), true, amx_permitted);
#endif
#ifdef FUSEDNET_EMULATED_AMX
        static const Table<float> emulated = with_products(baseline::table, "amx_emulated", amx_emulated::products);
        add(emulated, true, false);
#ifdef FUSEDNET_X86
        static const Table<float> packed =
            with_products(avx512::table, "amx_emulated_avx512", amx_emulated_avx512::products);
        add(packed, avx512_bf16_supported(), false);
#endif
#endif
#ifdef FUSEDNET_EMULATED_CUDA
        add(cuda_emulated::table, true, false);
#endif
    }
};

const Tables& tables() noexcept {
    static const Tables all;
    return all;
}

bool usable(const IsaTable& table) noexcept {
    return table.supported && (!table.permitted || table.permitted());
}

const Table<float>* pick() noexcept {
    if (const char* name = isa_override()) return find_table(name);
    const Tables& all = tables();
    int widest = all.count - 1;
    while (!all.list[widest].picked || !usable(all.list[widest])) --widest;
    return all.list[widest].table;
}

}  // namespace

const Table<double>& float64_table() noexcept {
    return float64::table;
}
const Formulas& formulas() noexcept {
    return float64::formulas;
}

const IsaTable* isa_tables(int* count) noexcept {
    *count = tables().count;
    return tables().list;
}

const Table<float>* find_table(const char* name) noexcept {
    const Tables& all = tables();
    for (int i = 0; i < all.count; ++i)
        if (strcmp(all.list[i].table->name, name) == 0) return usable(all.list[i]) ? all.list[i].table : nullptr;
    return nullptr;
}

const Table<float>* picked_table() noexcept {
    static const Table<float>* const picked = pick();
    return picked;
}

// Empty is unset. A copy, since a later setenv may move the original; no table has a name that it would cut.
const char* isa_override() noexcept {
    struct Copy {
        char text[64] = {};
        Copy() noexcept {
            if (const char* value = getenv("FUSEDNET_ISA")) strncpy(text, value, sizeof text - 1);
        }
    };
    static const Copy copy;
    return copy.text[0] ? copy.text : nullptr;
}

}  // namespace fusednet
