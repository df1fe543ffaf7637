#include "pick.h"

#include <stdlib.h>
#include <string.h>

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
#endif

namespace {

struct Tables {
    IsaTable list[3];
    int count;
};

#ifdef FUSEDNET_X86
// __builtin_cpu_supports answers for the operating system too, which must save the wide registers.
bool avx2_supported() noexcept {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool avx512_supported() noexcept {
    return avx2_supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

const Tables& tables() noexcept {
#ifdef FUSEDNET_X86
    static const Tables all = {
        {{&baseline::table, true}, {&avx2::table, avx2_supported()}, {&avx512::table, avx512_supported()}}, 3};
#else
    static const Tables all = {{{&baseline::table, true}}, 1};
#endif
    return all;
}

const Table<float>* pick() noexcept {
    if (const char* name = isa_override()) return find_table(name);
    const Tables& all = tables();
    int widest = all.count - 1;
    while (!all.list[widest].supported) --widest;
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
        if (strcmp(all.list[i].table->name, name) == 0) return all.list[i].supported ? all.list[i].table : nullptr;
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
