// How a kernel is written and run. A kernel is a struct of its arguments with
//   threads                            a block
//   Shared                             what the threads of a block share
//   Local                              what a thread keeps from one step to the next
//   decides                            where it may set the guard
//   steps()                            the same for every thread
//   run(step, thread, shared, local)   one thread's part of a step; all threads end a step before any begins the next
// The device has a barrier between steps; the host runs the threads of a step one after the other, those of every other
// block backwards, from memory full of NaN, and all of it the other way round in other launches. So a first value that
// is not set shows in a result, and what depends on the order of blocks or threads in the results of two launches;
// tests/cuda_races.cpp looks for races that change no result.
//
// A kernel has a launch of its own, or is one of a program's (program.h). Each block of that launch, `places` of them,
// then has room for `abreast` of the kernel's blocks side by side. They know nothing of each other, take one block
// after the other, and meet all the others before the next kernel begins.

struct Thread {
    Index block, blocks;
    int index;
};

struct Nothing {};

template <class K>
constexpr int abreast = program_threads / K::threads;

// The first block of a side, and from each to its next. Few blocks go to many places.
FUSEDNET_INLINE Index first_block(int side, Index place, Index places) {
    return side * places + place;
}
template <class K>
FUSEDNET_INLINE Index next_block(Index places) {
    return abreast<K> * places;
}

#ifdef __CUDACC__

template <class K>
__global__ void __launch_bounds__(K::threads) run_kernel(const __grid_constant__ K kernel, const int32_t* guard) {
    if (guard && *guard != 0) return;
    __shared__ alignas(16) unsigned char bytes[sizeof(typename K::Shared)];
    auto& shared = *reinterpret_cast<typename K::Shared*>(bytes);
    typename K::Local local;
    const Thread thread{Index(blockIdx.x), Index(gridDim.x), int(threadIdx.x)};
    const int steps = kernel.steps();
    for (int step = 0; step < steps; ++step) {
        if (step > 0) __syncthreads();
        kernel.run(step, thread, shared, local);
    }
}

// What a side of a program's block does of a kernel. Only sides that have a block of it come here.
template <class K>
__device__ void run_recorded(int slot) {
    static_assert(program_threads % K::threads == 0 && K::threads % 32 == 0 && sizeof(K) <= sizeof(Record::kernel));
    static_assert(abreast<K> * sizeof(typename K::Shared) <= sizeof(ProgramMemory::shared));
    auto& memory = *reinterpret_cast<ProgramMemory*>(program_memory);
    const Record& record = memory.records[slot];
    using Held = std::conditional_t<(sizeof(K) > held_kernel_bytes), const K&, const K>;  // a group stays where it is
    Held kernel = *reinterpret_cast<const K*>(record.kernel);
    const int side = int(threadIdx.x) / K::threads, steps = kernel.steps();
    const auto meet = [side] {
        if constexpr (K::threads == 32)
            __syncwarp();
        else  // barrier 0 is the block's
            __barrier_sync_count(unsigned(1 + side), K::threads);
    };
    auto& shared = reinterpret_cast<typename K::Shared*>(memory.shared)[side];
    const Index places = Index(gridDim.x), first = first_block(side, Index(blockIdx.x), places);
    for (Index block = first; block < record.blocks; block += next_block<K>(places)) {
        if (block > first && !std::is_same_v<typename K::Shared, Nothing>) meet();  // what is shared is free again
        const Thread thread{block, record.blocks, int(threadIdx.x) % K::threads};
        typename K::Local local;
        for (int step = 0; step < steps; ++step) {
            if (step > 0) meet();
            kernel.run(step, thread, shared, local);
        }
    }
}

// By one thread, in place of the launch.
template <class K>
__global__ void record_kernel(const __grid_constant__ K kernel, const int32_t blocks, Record* to) {
    to->run = run_recorded<K>;
    to->blocks = blocks;
    to->threads = K::threads;
    to->decides = requires { K::decides; };
    new (to->kernel) K(kernel);
}

// In the order of the calling thread's stream. A failure is kept with the name; see runtime.h.
template <class K>
void launch(const char* name, Index blocks, const K& kernel) noexcept {
    if (blocks == 0 || failed() || !can_launch(name, blocks)) return;
    if constexpr (recorded)
        if (recording()) {
            Record* const to = next_record();
            if (!to) return;
            record_kernel<K><<<1, 1, 0, stream()>>>(kernel, int32_t(blocks), to);
            return note_launch(name);
        }
    if constexpr (launched) {
        if (recording()) return refuse_recording();
        run_kernel<K><<<unsigned(blocks), K::threads, 0, stream()>>>(kernel, guard());
        note_launch(name);
    }
}

#else

template <class K>
void run_block(Index block, Index blocks, const K& kernel, bool backwards) noexcept {
    typename K::Shared shared;
    typename K::Local local[K::threads];
    __builtin_memset(static_cast<void*>(&shared), 0xff, sizeof shared);
    __builtin_memset(static_cast<void*>(local), 0xff, sizeof local);
    for (int step = 0; step < kernel.steps(); ++step)
        for (int i = 0; i < K::threads; ++i) {
            const int thread = (block % 2 != 0) != backwards ? K::threads - 1 - i : i;
            kernel.run(step, {block, blocks, thread}, shared, local[thread]);
        }
}

// Each kernel's launches go by the sequence of Thue and Morse: no three in succession have one order, nor, as they
// would by turns, those at one place of a step that is replayed.
template <class K>
bool next_backwards() noexcept {
    static thread_local unsigned launches = 0;
    return __builtin_parity(launches++) != 0;
}

// On so many places, or on as many as there are blocks for 0.
template <class K>
void launch(const char* name, Index blocks, const K& kernel) noexcept {
    if (!can_launch(name, blocks)) return;
    const auto work = [=](Index places) {
        const bool backwards = next_backwards<K>();
        const auto turn = [=](Index i, Index count) { return backwards ? count - 1 - i : i; };
        for (Index i = 0; places == 0 && i < blocks; ++i) run_block(turn(i, blocks), blocks, kernel, backwards);
        for (Index i = 0; i < places; ++i)
            for (int side = 0; side < abreast<K>; ++side)
                for (Index block = first_block(int(turn(side, abreast<K>)), turn(i, places), places); block < blocks;
                     block += next_block<K>(places))
                    run_block(block, blocks, kernel, backwards);
    };
    enqueue(work, requires { K::decides; });
}

#endif
