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

// The environment variable FUSEDNET_PANELS: 1, panels wherever they fit; 0 or nothing, there are none.
enum class PanelSetting { unset, no, yes, unknown };

inline PanelSetting panel_setting() noexcept {
    const char* const word = std::getenv("FUSEDNET_PANELS");
    if (!word || !*word) return PanelSetting::unset;
    return std::strcmp(word, "0") == 0   ? PanelSetting::no
           : std::strcmp(word, "1") == 0 ? PanelSetting::yes
                                         : PanelSetting::unknown;
}

// Left empty where nothing is wrong with it.
inline void panel_problem(char* text, size_t size) noexcept {
    if (panel_setting() == PanelSetting::unknown)
        print(text, size, "FUSEDNET_PANELS expects 0 or 1, got '%s'", std::getenv("FUSEDNET_PANELS"));
}

// What panels may have of a cache: two thirds, since what is written meanwhile passes through it too.
constexpr ptrdiff_t room_of_panels(ptrdiff_t cache) noexcept {
    return cache / 3 * 2;
}

}  // namespace fusednet::cuda
