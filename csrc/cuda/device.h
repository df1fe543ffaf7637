// What is known of CUDA in this build.
#pragma once

namespace fusednet::cuda {

struct DeviceInfo {
    bool built;
    const char* reason;
};

DeviceInfo device_info() noexcept;

}  // namespace fusednet::cuda
