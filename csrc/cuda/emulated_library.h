// Products of the emulated device by a stand-in with cuBLASLt's C interface, for tests, where FUSEDNET_CUBLASLT names
// one: they join the queue. Included by emulated.cpp, after the queue.
#pragma once

namespace fusednet::cuda_emulated {

using cuda::LibraryProduct;
using cuda::note_failure;
using cuda::Operands;
using cuda::Served;

bool recording() noexcept {
    return queue && queue->captured && queue->captured->places > 0;
}
void refuse_recording() noexcept {
    queue->captured->refused = true;
}

#ifdef FUSEDNET_STAND_IN

// The real library would want a device.
bool library_found() noexcept {
    static const bool found = [] {
        const char* const path = std::getenv("FUSEDNET_CUBLASLT");
        void* const library = path && *path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
        return library && dlsym(library, "fake_calls") && cuda::library_found();
    }();
    return found;
}

bool library_ready() noexcept {
    return library_found() && cuda::library_ready();
}

void* library_workspace(size_t bytes) noexcept {
    static thread_local Workspace without_queue;
    return (queue ? queue->workspace : without_queue).get(Space::library, bytes);
}

#else

bool library_found() noexcept {
    return false;
}
bool library_ready() noexcept {
    return false;
}

#endif

}  // namespace fusednet::cuda_emulated

#ifdef FUSEDNET_STAND_IN

// What the stand-in does with a stream.
struct CUstream_st {
    void (*enqueue)(const std::function<void()>& work);
};

namespace fusednet::cuda {

CUstream_st* stream() noexcept {
    static CUstream_st here = {[](const std::function<void()>& work) {
        cuda_emulated::enqueue([work](Index) { work(); }, false, true, false);
    }};
    return &here;
}
bool failed() noexcept {
    return cuda_emulated::failed();
}
void* workspace_bytes(Space, size_t bytes) noexcept {
    return cuda_emulated::library_workspace(bytes);
}
void note_failure(const char* what, const char* why) noexcept {
    std::fprintf(stderr, "%s: %s\n", what, why);
    std::abort();
}

}  // namespace fusednet::cuda

#endif
