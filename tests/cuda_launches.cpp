// Kernels that depend on the order of blocks or of threads, and one that does not, as the host launches them
// (csrc/cuda/launch.h): in how many of eight launches each leaves another result than in the launch before. Alone, by
// three blocks of a program's launch, and every other one of its launches.
#include <cstdio>
#include <cstring>
#include <vector>

#include "../csrc/cuda/program.h"
#include "../csrc/cuda/target.h"

namespace fusednet::launches {

using cuda::program_threads;

Index places = 0;
template <class Work>
void enqueue(const Work& work, bool) {
    work(places);
}
bool can_launch(const char*, Index) noexcept {
    return true;
}

#include "../csrc/cuda/launch.h"

constexpr Index blocks = 5;
constexpr int most_threads = 256;
struct Results {
    float of[blocks * most_threads];
};

// Each block adds to what the blocks before it have left.
template <int id>
struct ByBlocks {
    static constexpr int threads = 32;
    using Shared = Nothing;
    using Local = Nothing;
    Results* to;
    int steps() const { return 1; }
    void run(int, const Thread& t, Shared&, Local&) const {
        if (t.index == 0) to->of[0] = to->of[0] * 3 + float(t.block + 1);
    }
};
// Neighbours without a step between what one writes and the other reads, in a single block.
template <int id>
struct ByThreads {
    static constexpr int threads = 256;
    struct Shared {
        float x[threads];
    };
    using Local = Nothing;
    Results* to;
    int steps() const { return 2; }
    void run(int step, const Thread& t, Shared& shared, Local&) const {
        if (step == 0) shared.x[t.index] = 1;
        if (step == 1) {
            shared.x[t.index] = float(t.index);
            if (t.block == 0) to->of[t.index] = shared.x[t.index ^ 1];
        }
    }
};
template <int id>
struct ByNone {
    static constexpr int threads = 64;
    struct Shared {
        float x[threads];
    };
    using Local = float;
    Results* to;
    int steps() const { return 2; }
    void run(int step, const Thread& t, Shared& shared, Local& local) const {
        if (step == 0) shared.x[t.index] = local = float(t.index);
        if (step == 1) to->of[t.block * threads + t.index] = shared.x[threads - 1 - t.index] + local + float(t.block);
    }
};

template <class K>
void count(const char* name, int apart) {
    std::vector<Results> all;
    for (int i = 0; i < 8 * apart; ++i) {
        Results results{};
        launch(name, blocks, K{&results});
        if (i % apart == 0) all.push_back(results);
    }
    int changes = 0;
    for (size_t i = 1; i < all.size(); ++i) changes += std::memcmp(&all[i - 1], &all[i], sizeof(Results)) != 0;
    std::printf("%s %d %d %d\n", name, int(places), apart, changes);
}
// Kernels of their own each, none of which was launched before.
template <int id>
void count_all(int apart) {
    count<ByBlocks<id>>("blocks", apart);
    count<ByThreads<id>>("threads", apart);
    count<ByNone<id>>("none", apart);
}

}  // namespace fusednet::launches

int main() {
    using namespace fusednet::launches;
    count_all<0>(1);
    count_all<1>(2);
    count_all<2>(6);
    places = 3;
    count_all<3>(1);
    count_all<4>(2);
    count_all<5>(6);
}
