#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fusednet {
namespace {

void relax() noexcept {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// How long an idle worker spins before it parks: longer than the serial parts of a step, far below a millisecond.
constexpr auto spin_time = std::chrono::microseconds(100);

int cgroup_cpus() noexcept {
    double quota = 0, period = 0;
    if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
        if (std::fscanf(file, "%lf %lf", &quota, &period) != 2) quota = 0;
        std::fclose(file);
    }
    if (quota <= 0 || period <= 0) return max_threads;
    const int cpus = int(quota / period + 0.5);
    return cpus > 1 ? cpus : 1;
}

int affinity_cpus() noexcept {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const unsigned count = std::thread::hardware_concurrency();
    return count ? int(count) : 1;
}

int default_threads() noexcept {
    int limit = affinity_cpus();
    if (cgroup_cpus() < limit) limit = cgroup_cpus();
    if (max_threads < limit) limit = max_threads;
    for (const char* name : {"FUSEDNET_NUM_THREADS", "OMP_NUM_THREADS"}) {
        const char* value = std::getenv(name);
        const int asked = value ? std::atoi(value) : 0;
        if (asked > 0) return asked < limit ? asked : limit;
    }
    return limit;
}

class Pool {
public:
    // As many threads as the system gives, at least the caller's own.
    explicit Pool(int threads) {
        workers_.reserve(size_t(threads - 1));
        try {
            for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
        } catch (const std::system_error&) {
        }
        threads_ = int(workers_.size()) + 1;
    }

    ~Pool() {
        stop_.store(true);
        generation_.fetch_add(1);
        generation_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    bool run(Index tasks, Task task, void* context, void* scratch, bool flush) noexcept {
        std::unique_lock lock(busy_, std::try_to_lock);
        if (!lock) return false;
        const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
        task_.store(task, std::memory_order_relaxed);
        context_.store(context, std::memory_order_relaxed);
        flush_.store(flush, std::memory_order_relaxed);
        remaining_.store(tasks, std::memory_order_relaxed);
        for (int t = 0; t < threads_; ++t) {
            // closed before its end changes: else a late thread could hold an old ticket against the new end
            share_[t].ticket.store(uint64_t(generation) << 32 | closed, std::memory_order_relaxed);
            share_[t].end.store(uint32_t(tasks * (t + 1) / threads_), std::memory_order_release);
            share_[t].ticket.store(uint64_t(generation) << 32 | uint64_t(tasks * t / threads_),
                                   std::memory_order_release);
        }
        generation_.store(generation, std::memory_order_release);
        generation_.notify_all();
        take_part(0, generation, scratch);
        for (int spins = 0; remaining_.load(std::memory_order_acquire) > 0; ++spins) {
            // a worker that holds the last task may have lost its core to another process
            if (spins < 20000)
                relax();
            else
                std::this_thread::yield();
        }
        return true;
    }

private:
    // A thread's share of the tasks. The ticket holds the job's generation above the next task's number, so a claim
    // by a thread that is late for its job fails.
    struct alignas(64) Share {
        std::atomic<uint64_t> ticket{0};
        std::atomic<uint32_t> end{0};
    };

    static constexpr uint32_t closed = 0xffffffffu;

    void take_part(int self, uint32_t generation, void* scratch) noexcept {
        for (int i = 0; i < threads_; ++i) {
            Share& share = share_[(self + i) % threads_];
            uint64_t ticket = share.ticket.load(std::memory_order_acquire);
            while (uint32_t(ticket >> 32) == generation &&
                   uint32_t(ticket) < share.end.load(std::memory_order_acquire)) {
                if (!share.ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
                {
                    const FlushDenormals guard(flush_.load(std::memory_order_relaxed));
                    task_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed),
                                                          Index(uint32_t(ticket)), scratch);
                }
                remaining_.fetch_sub(1, std::memory_order_acq_rel);
                ticket = share.ticket.load(std::memory_order_acquire);
            }
        }
    }

    void work(int self) {
        const std::unique_ptr<char, void (*)(void*)> scratch(
            static_cast<char*>(std::aligned_alloc(64, size_t(scratch_bytes))), std::free);
        uint32_t seen = 0;
        while (scratch) {
            const auto parked_at = std::chrono::steady_clock::now() + spin_time;
            uint32_t generation = generation_.load(std::memory_order_acquire);
            for (int spins = 0; generation == seen; generation = generation_.load(std::memory_order_acquire)) {
                if (++spins % 64 == 0 && std::chrono::steady_clock::now() > parked_at) generation_.wait(seen);
                relax();
            }
            if (stop_.load()) return;
            seen = generation;
            take_part(self, generation, scratch.get());
        }
    }

    int threads_ = 1;  // set before the first job
    std::mutex busy_;
    std::atomic<bool> stop_{false};
    alignas(64) std::atomic<uint32_t> generation_{0};
    alignas(64) std::atomic<Index> remaining_{0};
    std::atomic<Task> task_{nullptr};
    std::atomic<void*> context_{nullptr};
    std::atomic<bool> flush_{false};
    Share share_[max_threads];
    std::vector<std::thread> workers_;
};

// Both outlive every static object: parked workers end with the process.
std::mutex& change = *new std::mutex;
std::shared_ptr<Pool>& pool = *new std::shared_ptr<Pool>;
std::atomic<int> wanted{0};
std::atomic<int> forks{0};

// A forked child has none of the workers: it starts with a pool of its own and leaves the parent's memory alone.
void forget_pool() {
    forks.fetch_add(1);
    new (&change) std::mutex;
    new (&pool) std::shared_ptr<Pool>;
}

const int registered = pthread_atfork(nullptr, nullptr, forget_pool);

std::shared_ptr<Pool> current_pool() noexcept {
    const int threads = get_num_threads();
    const std::lock_guard lock(change);
    try {
        if (!pool) pool = std::make_shared<Pool>(threads);
    } catch (...) {  // no thread to be had: callers run their own tasks
    }
    return pool;
}

}  // namespace

int fork_generation() noexcept {
    return registered == 0 ? forks.load(std::memory_order_relaxed) : 0;
}

int get_num_threads() noexcept {
    const int count = wanted.load();
    if (count > 0) return count;
    const int found = default_threads();
    int expected = 0;
    return wanted.compare_exchange_strong(expected, found) ? found : expected;
}

void set_num_threads(int count) {
    std::shared_ptr<Pool> old;  // ends with its last job, outside of the lock
    const std::lock_guard lock(change);
    wanted.store(count);
    old.swap(pool);
}

void run_tasks(Index tasks, Task task, void* context, void* scratch, bool flush_denormals) noexcept {
    if (tasks > 1 && get_num_threads() > 1) {
        const std::shared_ptr<Pool> held = current_pool();
        if (held && held->run(tasks, task, context, scratch, flush_denormals)) return;
    }
    const FlushDenormals guard(flush_denormals);
    for (Index i = 0; i < tasks; ++i) task(context, i, scratch);
}

FlushDenormals::FlushDenormals(bool enable) noexcept : enabled_(enable) {
    if (!enable) return;
#if defined(__x86_64__)
    saved_ = _mm_getcsr();
    _mm_setcsr(unsigned(saved_) | 0x8040u);  // flush to zero, denormals are zero
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | (uint64_t(1) << 24)));
#endif
}

FlushDenormals::~FlushDenormals() {
    if (!enabled_) return;
#if defined(__x86_64__)
    _mm_setcsr(unsigned(saved_));
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(saved_));
#endif
}

}  // namespace fusednet
