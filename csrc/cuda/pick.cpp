#include "pick.h"

#include <string.h>

#include <atomic>

#include "cache.h"
#include "device.h"

namespace fusednet {

#ifdef FUSEDNET_EMULATED_CUDA
namespace cuda_emulated {
extern const Table<float> device_table;
extern const Table<double> device_table64;
extern const Table<float> recorded_table;
extern const Device device;
}  // namespace cuda_emulated
#endif

namespace {

template <class T>
Table<T> on_device(Table<T> table, const Device& device) noexcept {
    table.device = &device;
    return table;
}

std::atomic<const Device*> opened = nullptr;  // once somebody has asked for it

}  // namespace

void trim_devices() noexcept {
    if (const Device* const device = opened.load(std::memory_order_relaxed)) device->trim();
#ifdef FUSEDNET_EMULATED_CUDA
    cuda_emulated::device.trim();
#endif
}

void make_room_by(void (*let_go)() noexcept) noexcept {
    cuda::make_room_by(let_go);
}

const char* const* known_devices() noexcept {
    static const char* const names[] = {"cuda",
#ifdef FUSEDNET_EMULATED_CUDA
                                        "cuda_emulated",
#endif
                                        nullptr};
    return names;
}

DeviceTables device_tables(const char* name, const char** why) noexcept {
#ifdef FUSEDNET_EMULATED_CUDA
    if (strcmp(name, "cuda_emulated") == 0) {
        static const Table<float> float32 = on_device(cuda_emulated::device_table, cuda_emulated::device);
        static const Table<double> float64 = on_device(cuda_emulated::device_table64, cuda_emulated::device);
        static const Table<float> recorded = on_device(cuda_emulated::recorded_table, cuda_emulated::device);
        return {&float32, &float64, &recorded};
    }
#endif
    *why = "there is no such device";
    if (strcmp(name, "cuda") != 0) return {};
    const Device* const device = cuda::find_device(why);
    if (!device) return {};
    opened.store(device, std::memory_order_relaxed);
    static const Table<float> float32 = on_device(*cuda::float32_table(), *device);
    static const Table<double> float64 = on_device(*cuda::float64_table(), *device);
    static const Table<float> recorded = on_device(*cuda::recorded_table(), *device);
    return {&float32, &float64, &recorded};
}

}  // namespace fusednet
