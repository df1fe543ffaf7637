#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fusednet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

void relax() noexcept {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Which core this thread is on, or a number that no two threads share.
int core(int self) noexcept {
#if defined(__linux__)
    const int cpu = sched_getcpu();
    if (cpu >= 0) return cpu;
#endif
    return -1 - self;
}

// How long an idle worker spins before it parks: longer than the serial parts of a step, far below a millisecond.
constexpr auto spin_time = microseconds(100);
// A caller waits for a worker's last task this long, and patient_tasks times as long as a task took itself: then the
// worker has lost its core to another process.
constexpr auto patience = microseconds(50);
constexpr int patient_tasks = 4;
// A worker that was late, or took no task of jobs of missed_time together, is not counted on for a while, twice as long
// each time that this happens again before it has been of use.
constexpr auto missed_time = microseconds(200), first_absence = microseconds(2000), last_absence = microseconds(64000);
// After another caller has been seen at work, for so long each leaves a core to the other.
constexpr auto company_time = microseconds(500);

thread_local bool alone = false;  // this thread's tasks are not to be shared
thread_local bool helped = true;  // no job lacked its workers

void keep_denormals() noexcept {
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
#elif defined(__aarch64__)
    uint64_t control = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control & ~(uint64_t(1) << 24)));
#endif
}

class Pool {
public:
    // False: the caller is to run its tasks alone.
    bool run(Index tasks, Task task, void* context, void* scratch, bool flush) noexcept {
        const auto now = Clock::now();
        const int threads = threads_beside(callers_.load(std::memory_order_relaxed), now);
        if (threads < 2 || busy_.exchange(true, std::memory_order_acquire)) return helped = false;
        if (threads > started_) start(threads);
        const int shares = int(std::min<Index>({Index(threads), Index(started_), tasks}));
        const uint64_t members = present(shares, now);
        if (members) lead(tasks, task, context, scratch, flush, shares, members, now);
        busy_.store(false, std::memory_order_release);
        if (!members) helped = false;
        return members != 0;
    }

    // Counts a caller while it has tasks to run.
    class Caller {
    public:
        explicit Caller(Pool& pool) noexcept : pool_(pool) { pool_.callers_.fetch_add(1, std::memory_order_relaxed); }
        ~Caller() { pool_.callers_.fetch_sub(1, std::memory_order_relaxed); }
        Caller(const Caller&) = delete;
        Caller& operator=(const Caller&) = delete;

    private:
        Pool& pool_;
    };

private:
    // What a worker reads to take part, in the line that it watches. It may read on from an older or a newer job until
    // it has claimed a task; a job with an unfinished task stays.
    struct alignas(64) Job {
        std::atomic<uint32_t> generation{0};
        std::atomic<int> shares{0};
        std::atomic<uint64_t> members{0};  // a bit for each worker that is counted on
        std::atomic<Task> task{nullptr};
        std::atomic<void*> context{nullptr};
        std::atomic<bool> flush{false};
        std::atomic<int> core{-1};  // the caller's
    };

    // A thread's share of the tasks. The ticket holds the job's generation above the next task's number, so a claim
    // by a thread that is late for its job fails.
    struct alignas(64) Share {
        std::atomic<uint64_t> ticket{0};
        std::atomic<uint32_t> end{0};
    };

    struct alignas(64) Worker {
        std::atomic<uint32_t> parked{0};
        std::atomic<uint32_t> joined{0}, left{0};  // the last job of which it took a task, and that it is done with
        std::atomic<int> core{-1};                 // where it took its first
        // for the caller that has the workers
        Clock::time_point absent_until{};
        Clock::duration missed{}, absence = first_absence;
    };

    static constexpr uint32_t closed = 0xffffffffu;

    int threads_beside(int callers, Clock::time_point now) noexcept {
        const int wanted = get_num_threads();
        const auto since_start = now.time_since_epoch().count();
        if (callers > 1)
            company_until_.store((now + company_time).time_since_epoch().count(), std::memory_order_relaxed);
        else if (since_start >= company_until_.load(std::memory_order_relaxed))
            return wanted;
        return callers > 2 ? wanted - callers + 1 : wanted - 1;
    }

    // As many threads as the system gives, the caller's own included. They park when not wanted, and end with the
    // process.
    void start(int threads) noexcept {
        while (started_ < threads && !refused_) {
            try {
                std::thread([this, self = started_] { work(self); }).detach();
                ++started_;
            } catch (...) {
                refused_ = true;
            }
        }
    }

