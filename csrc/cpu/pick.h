// The tables that this build holds and the one that this machine uses.
#pragma once

#include "../base/table.h"
#include "../base/traits.h"

namespace fusednet {

const Table<double>& float64_table() noexcept;
const Formulas& formulas() noexcept;

struct IsaTable {
    const Table<float>* table;
    bool supported;                          // by this CPU and operating system
    bool picked;                             // without being named: not so what exists for tests
    bool (*permitted)() noexcept = nullptr;  // asks the system for leave, before the first use; null: none is needed
};

// Every float32 table of this build, the narrowest first; count receives how many.
const IsaTable* isa_tables(int* count) noexcept;

// The float32 table in use: the widest supported, or the one that FUSEDNET_ISA names. Null if FUSEDNET_ISA is set to
// what is unknown or unsupported; the caller reports it.
const Table<float>* picked_table() noexcept;

// FUSEDNET_ISA's value at the first call, or null.
const char* isa_override() noexcept;

// The float32 table of that name, or null if it is unknown or unsupported here.
const Table<float>* find_table(const char* name) noexcept;

}  // namespace fusednet
