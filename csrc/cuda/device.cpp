// The devices of this machine, and whether this build can use the first of them.
#include "device.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cublaslt.h"
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

// Kept for as long as the process lives, as what find_device says is.
struct Found {
    DeviceInfo info = {};
    pid_t process = getpid();
    char text[512] = {};

    Found() noexcept {
        info.built = true;
        info.capabilities = FUSEDNET_CUDA_CAPABILITIES;
        (void)cudaRuntimeGetVersion(&info.runtime);
        if (cudaDriverGetVersion(&info.driver) != cudaSuccess) info.driver = 0;
        const cudaError_t error = cudaGetDeviceCount(&info.count);
        (void)cudaGetLastError();
        if (error != cudaSuccess) info.count = 0;
        if (info.driver == 0)
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
    // Two transfers a clock, which is in kHz, of all bits of the bus.
    static double rate_of(int number) noexcept {
        int clock = 0, bits = 0;
        const bool told = cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, number) == cudaSuccess &&
                          cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, number) == cudaSuccess;
        if (!told) (void)cudaGetLastError();
        return told ? 2e3 * clock * bits / 8 : 0;
    }
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
            d.rate = rate_of(number);
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

// Whether one of our kernels loads there; this opens the device, which costs memory and time.
struct Loaded {
    char text[512] = {};
    Loaded() noexcept {
        const DeviceProperties& d = found().info.devices[device_number];
        int before = device_number;
        (void)cudaGetDevice(&before);
        cudaError_t error = cudaSetDevice(device_number);
        if (error == cudaSuccess) error = cudaError_t(float32::probe_kernels());
        if (error == cudaSuccess) error = cudaError_t(probe_steps());
        (void)cudaGetLastError();
        if (before != device_number) (void)cudaSetDevice(before);
        if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction)
            print(text, sizeof text, "%s has compute capability %d.%d, this build has kernels for %s", d.name, d.major,
                  d.minor, FUSEDNET_CUDA_CAPABILITIES);
        else if (error != cudaSuccess)
            print(text, sizeof text, "%s: %s", d.name, cudaGetErrorString(error));
    }
};

}  // namespace

const DeviceInfo& device_info() noexcept {
    static const DeviceInfo info = [] {
        DeviceInfo i = found().info;
        i.products = library_text();
        return i;
    }();
    return info;
}

const Device* find_device(const char** why) noexcept {
    *why = found().info.reason;
    if (*why) return nullptr;
    if (getpid() != found().process) {
        *why = "this process was forked from one that had used CUDA; start it anew (multiprocessing: \"spawn\")";
        return nullptr;
    }
    static const Loaded loaded;
    if (!loaded.text[0]) return &device;
    *why = loaded.text;
    return nullptr;
}

ptrdiff_t panel_room() noexcept {
    static const ptrdiff_t room = [] {
        const DeviceProperties& d = found().info.devices[device_number];
        return room_of_panels(d.cache, d.rate, panel_setting());
    }();
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