    uint64_t present(int shares, Clock::time_point now) noexcept {
        uint64_t members = 0;
        for (int t = 1; t < shares; ++t)
            if (workers_[t].absent_until <= now) members |= uint64_t(1) << t;
        return members;
    }

    void lead(Index tasks, Task task, void* context, void* scratch, bool flush, int shares, uint64_t members,
              Clock::time_point began) noexcept {
        const uint32_t generation = job_.generation.load(std::memory_order_relaxed) + 1;
        job_.shares.store(shares, std::memory_order_relaxed);
        job_.members.store(members, std::memory_order_relaxed);
        job_.task.store(task, std::memory_order_relaxed);
        job_.context.store(context, std::memory_order_relaxed);
        job_.flush.store(flush, std::memory_order_relaxed);
        job_.core.store(core(0), std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        for (int t = 0; t < shares; ++t) {
            // closed before its end changes: else a late thread could hold an old ticket against the new end
            share_[t].ticket.store(uint64_t(generation) << 32 | closed, std::memory_order_relaxed);
            share_[t].end.store(uint32_t(tasks * (t + 1) / shares), std::memory_order_release);
            share_[t].ticket.store(uint64_t(generation) << 32 | uint64_t(tasks * t / shares),
                                   std::memory_order_release);
        }
        // ordered against a worker that parks: either it sees the job or it is seen parked
        job_.generation.store(generation, std::memory_order_seq_cst);
        for (int t = 1; t < shares; ++t)
            if (members >> t & 1 && workers_[t].parked.load(std::memory_order_seq_cst)) {
                workers_[t].parked.store(0, std::memory_order_release);
                workers_[t].parked.notify_one();
            }
        const Index own = take_part(0, generation, scratch);
        const uint64_t late = own < tasks ? wait_for(uint32_t(tasks - own), own, generation, shares, began) : 0;
        const auto took = Clock::now() - began;
        if (late) helped = false;
        for (int t = 1; t < shares; ++t)
            if (members >> t & 1) judge(workers_[t], generation, late >> t & 1, took, began + took);
    }

    static void judge(Worker& worker, uint32_t generation, bool late, Clock::duration took,
                      Clock::time_point now) noexcept {
        const bool joined = worker.joined.load(std::memory_order_relaxed) == generation;
        worker.missed = joined ? Clock::duration::zero() : worker.missed + took;
        if (late || worker.missed > missed_time) {
            worker.absent_until = now + worker.absence;
            worker.absence = std::min<Clock::duration>(2 * worker.absence, last_absence);
            worker.missed = Clock::duration::zero();
        } else if (joined && now - worker.absent_until > worker.absence) {
            worker.absence = first_absence;
        }
    }

    // Until workers have run so many tasks. Returns those, a bit each, that were late.
    uint64_t wait_for(uint32_t others, Index own, uint32_t generation, int shares, Clock::time_point began) noexcept {
        uint32_t done = done_.load(std::memory_order_acquire);
        if (done == others) return 0;
        const auto waits = Clock::now();
        auto until = waits + patience + patient_tasks * (waits - began) / (own > 0 ? own : 1);
        const int here = core(0);
        for (int t = 1; t < shares; ++t)
            if (at_work(t, generation) && workers_[t].core.load(std::memory_order_relaxed) == here) until = waits;
        for (int spins = 1; (done = done_.load(std::memory_order_acquire)) != others; ++spins) {
            relax();
            if (spins % 32 == 0 && Clock::now() > until) break;
        }
        if (done == others) return 0;
        uint64_t late = 0;
        for (int t = 1; t < shares; ++t) late |= uint64_t(at_work(t, generation)) << t;
        // asleep, not spinning: the system may bring the worker to this core
        while ((done = done_.load(std::memory_order_acquire)) != others) done_.wait(done, std::memory_order_acquire);
        return late;
    }

    bool at_work(int t, uint32_t generation) const noexcept {
        return workers_[t].joined.load(std::memory_order_relaxed) == generation &&
               workers_[t].left.load(std::memory_order_relaxed) != generation;
    }

    bool claim(int self, int shares, uint32_t generation, int* tried, Index* i) noexcept {
        for (; *tried < shares; ++*tried) {
            Share& share = share_[(self + *tried) % shares];
            uint64_t ticket = share.ticket.load(std::memory_order_acquire);
            while (uint32_t(ticket >> 32) == generation && uint32_t(ticket) < share.end.load(std::memory_order_acquire))
                if (share.ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) {
                    *i = Index(uint32_t(ticket));
                    return true;
                }
        }
        return false;
    }

    // Returns how many tasks it ran.
    Index take_part(int self, uint32_t generation, void* scratch) noexcept {
        const int shares = job_.shares.load(std::memory_order_relaxed);
        int tried = 0;
        Index i = 0, ran = 0;
        if (!claim(self, shares, generation, &tried, &i)) return 0;
        if (self > 0) {
            workers_[self].core.store(core(self), std::memory_order_relaxed);
            workers_[self].joined.store(generation, std::memory_order_relaxed);
        }
        const Task task = job_.task.load(std::memory_order_relaxed);
        void* const context = job_.context.load(std::memory_order_relaxed);
        const FlushDenormals guard(job_.flush.load(std::memory_order_relaxed));
        do {
            task(context, i, scratch);
            ++ran;
        } while (claim(self, shares, generation, &tried, &i));
        return ran;
    }

    void work(int self) noexcept {
        keep_denormals();  // a thread starts with the settings of the one that started it
        const std::unique_ptr<char, void (*)(void*)> scratch(
            static_cast<char*>(std::aligned_alloc(64, size_t(scratch_bytes))), std::free);
        if (!scratch) return;
        Worker& own = workers_[self];
        auto parks_at = Clock::now() + spin_time;
        for (uint32_t seen = 0;;) {
            uint32_t generation = job_.generation.load(std::memory_order_acquire);
            for (int spins = 1; generation == seen; generation = job_.generation.load(std::memory_order_acquire)) {
                relax();
                // on the caller's own core it would only be in the way
                if (spins++ % 64 == 0 && (Clock::now() > parks_at || caller_is_here(self))) park(own, seen);
            }
            seen = generation;
            if (!(job_.members.load(std::memory_order_relaxed) >> self & 1)) {
                if (Clock::now() > parks_at || caller_is_here(self)) park(own, seen);  // jobs go on without it
                continue;
            }
            if (const Index ran = take_part(self, generation, scratch.get())) {
                own.left.store(generation, std::memory_order_relaxed);
                done_.fetch_add(uint32_t(ran), std::memory_order_acq_rel);
                done_.notify_one();
            }
            parks_at = Clock::now() + spin_time;
        }
    }

    bool caller_is_here(int self) const noexcept { return core(self) == job_.core.load(std::memory_order_relaxed); }

    void park(Worker& own, uint32_t seen) noexcept {
        own.parked.store(1, std::memory_order_seq_cst);
        if (job_.generation.load(std::memory_order_seq_cst) == seen) own.parked.wait(1, std::memory_order_acquire);
        own.parked.store(0, std::memory_order_relaxed);
    }

    Job job_;
    alignas(64) std::atomic<uint32_t> done_{0};  // by workers
    alignas(64) std::atomic<bool> busy_{false};
    int started_ = 1;
    bool refused_ = false;
    alignas(64) std::atomic<int> callers_{0};
    std::atomic<Clock::rep> company_until_{Clock::duration::min().count()};
    Share share_[max_threads];
    Worker workers_[max_threads];
};

// Outlives every static object: parked workers end with the process.
std::atomic<Pool*> pool{nullptr};
std::atomic<int> forks{0};

// A forked child has none of the workers: it starts with a pool of its own and leaves the parent's memory alone.
void forget_pool() {
    forks.fetch_add(1);
    pool.store(nullptr);
}

const int registered = pthread_atfork(nullptr, nullptr, forget_pool);

Pool* current_pool() noexcept {
    Pool* held = pool.load(std::memory_order_acquire);
    if (held) return held;
    Pool* made = new (std::nothrow) Pool;
    if (!made || pool.compare_exchange_strong(held, made)) return made;
    delete made;
    return held;
}

}  // namespace

int fork_generation() noexcept {
    return registered == 0 ? forks.load(std::memory_order_relaxed) : 0;
}

void share_tasks(bool shared) noexcept {
    alone = !shared;
    helped = true;
}

bool had_help() noexcept {
    return helped;
}

void run_tasks(Index tasks, Task task, void* context, void* scratch, bool flush_denormals) noexcept {
    Pool* const held = tasks > 1 && !alone && get_num_threads() > 1 ? current_pool() : nullptr;
    const auto run_all = [&] {
        const FlushDenormals guard(flush_denormals);
        for (Index i = 0; i < tasks; ++i) task(context, i, scratch);
    };
    if (!held) return run_all();
    const Pool::Caller counted(*held);
    if (!held->run(tasks, task, context, scratch, flush_denormals)) run_all();
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
