// What CUDA offers in this build and on this machine. A build without CUDA answers in stubs.cpp.
#pragma once

#include <string>
#include <vector>

#include "../base/device.h"
#include "../base/table.h"

namespace fusednet::cuda {

// Of those that CUDA_VISIBLE_DEVICES lets through, the first.
constexpr int device_number = 0;
constexpr int most_devices = 16;

struct DeviceProperties {
    char name[256];
    int major, minor;  // compute capability
    size_t memory;     // bytes
    int cache;         // bytes of its second level
};

struct DeviceInfo {
    bool built = false;
    const char* reason = nullptr;   // why CUDA cannot be used, or null
    const char* capabilities = "";  // that kernels were compiled for: "8.0 9.0 10.0 12.0"
    int runtime = 0, driver = 0;    // CUDA's versions: 13000 is 13.0; 0: none
    int count = 0;                  // of devices, of which most_devices are described
    DeviceProperties devices[most_devices] = {};
    const char* products = nullptr;  // what serves large matrix products
};

// Found out once, at the first call.
const DeviceInfo& device_info() noexcept;

bool has_library() noexcept;  // whether one does large products there
// Folders of Python's packages, where NVIDIA's library for products may lie as well. Before anything else is asked.
void set_package_folders(std::vector<std::string> folders);
// The device, or null and why not.
const Device* find_device(const char** why) noexcept;
// Of kernels that work there; null where this build has none.
const Table<float>* float32_table() noexcept;
const Table<double>* float64_table() noexcept;
const Table<float>* recorded_table() noexcept;

}  // namespace fusednet::cuda
