// Whether a library does large products: the one that FUSEDNET_CUBLASLT names, which is opened for our device.
#include <dlfcn.h>

#include <cstdlib>

#include "cases.h"

namespace cases {
namespace {

struct Opened {
    int times = 0, on = -1;
};
Opened opened;

// The stand-in of the library; what it is opened on is noted.
void* fake() {
    void* const there = dlopen(std::getenv("FUSEDNET_CUBLASLT"), RTLD_NOW | RTLD_LOCAL);
    CHECK(there);
    *static_cast<void (**)()>(dlsym(there, "fake_opened")) = [] {
        ++opened.times;
        opened.on = stand_in::device_of_thread();
    };
    return there;
}

// Nobody else hears of it, and the thread's own device is what it was.
void check_ready(bool ready) {
    CHECK(device.library() == ready);
    CHECK(stand_in::device_of_thread() == 1 && cudaPeekAtLastError() == cudaSuccess);
}

void serves() {
    (void)fake();
    (void)cudaSetDevice(1);
    CHECK(text(fusednet::cuda::device_info().products).starts_with("cuBLASLt 13.0.2 ("));
    CHECK(opened.times == 0);  // not before it is asked for
    check_ready(true);
    check_ready(true);
    CHECK(opened.times == 1 && opened.on == 0);
}

void is_missing() {
    (void)cudaSetDevice(1);
    CHECK(text(fusednet::cuda::device_info().products).starts_with("our own kernels (FUSEDNET_CUBLASLT: "));
    check_ready(false);
    check_ready(false);
}

// It is there and has a text, but cannot be opened: our kernels do what it would, and a queue goes on.
void fails() {
    *static_cast<int*>(dlsym(fake(), "fake_refuses")) = 1;
    (void)cudaSetDevice(1);
    check_ready(false);
    check_ready(false);
    CHECK(opened.times == 1 && opened.on == 0);
    const Queue queue;
    CHECK(!device.library() && told() == "");
}

// Where our device does not become the current one, the library is not opened on another.
void not_on_another_device() {
    (void)fake();
    (void)cudaSetDevice(1);
    stand_in::fail("cudaSetDevice", 1, cudaErrorUnknown);
    check_ready(false);
    CHECK(opened.times == 0);
    check_ready(true);
    CHECK(opened.times == 1 && opened.on == 0);
}

}  // namespace

const std::vector<Named> library = {
    {"library serves", serves},
    {"library is missing", is_missing},
    {"library fails", fails},
    {"library not on another device", not_on_another_device},
};

}  // namespace cases
