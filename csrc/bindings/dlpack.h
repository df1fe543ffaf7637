// DLPack's C interface, as far as it is needed: https://dmlc.github.io/dlpack/latest/c_api.html
#pragma once

#include <stdint.h>

namespace fusednet::bindings::dlpack {

enum Kind : int32_t { cpu = 1, cuda = 2, cuda_managed = 13 };
enum Code : uint8_t { integer = 0, unsigned_integer = 1, floating = 2, boolean = 6 };

struct Place {
    int32_t kind, number;
};
struct Type {
    uint8_t code, bits;
    uint16_t lanes;
};
struct Tensor {
    void* data;
    Place place;
    int32_t ndim;
    Type type;
    int64_t *shape, *strides;  // in elements; no strides: C-contiguous
    uint64_t byte_offset;
};

struct Managed {
    Tensor tensor;
    void* context;
    void (*deleter)(Managed*);
};
constexpr const char* name = "dltensor";
constexpr const char* used_name = "used_dltensor";

constexpr uint64_t read_only = 1;
struct Versioned {
    uint32_t major, minor;
    void* context;
    void (*deleter)(Versioned*);
    uint64_t flags;
    Tensor tensor;
};
constexpr const char* versioned_name = "dltensor_versioned";
constexpr const char* used_versioned_name = "used_dltensor_versioned";

}  // namespace fusednet::bindings::dlpack
