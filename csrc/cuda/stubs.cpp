// Stands in for the backend in a build without CUDA.
#include "device.h"

namespace fusednet::cuda {

DeviceInfo device_info() noexcept {
    return {.built = false, .reason = "this version has no CUDA backend"};
}

}  // namespace fusednet::cuda
