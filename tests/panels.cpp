// Panels of columns: "cols column_bytes room" a line of the input, the columns that they begin with a line of the
// output. With an argument, a cache's size: the room that panels have in it.
#include "../csrc/cuda/panels.h"

#include <cstdio>

using namespace fusednet::cuda;

int main(int count, char** words) {
    if (count == 2) {
        std::printf("%td\n", room_of_panels(std::atoll(words[1])));
        return 0;
    }
    ptrdiff_t cols, column_bytes, room;
    while (std::scanf("%td %td %td", &cols, &column_bytes, &room) == 3) {
        const Panels panels = panels_of(cols, column_bytes, room);
        for (ptrdiff_t i = 0; i <= panels.count; ++i) std::printf("%td ", panels.begin(i));
        std::printf("\n");
    }
}
