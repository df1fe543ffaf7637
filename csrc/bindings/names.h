// Names of the catalogue's rows, for errors and look-ups.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "../base/table.h"
#include "../cpu/pick.h"

namespace fusednet::bindings {

#define FUSEDNET_NAME(name, ...) #name,
inline constexpr const char* activation_names[] = {FUSEDNET_ACTIVATIONS(FUSEDNET_NAME)};
inline constexpr const char* loss_names[] = {FUSEDNET_ELEMENT_LOSSES(FUSEDNET_NAME) FUSEDNET_ROW_LOSSES(FUSEDNET_NAME)};
inline constexpr const char* row_activation_names[] = {FUSEDNET_ROW_ACTIVATIONS(FUSEDNET_NAME)};
inline constexpr const char* metric_names[] = {FUSEDNET_METRICS(FUSEDNET_NAME)};
inline constexpr const char* constraint_names[] = {FUSEDNET_CONSTRAINTS(FUSEDNET_NAME)};
inline constexpr const char* noise_names[] = {FUSEDNET_NOISES(FUSEDNET_NAME)};
inline constexpr const char* schedule_names[] = {FUSEDNET_SCHEDULES(FUSEDNET_NAME)};
inline constexpr const char* optimizer_names[] = {FUSEDNET_OPTIMIZERS(FUSEDNET_NAME)};
#undef FUSEDNET_NAME

// How many names a list of them holds, as many as there are commas between them.
constexpr Index names_in(const char* list) {
    Index count = *list ? 1 : 0;
    for (; *list; ++list) count += *list == ',';
    return count;
}
#define FUSEDNET_SLOTS(name, Struct, slots, ...) slots,
#define FUSEDNET_HYPER(name, Struct, slots, slot_names, first, hyper, ...) names_in(hyper),
inline constexpr Index slot_counts[] = {FUSEDNET_OPTIMIZERS(FUSEDNET_SLOTS)};
inline constexpr Index hyper_counts[] = {FUSEDNET_OPTIMIZERS(FUSEDNET_HYPER)};
#undef FUSEDNET_HYPER
#undef FUSEDNET_SLOTS

// The row's number, or an error that lists the known names.
template <class Row, size_t count>
Row row_of(const char* op, const char* argument, const char* const (&names)[count], const std::string& wanted) {
    for (size_t i = 0; i < count; ++i)
        if (wanted == names[i]) return Row(i);
    std::string known;
    for (size_t i = 0; i < count; ++i) known += (i ? ", " : "") + std::string(names[i]);
    throw pybind11::value_error("[" + std::string(op) + "] '" + argument + "' expects one of " + known + ", got '" +
                                wanted + "'");
}

inline std::string supported_isas() {
    int count = 0;
    std::string text;
    const IsaTable* tables = isa_tables(&count);
    for (int i = 0; i < count; ++i)
        if (tables[i].supported) text += (text.empty() ? "" : ", ") + std::string(tables[i].table->name);
    return text;
}

// The float32 table that is in use; FUSEDNET_ISA may name one that is not there.
inline const Table<float>& used_table() {
    const Table<float>* table = picked_table();
    if (!table)
        throw pybind11::value_error("[FUSEDNET_ISA] expects one of " + supported_isas() + ", got '" + isa_override() +
                                    "'");
    return *table;
}

}  // namespace fusednet::bindings
