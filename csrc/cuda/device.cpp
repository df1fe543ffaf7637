// The devices of this machine, and whether this build can use the first of them.
#include "device.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cublaslt.h"
#include "current.h"
#include "panels.h"
#include "runtime.h"
#include "text.h"

namespace fusednet::cuda {

extern const Device device;
int probe_steps() noexcept;
namespace float32 {
extern const Table<float> table;
int probe_kernels() noexcept;
}  // namespace float32
namespace in_programs {
extern const Table<float> table;
}
namespace float64 {
extern const Table<double> table;
}

namespace {

// Kept for as long as the process lives.
struct Found {
    DeviceInfo info = {};
    pid_t process = getpid();
    char text[512] = {};

    Found() noexcept {
        info.built = true;
        info.capabilities = FUSEDNET_CUDA_CAPABILITIES;
        (void)cudaRuntimeGetVersion(&info.runtime);
        const cudaError_t asked = cudaDriverGetVersion(&info.driver);
        if (asked != cudaSuccess) info.driver = 0;
        const cudaError_t error = cudaGetDeviceCount(&info.count);
        (void)cudaGetLastError();
        if (error != cudaSuccess) info.count = 0;
        if (asked != cudaSuccess)
            print(text, sizeof text, "the driver's version: %s", cudaGetErrorString(asked));
        else if (info.driver == 0)
            print(text, sizeof text, "no NVIDIA driver is installed");
        else if (error == cudaErrorInsufficientDriver)
            print(text, sizeof text, "the driver is too old: it has CUDA %d.%d, this build needs %d.%d",
                  info.driver / 1000, info.driver % 1000 / 10, info.runtime / 1000, info.runtime % 1000 / 10);
        else if (error == cudaErrorNoDevice || (error == cudaSuccess && info.count == 0))
            print(text, sizeof text, "the driver finds no device%s",
                  std::getenv("CUDA_VISIBLE_DEVICES") ? " among CUDA_VISIBLE_DEVICES" : "");
        else if (error != cudaSuccess)
            print(text, sizeof text, "%s", cudaGetErrorString(error));
        else
            panel_problem(text, sizeof text);
        for (int i = 0; i < std::min(info.count, most_devices); ++i) describe(i);
        if (text[0]) info.reason = text;
    }

private:
    void describe(int number) noexcept {
        cudaDeviceProp properties;
        const cudaError_t error = cudaGetDeviceProperties(&properties, number);
        DeviceProperties& d = info.devices[number];
        if (error == cudaSuccess) {
            static_assert(sizeof d.name == sizeof properties.name);
            std::memcpy(d.name, properties.name, sizeof d.name);
            d.major = properties.major;
            d.minor = properties.minor;
            d.memory = properties.totalGlobalMem;
            d.cache = properties.l2CacheSize;
            return;
        }
        (void)cudaGetLastError();
        if (number == device_number) print(text, sizeof text, "device %d: %s", number, cudaGetErrorString(error));
    }
};

const Found& found() noexcept {
    static const Found once;
    return once;
}

// Whether our kernels load there, or why not; this opens the device, which costs memory and time. What had no room may
// have it when it is asked for again.
const char* not_loaded() noexcept {
    static std::atomic<bool> loaded = false;
    static thread_local char text[512];
    if (loaded.load(std::memory_order_relaxed)) return nullptr;
    const DeviceProperties& d = found().info.devices[device_number];
    const Current current;
    cudaError_t error = current.error();
    if (error == cudaSuccess) error = cudaError_t(float32::probe_kernels());
    if (error == cudaSuccess) error = cudaError_t(probe_steps());
    if (went(error)) {
        loaded.store(true, std::memory_order_relaxed);
        return nullptr;
    }
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction)
        print(text, sizeof text, "%s has compute capability %d.%d, this build has kernels for %s", d.name, d.major,
              d.minor, FUSEDNET_CUDA_CAPABILITIES);
    else
        print(text, sizeof text, "%s: %s", d.name, cudaGetErrorString(error));
    return text;
}

}  // namespace

const DeviceInfo& device_info() noexcept {
    static const DeviceInfo info = [] {
        DeviceInfo i = found().info;
        i.products = library_text();
        return i;
    }();
    return info;
}

bool has_library() noexcept {
    const Current current;
    return current.error() == cudaSuccess && library_ready();
}

void set_package_folders(std::vector<std::string> folders) {
    set_library_folders(std::move(folders));
}

const Device* find_device(const char** why) noexcept {
    *why = found().info.reason;
    if (*why) return nullptr;
    if (getpid() != found().process) {
        *why = "this process was forked from one that had used CUDA; start it anew (multiprocessing: \"spawn\")";
        return nullptr;
    }
    *why = not_loaded();
    return *why ? nullptr : &device;
}

ptrdiff_t panel_room() noexcept {
    static const ptrdiff_t room =
        panel_setting() == PanelSetting::yes ? room_of_panels(found().info.devices[device_number].cache) : 0;
    return room;
}

const Table<float>* float32_table() noexcept {
    return &float32::table;
}

const Table<float>* recorded_table() noexcept {
    return &in_programs::table;
}

const Table<double>* float64_table() noexcept {
    return &float64::table;
}

}  // namespace fusednet::cuda
