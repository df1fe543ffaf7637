// A small pool of threads. Work is a number of tasks that depend on the shape alone; which thread takes which task
// changes nothing in the result. Workers spin briefly between jobs, then park.
#pragma once

#include <string>

#include "../base/table.h"

namespace fusednet {

// task(context, i, scratch): scratch holds scratch_bytes of the thread that runs it, 64-byte aligned.
using Task = void (*)(void* context, Index i, void* scratch);
constexpr Index plan_scratch = 16 * 1024;  // elements beside those of the matrix product
constexpr Index scratch_bytes = (gemm_scratch + plan_scratch) * Index(sizeof(double));

// How many threads a job may use. Default: FUSEDNET_NUM_THREADS, else the first number of OMP_NUM_THREADS, within the
// CPU affinity and the cgroups' quota. Set values are kept within 1 to max_threads.
int get_num_threads() noexcept;
void set_num_threads(int count) noexcept;
constexpr int max_threads = 64;

// What FUSEDNET_NUM_THREADS holds, if the number of threads follows from it and it is no integer of at least 1.
const char* bad_environment() noexcept;

// How many CPUs the quotas of a process's cgroups come to, of version 1 or 2, at most max_threads: from files laid out
// as /proc/self/cgroup and /sys/fs/cgroup are.
int cgroup_cpus(const std::string& groups, const std::string& root);

// Runs every task and returns when all are done. One job at a time has the workers; a second caller meanwhile runs
// its own tasks alone. flush_denormals holds for the tasks only.
void run_tasks(Index tasks, Task task, void* context, void* scratch, bool flush_denormals) noexcept;

// Below this many operations work is over before another thread has heard of it (about 2 µs).
constexpr double worth_sharing = 200e3;

// Whether this thread's tasks are shared from now on; at first they are.
void share_tasks(bool shared) noexcept;

// Whether, since then, every job of this thread that could be shared had workers, and none of them was late.
bool had_help() noexcept;

// How often this process has been forked from another: a lock held by a thread that was left behind stays locked.
int fork_generation() noexcept;

// Denormals count as zero, in this thread, until the guard's end.
class FlushDenormals {
public:
    explicit FlushDenormals(bool enable) noexcept;
    ~FlushDenormals();
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
    bool enabled_;
    uint64_t saved_ = 0;
};

}  // namespace fusednet
