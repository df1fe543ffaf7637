// Stands in for the backend in a build without CUDA.
#include "device.h"

namespace fusednet::cuda {

namespace {
constexpr const char* missing =
    "this build has no CUDA backend; build it with pip install . -C cmake.define.FUSEDNET_CUDA=ON";
}

const DeviceInfo& device_info() noexcept {
    static constexpr DeviceInfo info = {.built = false, .reason = missing};
    return info;
}

void set_package_folders(std::vector<std::string>) {}

const Device* find_device(const char** why) noexcept {
    *why = missing;
    return nullptr;
}

const Table<float>* float32_table() noexcept {
    return nullptr;
}

const Table<float>* recorded_table() noexcept {
    return nullptr;
}

const Table<double>* float64_table() noexcept {
    return nullptr;
}

}  // namespace fusednet::cuda
