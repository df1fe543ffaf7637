// Messages into arrays of a fixed size. What does not fit is cut off.
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

namespace fusednet::cuda {

[[gnu::format(printf, 3, 4)]] inline void print(char* to, size_t size, const char* format, ...) noexcept {
    va_list values;
    va_start(values, format);
    vsnprintf(to, size, format, values);
    va_end(values);
}

}  // namespace fusednet::cuda
