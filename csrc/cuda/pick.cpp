#include "pick.h"

#include <string.h>

#include "device.h"

namespace fusednet {

#ifdef FUSEDNET_EMULATED_CUDA
namespace cuda_emulated {
extern const Table<float> table;
extern const Table<double> table64;
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

}  // namespace

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
        static const Table<float> float32 = on_device(cuda_emulated::table, cuda_emulated::device);
        static const Table<double> float64 = on_device(cuda_emulated::table64, cuda_emulated::device);
        static const Table<float> recorded = on_device(cuda_emulated::recorded_table, cuda_emulated::device);
        return {&float32, &float64, &recorded};
    }
#endif
    *why = "there is no such device";
    if (strcmp(name, "cuda") != 0) return {};
    const Device* const device = cuda::find_device(why);
    if (!device) return {};
    static const Table<float> float32 = on_device(*cuda::float32_table(), *device);
    static const Table<double> float64 = on_device(*cuda::float64_table(), *device);
    static const Table<float> recorded = on_device(*cuda::recorded_table(), *device);
    return {&float32, &float64, &recorded};
}

}  // namespace fusednet
