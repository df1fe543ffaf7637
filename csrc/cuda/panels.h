// What reads its arrays twice may take them by panels of columns, one after the other: the second time they are in the
// device's cache then. The panels change no column's result.
#pragma once

#include <stddef.h>

#include <cstdlib>
#include <cstring>

#include "text.h"

namespace fusednet::cuda {

// Panels begin at multiples of so many columns: of 256 bytes at least, two lines of the cache in every row. The last
// one ends with the array, so it may have half of that less or more.
constexpr ptrdiff_t panel_unit = 64;

// Panels of about as many columns each.
struct Panels {
    ptrdiff_t cols, units, count;
    constexpr ptrdiff_t begin(ptrdiff_t i) const noexcept { return i < count ? units * i / count * panel_unit : cols; }
};

// column_bytes: what is read twice of a column; room: what a panel may have of them. A panel has about a third of
// that or more, so there are at most three for each `room` of the array. Columns too tall for any panel are one.
constexpr Panels panels_of(ptrdiff_t cols, ptrdiff_t column_bytes, ptrdiff_t room) noexcept {
    const ptrdiff_t units = (cols + panel_unit / 2) / panel_unit;
    if (units < 2 || cols * column_bytes <= room) return {cols, 1, 1};
    const ptrdiff_t most = room / (panel_unit * column_bytes);
    return most == 0 ? Panels{cols, 1, 1} : Panels{cols, units, (units + most - 1) / most};
}

// The environment variable FUSEDNET_PANELS: 0, there are none; 1, wherever they fit; without it, where they pay.
enum class PanelSetting { where_they_pay, never, always, unknown };

inline PanelSetting panel_setting() noexcept {
    const char* const word = std::getenv("FUSEDNET_PANELS");
    if (!word || !*word) return PanelSetting::where_they_pay;
    return std::strcmp(word, "0") == 0   ? PanelSetting::never
           : std::strcmp(word, "1") == 0 ? PanelSetting::always
                                         : PanelSetting::unknown;
}

// Left empty where nothing is wrong with it.
inline void panel_problem(char* text, size_t size) noexcept {
    if (panel_setting() == PanelSetting::unknown)
        print(text, size, "FUSEDNET_PANELS expects 0 or 1, got '%s'", std::getenv("FUSEDNET_PANELS"));
}

// Three launches by a panel take longer than a panel's share of three large ones: they begin, end, and wait for each
// other, while little of memory's rate is used. Estimated for an H100, not measured.
constexpr double panel_seconds = 8e-6;

// What panels of a device may have: two thirds of its cache, since what is written meanwhile passes through it too.
// They pay where reading as much from memory once more would take twice as long as their launches; not where nobody
// says how long that is.
constexpr ptrdiff_t room_of_panels(ptrdiff_t cache, double bytes_a_second, PanelSetting setting) noexcept {
    const ptrdiff_t room = cache / 3 * 2;
    if (setting == PanelSetting::always) return room;
    const bool pays = bytes_a_second > 0 && double(room) >= 2 * panel_seconds * bytes_a_second;
    return setting == PanelSetting::where_they_pay && pays ? room : 0;
}

}  // namespace fusednet::cuda
