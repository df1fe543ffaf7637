// How a kernel is written and run. A kernel is a struct of its arguments with
//   threads                            a block
//   Shared                             what the threads of a block share
//   Local                              what a thread keeps from one step to the next
//   steps()                            the same for every thread
//   run(step, thread, shared, local)   one thread's part of a step; all threads end a step before any begins the next
// The device has a barrier between steps; the host runs the threads of a step one after the other, the odd blocks'
// backwards and from memory full of NaN, so that a missing barrier or a first value that is not set shows in a result.

struct Thread {
    Index block, blocks;
    int index;
};

struct Nothing {};

#ifdef __CUDACC__

template <class K>
__global__ void __launch_bounds__(K::threads) run_kernel(const K kernel, const int32_t* guard) {
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

// In the order of the calling thread's stream. A failure is kept with the name; see runtime.h.
template <class K>
void launch(const char* name, Index blocks, const K& kernel) noexcept {
    if (blocks == 0 || failed()) return;
    run_kernel<K><<<unsigned(blocks), K::threads, 0, stream()>>>(kernel, guard());
    note_launch(name);
}

#else

template <class K>
void launch(const char*, Index blocks, const K& kernel) noexcept {
    enqueue([=] {
        typename K::Shared shared;
        typename K::Local local[K::threads];
        for (Index block = 0; block < blocks; ++block) {
            __builtin_memset(static_cast<void*>(&shared), 0xff, sizeof shared);
            __builtin_memset(static_cast<void*>(local), 0xff, sizeof local);
            for (int step = 0; step < kernel.steps(); ++step)
                for (int i = 0; i < K::threads; ++i) {
                    const int thread = block % 2 ? K::threads - 1 - i : i;
                    kernel.run(step, {block, blocks, thread}, shared, local[thread]);
                }
        }
    });
}

#endif
