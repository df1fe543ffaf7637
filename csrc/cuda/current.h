// Calls of CUDA's runtime that others in the process are not to notice.
#pragma once

#include <cuda_runtime_api.h>

#include "device.h"

namespace fusednet::cuda {

// Takes an error from the runtime as well, so that no later call is blamed for it.
inline bool went(cudaError_t error) noexcept {
    if (error == cudaSuccess) return true;
    (void)cudaGetLastError();
    return false;
}

// A process may use several devices; ours is current only while we need it to be.
class Current {
public:
    Current() noexcept : error_(cudaGetDevice(&before_)) {
        if (error_ == cudaSuccess && before_ != device_number) error_ = cudaSetDevice(device_number), changed_ = true;
        (void)went(error_);
    }
    ~Current() {
        if (changed_) (void)went(cudaSetDevice(before_));
    }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;
    // Why it may not be.
    cudaError_t error() const noexcept { return error_; }

private:
    int before_ = device_number;
    bool changed_ = false;
    cudaError_t error_;
};

}  // namespace fusednet::cuda
