// The tables of a device by its name.
#pragma once

#include "../base/table.h"

namespace fusednet {

struct DeviceTables {
    const Table<float>* float32;  // null: there is no such device
    const Table<double>* float64;
    const Table<float>* recorded;  // stands in for the first while a small step is captured; null: it does that itself
};

// Devices that have been opened give back what they keep of released memory.
void trim_devices() noexcept;

// What is called where a device has no room for what is asked of it, before that is refused: it gives back what nobody
// uses.
void make_room_by(void (*let_go)() noexcept) noexcept;

// The names that there may be; a null ends them.
const char* const* known_devices() noexcept;

// *why says what is missing.
DeviceTables device_tables(const char* name, const char** why) noexcept;

}  // namespace fusednet
