// How many threads may be used: what the user said, within what the process is allowed.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "pool.h"

namespace fusednet {
namespace {

std::atomic<int> wanted{0};  // 0: not asked for yet

int affinity_cpus() noexcept {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const unsigned count = std::thread::hardware_concurrency();
    return count ? int(count) : 1;
}

// The number that text begins with, and what follows it; 0 if there is none. Too large a number is the largest.
long leading_number(const char* text, const char** rest) noexcept {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    while (std::isspace(static_cast<unsigned char>(*end))) ++end;
    *rest = end;
    return end == text ? 0 : value;
}

bool empty(const char* text) noexcept {
    while (text && std::isspace(static_cast<unsigned char>(*text))) ++text;
    return !text || !*text;
}

long asked_by_environment() noexcept {
    const char* rest = nullptr;
    const char* own = std::getenv("FUSEDNET_NUM_THREADS");
    if (!empty(own)) return leading_number(own, &rest);
    const char* shared = std::getenv("OMP_NUM_THREADS");  // a list: one number a level of nesting
    if (empty(shared)) return 0;
    const long first = leading_number(shared, &rest);
    return *rest == '\0' || *rest == ',' ? first : 0;
}

// What the file holds, or nothing. Not by iostreams: those of two C++ libraries in one process do not go together.
std::string text_of(const std::string& path) {
    std::string text;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
    char part[1024];
    for (size_t n; file && (n = std::fread(part, 1, sizeof part, file.get())) > 0;) text.append(part, n);
    return text;
}

// f(part) for what is between the separators.
template <class F>
void for_parts(const std::string& text, char separator, F f) {
    for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
        end = std::min(text.find(separator, begin), text.size());
        f(text.substr(begin, end - begin));
    }
}

// Within folder and the folders above it up to root: the least quota over its period, as the two files' texts say it.
double least_quota(const std::string& root, std::string folder, const char* quota_file, const char* period_file) {
    double least = max_threads;
    for (;;) {
        const std::string quota = text_of(root + folder + quota_file);
        char* rest = nullptr;
        const double time = std::strtod(quota.c_str(), &rest);
        const double period = std::strtod(period_file ? text_of(root + folder + period_file).c_str() : rest, nullptr);
        if (time > 0 && period > 0 && time / period < least) least = time / period;
        const size_t slash = folder.rfind('/');
        if (slash == std::string::npos) return least;
        folder.resize(slash);
    }
}

int default_threads() noexcept {
    int limit = affinity_cpus();
    try {
        const int quota = cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
        if (quota < limit) limit = quota;
    } catch (...) {  // no memory for a path: no limit known
    }
    if (max_threads < limit) limit = max_threads;
    const long asked = asked_by_environment();
    return asked > 0 && asked < limit ? int(asked) : limit;
}

}  // namespace

int cgroup_cpus(const std::string& groups, const std::string& root) {
    double least = max_threads;
    const auto look = [&](const std::string& mount, const std::string& folder, const char* quota, const char* period) {
        const double found = least_quota(mount, folder == "/" ? "" : folder, quota, period);
        if (found < least) least = found;
    };
    for_parts(text_of(groups), '\n', [&](const std::string& line) {  // number:controllers:/folder
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) return;
        const std::string controllers = line.substr(first + 1, second - first - 1), folder = line.substr(second + 1);
        if (controllers.empty()) look(root, folder, "/cpu.max", nullptr);
        for_parts(controllers, ',', [&](const std::string& name) {
            if (name != "cpu") return;
            for (const std::string& mount : {root + "/" + controllers, root + "/cpu"})
                look(mount, folder, "/cpu.cfs_quota_us", "/cpu.cfs_period_us");
        });
    });
    return least > 1.5 ? int(least + 0.5) : 1;
}

const char* bad_environment() noexcept {
    const char* value = std::getenv("FUSEDNET_NUM_THREADS");
    const char* rest = nullptr;
    if (wanted.load() > 0 || empty(value) || (leading_number(value, &rest) >= 1 && !*rest)) return nullptr;
    return value;
}

int get_num_threads() noexcept {
    const int count = wanted.load(std::memory_order_relaxed);
    if (count > 0) return count;
    const int found = default_threads();
    int expected = 0;
    return wanted.compare_exchange_strong(expected, found) ? found : expected;
}

void set_num_threads(int count) noexcept {
    wanted.store(count < 1 ? 1 : count < max_threads ? count : max_threads);
}

}  // namespace fusednet

// For tools that know a library by its file, as threadpoolctl does.
extern "C" {
__attribute__((visibility("default"))) int fusednet_get_num_threads() {
    return fusednet::get_num_threads();
}
__attribute__((visibility("default"))) void fusednet_set_num_threads(int count) {
    fusednet::set_num_threads(count);
}
}
