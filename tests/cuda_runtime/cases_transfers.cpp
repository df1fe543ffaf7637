// Copies to and from the device, their order, and where they wait in the host's memory.
#include <cstring>
#include <thread>

#include "cases.h"

namespace cases {
namespace {

constexpr size_t mebibyte = size_t(1) << 20, half = 8 * mebibyte;  // the largest half of what is pinned
const std::vector<size_t> sizes = {
    0, 1, 255, 257, 4096, mebibyte - 1, mebibyte, mebibyte + 1, 3 * mebibyte, half - 1, half, half + 1, 3 * half + 5};

// There and back, one after the other and all of them under way together.
void of_all_sizes() {
    const Queue queue;
    for (const bool beside : {false, true}) {
        const auto move = [&](const Array& array, const std::vector<char>& from) {
            beside ? array.send(from) : array.upload(from);
        };
        for (size_t n : sizes) {
            const Array array(n);
            const std::vector<char> from = bytes(n, unsigned(n));
            move(array, from);
            device.receive();
            if (n > 0) add(array.get(), array.get(), n, 3);
            CHECK(array.download() == plus(from, 3));
            CHECK(told() == "");
        }
        std::vector<Array> arrays;
        std::vector<std::vector<char>> all;
        for (unsigned i = 0; i < 24; ++i) {
            const size_t n = sizes[1 + i * 7 % 9] + i;
            arrays.emplace_back(n);
            all.push_back(bytes(n, i));
            move(arrays.back(), all.back());
        }
        device.receive();
        for (const Array& array : arrays) add(array.get(), array.get(), array.size(), 1);
        for (size_t i = 0; i < arrays.size(); ++i) CHECK(arrays[i].download() == plus(all[i], 1));
        CHECK(told() == "");
    }
    CHECK(stand_in::live().pinned == 2);
}

// What is enqueued finds what was enqueued before, and not what comes after.
void in_order() {
    const Queue queue;
    const size_t n = 300000;
    const Array from(n), first(n), second(n), cleared(n);
    const std::vector<char> a = bytes(n, 1), b = bytes(n, 2);
    for (int round = 0; round < 5; ++round) {
        from.upload(a);
        add(first.get(), from.get(), n, round);
        from.upload(b);
        add(second.get(), from.get(), n, round);
        device.clear(from.get(), n);
        add(cleared.get(), from.get(), n, round);
        CHECK(second.download() == plus(b, round));
        CHECK(first.download() == plus(a, round));
        CHECK(cleared.download() == std::vector<char>(n, char(round)));
        CHECK(told() == "");
    }
}

// As a plan does: rows in turns, those of the next turn on their way while this one's are read.
void beside(size_t n) {
    const Queue queue;
    constexpr int rounds = 6, parts = 3;
    std::vector<Array> there, results;
    for (int i = 0; i < 2 * parts; ++i) there.emplace_back(n + size_t(i));
    for (int i = 0; i < rounds * parts; ++i) results.emplace_back(n);
    const auto rows = [&](int round, int part) { return bytes(n + size_t(parts + part), unsigned(round * 10 + part)); };
    const auto send = [&](int round) {
        for (int part = 0; part < parts; ++part) there[size_t(round % 2 * parts + part)].send(rows(round, part));
    };
    send(0);
    for (int round = 0; round < rounds; ++round) {
        device.receive();
        for (int part = 0; part < parts; ++part)
            add(results[size_t(round * parts + part)].get(), there[size_t(round % 2 * parts + part)].get(), n, 1);
        if (round + 1 < rounds) send(round + 1);
        CHECK(told() == "");
    }
    for (int i = 0; i < rounds * parts; ++i) {
        std::vector<char> want = rows(i / parts, i % parts);
        want.resize(n);
        CHECK(results[size_t(i)].download() == plus(want, 1));
    }
}
void beside_kernels() {
    beside(1000);
    beside(400000);
    beside(5 * mebibyte);
}

// As a plan predicts: rows come and results go in turns, and of all slices but the last two nothing is under way.
void brought_beside(size_t n) {
    const Queue queue;
    constexpr size_t rounds = 7;
    std::vector<Array> there, results;
    for (int i = 0; i < 2; ++i) {
        there.emplace_back(n);
        results.emplace_back(n);
    }
    const auto rows = [&](size_t round) { return bytes(n, unsigned(round)); };
    std::vector<std::vector<char>> back(rounds);
    const int before = stand_in::calls("cudaStreamSynchronize"), events = stand_in::calls("cudaEventSynchronize");
    there[0].send(rows(0));
    for (size_t round = 0; round < rounds; ++round) {
        device.receive();
        add(results[round % 2].get(), there[round % 2].get(), n, 1);
        add(results[round % 2].get(), results[round % 2].get(), n, 1);
        results[round % 2].bring(back[round]);
        if (n <= half) CHECK(back[round].empty());
        device.brought(1);
        if (round > 0) CHECK(back[round - 1] == plus(rows(round - 1), 2));
        if (round + 1 < rounds) there[(round + 1) % 2].send(rows(round + 1));
    }
    if (n <= half) CHECK(back[rounds - 1].empty());
    CHECK(stand_in::calls("cudaStreamSynchronize") == before);
    if (n < 1000) CHECK(stand_in::calls("cudaEventSynchronize") == events + int(rounds) - 1);
    CHECK(told() == "");
    CHECK(back[rounds - 1] == plus(rows(rounds - 1), 2));
}
void brought_beside_kernels() {
    for (size_t n : {size_t(1), size_t(999), size_t(400000), half, 3 * half + 5}) brought_beside(n);
}

// Of all sizes, the larger behind the smaller, until somebody waits for them or for all but some.
void brought() {
    const Queue queue;
    std::vector<Array> arrays;
    std::vector<std::vector<char>> back(sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
        arrays.emplace_back(sizes[i]);
        arrays.back().upload(bytes(sizes[i], unsigned(i)));
    }
    for (const int but : {0, 1, 2}) {
        for (auto& one : back) one.clear();
        for (size_t i = 0; i < sizes.size(); ++i) arrays[i].bring(back[i]);
        CHECK(device.brought(but));
        for (size_t i = 0; i + size_t(but) < sizes.size(); ++i) CHECK(back[i] == bytes(sizes[i], unsigned(i)));
        CHECK(told() == "");
        for (size_t i = 0; i < sizes.size(); ++i) CHECK(back[i] == bytes(sizes[i], unsigned(i)));
        device.brought(0);
        CHECK(back.back().size() == sizes.back());
    }
    CHECK(stand_in::live().pinned == 2);
}

// Nobody gets what has failed, then or later.
void not_brought() {
    const Queue queue;
    const Array array(1000), large(3 * mebibyte);
    array.upload(bytes(1000, 1));
    large.upload(bytes(3 * mebibyte, 1));
    std::vector<char> first, second, third;
    array.bring(first);
    stand_in::fail("cudaMemcpyAsync", 1, cudaErrorUnknown);
    array.bring(second);
    CHECK(!device.brought(0));
    array.bring(second);
    CHECK(told() == "copying from the device: unknown error");
    CHECK(first.empty() && second.empty() && told() == "");
    array.bring(first);
    large.bring(second);  // the first is handed out where what waits for it grows
    CHECK(first == bytes(1000, 1));
    stand_in::fail("cudaEventSynchronize", 1, cudaErrorUnknown);
    CHECK(!device.brought(0));
    CHECK(second.empty() && told() == "copying from the device: unknown error");
    large.bring(third);
    CHECK(told() == "" && second.empty() && third == bytes(3 * mebibyte, 1));
}

// What was asked for is done when somebody has waited, though nothing came after it.
void waited_for() {
    const Queue queue;
    for (const bool beside : {false, true})
        for (size_t n : {size_t(1000), mebibyte, 3 * mebibyte, size_t(10), 17 * mebibyte}) {
            const Array array(n);
            const std::vector<char> from = bytes(n, beside);
            beside ? array.send(from) : array.upload(from);
            CHECK(told() == "");
            CHECK(std::memcmp(stand_in::at(array.get(), n), from.data(), n) == 0);
        }
}

// What waits in pinned memory is there when a larger piece takes its place.
void growing() {
    const Queue queue;
    const std::vector<size_t> growing = {1000, 3 * mebibyte, 20 * mebibyte, 5};
    for (const bool beside : {false, true}) {
        const int before = stand_in::calls("cudaMallocHost");
        std::vector<Array> arrays;
        for (size_t n : growing) {
            arrays.emplace_back(n);
            beside ? arrays.back().send(bytes(n, unsigned(n))) : arrays.back().upload(bytes(n, unsigned(n)));
        }
        device.receive();
        for (const Array& array : arrays) CHECK(array.download() == bytes(array.size(), unsigned(array.size())));
        CHECK(told() == "");
        CHECK(stand_in::calls("cudaMallocHost") == before + 3);
        CHECK(stand_in::live().pinned == (beside ? 2 : 1));
    }
}

// Nobody knows whether what waits in pinned memory has been read: it stays, and grows another time.
void not_grown() {
    const Queue queue;
    for (const bool beside : {false, true}) {
        const Array small(1000), large(3 * mebibyte);
        const std::vector<char> few = bytes(1000, 1), many = bytes(3 * mebibyte, 2);
        beside ? small.send(few) : small.upload(few);
        stand_in::fail("cudaStreamSynchronize", 1, cudaErrorUnknown);
        beside ? large.send(many) : large.upload(many);
        CHECK(told() == "waiting for the device: unknown error");
        CHECK(small.download() == few);
        beside ? large.send(many) : large.upload(many);
        device.receive();
        CHECK(large.download() == many);
        CHECK(told() == "");
        CHECK(stand_in::live().pinned == (beside ? 2 : 1));
    }
}

// Where nothing can be pinned it is the host's memory as it is; `cudaMallocHost` fails always.
void pageable() {
    {
        const Queue queue;
        for (size_t n : sizes) {
            const Array one(n), other(n);
            one.upload(bytes(n, 1));
            other.send(bytes(n, 2));
            device.receive();
            CHECK(one.download() == bytes(n, 1));
            CHECK(other.download() == bytes(n, 2));
            std::vector<char> back;
            other.bring(back);
            device.brought(0);
            CHECK(back == bytes(n, 2));
        }
        CHECK(told() == "");
        CHECK(stand_in::live().pinned == 0);
    }
    CHECK(stand_in::live().streams == 0);
}

// Nothing can be pinned and the host has no memory either.
void no_host_memory() {
    const Queue queue;
    const Array array(half);
    const std::vector<char> all = bytes(half, 1);
    for (const bool beside : {false, true}) {
        host_memory_up_to = half;
        beside ? array.send(all) : array.upload(all);
        device.receive();
        host_memory_up_to = 0;
        CHECK(told() == "room for what is copied: out of the host's memory");
        beside ? array.send(all) : array.upload(all);
        device.receive();
        CHECK(array.download() == all);
        CHECK(told() == "");
    }
}

// Threads with queues of their own share what is kept.
void threads() {
    std::vector<std::thread> all;
    for (unsigned t = 0; t < 3; ++t)
        all.emplace_back([t] {
            for (unsigned round = 0; round < 4; ++round) {
                const Queue queue;
                const size_t n = 700000 + t;
                const Array from(n), to(n);
                from.send(bytes(n, t * 10 + round));
                device.receive();
                add(to.get(), from.get(), n, 1);
                CHECK(to.download() == plus(bytes(n, t * 10 + round), 1));
                CHECK(told() == "");
            }
        });
    for (std::thread& thread : all) thread.join();
    CHECK(stand_in::live().streams == 0 && stand_in::live().events == 0 && stand_in::live().pinned == 0);
}

// Two queues of one thread, entered in turns, do not wait for each other; each knows what is its own.
void two_queues() {
    const Queue outer;
    const size_t n = 100000;
    const Array a(n), b(n);
    a.upload(bytes(n, 1));
    add(a.get(), a.get(), n, 1);
    {
        const Queue inner;
        b.upload(bytes(n, 2));
        add(b.get(), b.get(), n, 2);
        CHECK(b.download() == plus(bytes(n, 2), 2));
    }
    CHECK(a.download() == plus(bytes(n, 1), 1));
    CHECK(told() == "");
}

// The graph, which clears memory as well, and the program of two kernels, replayed; what the capture itself enqueues
// does not run.
void replayed() {
    const Queue queue;
    const size_t n = 5000;
    const Array x(n), y(n), z(n);
    for (const double operations : {0.0, 1e6, 1e8}) {
        x.upload(bytes(n, 1));
        y.upload(bytes(n, 2));
        device.begin_capture(operations, nullptr, 0);
        add(x.get(), x.get(), n, 1);
        if (operations == 0) device.clear(z.get(), n);
        add(y.get(), x.get(), n, 5);
        void* const step = device.end_capture();
        CHECK(step);
        CHECK(device.kernels(step) == 2);
        CHECK((device.places(step) > 0) == (operations > 0));
        CHECK(x.download() == bytes(n, 1));
        device.replay(step, 3);
        x.upload(plus(bytes(n, 1), 10));
        device.replay(step, 1);
        device.replay(step, 0);
        CHECK(x.download() == plus(bytes(n, 1), 11));
        CHECK(y.download() == plus(bytes(n, 1), 16));
        device.replay(step, 2);
        device.forget(step);  // it may be under way
        CHECK(x.download() == plus(bytes(n, 1), 13));
        CHECK(told() == "");
    }
    CHECK(stand_in::live().graphs == 0 && stand_in::live().executables == 0);
}

}  // namespace

const std::vector<Named> transfers = {
    {"of all sizes", of_all_sizes},
    {"in order", in_order},
    {"beside kernels", beside_kernels},
    {"brought beside kernels", brought_beside_kernels},
    {"brought", brought},
    {"not brought", not_brought},
    {"waited for", waited_for},
    {"growing", growing},
    {"not grown", not_grown},
    {"pageable", pageable},
    {"no memory of the host", no_host_memory},
    {"threads", threads},
    {"two queues", two_queues},
    {"replayed", replayed},
};

}  // namespace cases
