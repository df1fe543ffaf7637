// The ends of steps, which the device decides by itself, and many steps in one launch.
#include <mutex>

#include "target.h"

#include "device.h"
#include "program.h"
#include "runtime.h"
#include "steps.h"

namespace fusednet::cuda {

namespace frame {

constexpr bool launched = true, recorded = true;

#include "launch.h"

#include "frame.h"

}  // namespace frame

void judge_step(const Judgement& judgement) noexcept {
    frame::judge_step(judgement);
}

namespace {

// All blocks have ended what is before it. `goal` is how many have to have arrived.
__device__ void meet(unsigned* arrivals, unsigned& goal) {
    __syncthreads();
    if (gridDim.x == 1) return;
    if (threadIdx.x == 0) {
        goal += gridDim.x;
        __threadfence();  // what the block has written, which the barrier has shown to this thread
        atomicAdd(arrivals, 1u);
        while (*static_cast<volatile unsigned*>(arrivals) < goal) {
        }
        __threadfence();
    }
    __syncthreads();
}

// The same for all threads wherever it is asked: what may change it comes after another meeting.
__device__ bool refused(const Program& program) {
    return program.guard && *static_cast<const volatile int32_t*>(program.guard) != 0;
}

// A kernel's record lies in shared memory while it runs; the next one's is fetched meanwhile, by threads that often
// have nothing else to do.
__global__ void __launch_bounds__(program_threads) run_program(const Program program, const int64_t times) {
    constexpr int words = sizeof(Record) / sizeof(uint4);
    static_assert(sizeof(Record) % sizeof(uint4) == 0 && words <= program_threads);
    auto& memory = *reinterpret_cast<ProgramMemory*>(program_memory);
    if (program.tells) {
        *program.tells = &memory + 1;
        return;
    }
    if (program.chip_bytes > 0 && program.chip != &memory + 1) __trap();
    const int word = program_threads - 1 - int(threadIdx.x);
    const auto fetch = [&](int kernel, int slot) {
        if (word < words)
            reinterpret_cast<uint4*>(&memory.records[slot])[word] =
                reinterpret_cast<const uint4*>(&program.records[kernel])[word];
    };
    if (refused(program)) return;
    unsigned goal = 0;
    int slot = 0;
    fetch(0, slot);
    meet(program.arrivals, goal);
    for (int64_t i = 0; i < times; ++i)
        for (int kernel = 0; kernel < program.kernels; ++kernel, slot ^= 1) {
            fetch(kernel + 1 < program.kernels ? kernel + 1 : 0, slot ^ 1);
            const Record& record = memory.records[slot];
            const bool decides = record.decides;
            const int64_t first = int64_t(int(threadIdx.x) / record.threads) * gridDim.x + blockIdx.x;
            if (first < record.blocks) record.run(slot);
            meet(program.arrivals, goal);
            if (decides && refused(program)) return;
        }
}

// Of a block. More than 48 KiB has to be asked for: it is the most that the device has, since another thread may launch
// a program that needs more than this one's.
size_t allowed_shared_bytes() noexcept {
    int most = 0;
    if (cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device_number) != cudaSuccess ||
        cudaFuncSetAttribute(run_program, cudaFuncAttributeMaxDynamicSharedMemorySize, most) != cudaSuccess)
        return 0;
    return size_t(most);
}

// Cooperative: that sees to it that all blocks are there at once.
cudaError_t start(Program program, int64_t times) noexcept {
    void* arguments[] = {&program, &times};
    return cudaLaunchCooperativeKernel(run_program, dim3(unsigned(program.blocks)), dim3(program_threads), arguments,
                                       sizeof(ProgramMemory) + program.chip_bytes, stream());
}

}  // namespace

// As float32's: this code is linked apart from it.
int probe_steps() noexcept {
    cudaFuncAttributes attributes;
    return int(cudaFuncGetAttributes(&attributes, run_program));
}

void launch_program(const Program& program, int64_t times) noexcept {
    if (failed()) return;
    if (allowed_shared_bytes() > 0 &&
        cudaMemsetAsync(program.arrivals, 0, sizeof *program.arrivals, stream()) == cudaSuccess)
        (void)start(program, times);
    note_launch("of steps in one launch");
}

// Asked for by each queue until it is found: what has failed once, as for want of memory, may go well later.
void* chip_of_programs(size_t* bytes) noexcept {
    struct Chip {
        void* memory;
        size_t bytes;
    };
    static std::mutex lock;
    static Chip found = {};
    const std::lock_guard guard(lock);
    if (!found.memory) {
        Chip chip = {};
        void** told = nullptr;  // no workspace: the queue would be done with where there is no room for that
        const size_t allowed = allowed_shared_bytes();
        if (allowed > sizeof(ProgramMemory) && cudaMalloc(&told, sizeof *told) == cudaSuccess) {
            chip.bytes = (allowed - sizeof(ProgramMemory)) / 16 * 16;
            const bool known =
                start({.blocks = 1, .chip_bytes = chip.bytes, .tells = told}, 0) == cudaSuccess &&
                cudaMemcpyAsync(&chip.memory, told, sizeof *told, cudaMemcpyDeviceToHost, stream()) == cudaSuccess &&
                cudaStreamSynchronize(stream()) == cudaSuccess;
            if (known) found = chip;
        }
        (void)cudaFree(told);
        (void)cudaGetLastError();
    }
    *bytes = found.bytes;
    return found.memory;
}

}  // namespace fusednet::cuda
