// CASE PACE [NAME=VALUE ...] runs a case: "ok", or lines about what is wrong.
#include "cases.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>

#include "../../csrc/cuda/steps.h"
#include "../../csrc/plan/arena.h"

// What the files under test find in others.
namespace fusednet::cuda {

const Record* running = nullptr;

void judge_step(const Judgement&) noexcept {}
void* chip_of_programs(size_t* bytes) noexcept {
    *bytes = 0;
    return nullptr;
}
int probe_steps() noexcept {
    cudaFuncAttributes attributes;
    return int(cudaFuncGetAttributes(&attributes, nullptr));
}
void launch_program(const Program& program, int64_t times) noexcept {
    if (failed()) return;
    if (cudaMemsetAsync(program.arrivals, 0, sizeof *program.arrivals, stream()) == cudaSuccess)
        (void)stand_in::launch(stream(), [=] {
            for (int64_t i = 0; i < times; ++i)
                for (int k = 0; k < program.kernels; ++k) {
                    running = reinterpret_cast<Record*>(stand_in::at(program.records + k, sizeof(Record)));
                    running->run(0);
                }
        });
    note_launch("of steps in one launch");
}
namespace float32 {
extern const Table<float> table;
const Table<float> table = {};
int probe_kernels() noexcept {
    return probe_steps();
}
}  // namespace float32
namespace in_programs {
extern const Table<float> table;
const Table<float> table = {};
}  // namespace in_programs
namespace float64 {
extern const Table<double> table;
const Table<double> table = {};
}  // namespace float64

}  // namespace fusednet::cuda

extern "C" {
void* __real_malloc(size_t bytes);
void* __wrap_malloc(size_t bytes) {
    return cases::host_memory_up_to > 0 && bytes > cases::host_memory_up_to ? nullptr : __real_malloc(bytes);
}
void* __real__ZnwmRKSt9nothrow_t(size_t bytes, const std::nothrow_t& tag);
void* __wrap__ZnwmRKSt9nothrow_t(size_t bytes, const std::nothrow_t& tag) {
    return cases::object_refused > 0 && --cases::object_refused == 0 ? nullptr : __real__ZnwmRKSt9nothrow_t(bytes, tag);
}
}

namespace cases {

size_t host_memory_up_to = 0;
int object_refused = 0;

namespace {
std::atomic<bool> right_so_far = true;
}

void check(bool right, const char* what, int line) {
    if (right) return;
    std::printf("line %d: %s\n", line, what);
    right_so_far = false;
}
bool all_right() {
    return right_so_far;
}

std::string text(const char* told) {
    return told ? told : "";
}
std::string told() {
    return text(device.wait(nullptr));
}

std::vector<char> bytes(size_t count, unsigned seed) {
    std::vector<char> all(count + sizeof(uint64_t));
    uint64_t state = seed + 1;
    for (size_t i = 0; i < count; i += sizeof state) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::memcpy(all.data() + i, &state, sizeof state);
    }
    all.resize(count);
    return all;
}
std::vector<char> plus(std::vector<char> all, int add) {
    for (char& byte : all) byte = char(byte + add);
    return all;
}

Queue::Queue() : queue_(device.open(&why_)), before_(device.enter(queue_)) {
    if (!queue_) std::printf("no queue: %s\n", why_);
    CHECK(queue_);
}
Queue::~Queue() {
    device.enter(before_);
    device.close(queue_);
}

Array::Array(size_t size) : size_(size), at_(static_cast<char*>(device.allocate(size))) {
    if (!at_) refused_ = fusednet::DeviceMemoryError(device, size).what();
}

void Array::send(const std::vector<char>& from) const {
    struct Rows {
        const std::vector<char>& from;
        size_t packed;
    };
    Rows rows{from, 0};
    const auto pack = [](const void* context, char* to, size_t offset, size_t n) noexcept {
        Rows& r = *static_cast<Rows*>(const_cast<void*>(context));
        CHECK(offset == r.packed && n > 0);
        r.packed += n;
        std::memcpy(to, r.from.data() + offset, n);
    };
    device.send(at_, size_, pack, &rows);
    CHECK(rows.packed == size_ || fusednet::cuda::failed());
}

std::vector<char> Array::download() const {
    std::vector<char> all(size_, 'x');
    device.download(all.data(), at_, size_);
    return all;
}

void Array::bring(std::vector<char>& back) const {
    const auto unpack = [](const void* context, const char* from, size_t offset, size_t n) noexcept {
        auto& all = *static_cast<std::vector<char>*>(const_cast<void*>(context));
        CHECK(offset == all.size() && n > 0);
        all.insert(all.end(), from, from + n);
    };
    device.bring(at_, size_, unpack, &back);
}

std::string in_another_process(const std::function<std::string()>& work) {
    int ends[2];
    if (pipe(ends) != 0) stand_in::misuse("no pipe");
    std::fflush(stdout);
    const pid_t child = fork();
    if (child < 0) stand_in::misuse("no process");
    if (child == 0) {
        close(ends[0]);
        alarm(60);
        const std::string said = work();
        const bool sent = write(ends[1], said.data(), said.size()) == ssize_t(said.size());
        exit(sent && all_right() ? 0 : 1);
    }
    close(ends[1]);
    std::string said;
    char part[512];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, size_t(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) said += " SIGNAL " + std::to_string(WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) said += " WRONG";
    return said;
}

namespace {

void set(const std::string& name, const std::string& value) {
    using stand_in::machine;
    const int number = atoi(value.c_str());
    if (name == "driver")
        machine.driver = number;
    else if (name == "devices")
        machine.devices = number;
    else if (name == "counted")
        machine.counted = cudaError_t(number);
    else if (name == "loaded")
        machine.loaded = cudaError_t(number);
    else  // a function that returns that error, always
        stand_in::fail(name, 0, cudaError_t(number));
}

int run(int count, char** arguments) {
    const std::string pace = arguments[2];
    stand_in::pace = pace == "lazy" ? stand_in::lazy : pace == "eager" ? stand_in::eager : atoi(pace.c_str());
    for (int i = 3; i < count; ++i) {
        const std::string argument = arguments[i];
        const size_t sign = argument.find('=');
        set(argument.substr(0, sign), argument.substr(sign + 1));
    }
    for (const auto* all : {&transfers, &memory, &failures, &every, &library})
        for (const Named& one : *all)
            if (std::strcmp(one.name, arguments[1]) == 0) {
                one.run();
                if (all_right()) std::puts("ok");
                return all_right() ? 0 : 1;
            }
    std::printf("no case %s\n", arguments[1]);
    return 2;
}

}  // namespace
}  // namespace cases

int main(int count, char** arguments) {
    mallopt(M_MMAP_THRESHOLD, 1 << 30);  // pages are used again: new ones are most of the time that a case takes
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    return count < 3 ? 2 : cases::run(count, arguments);
}
