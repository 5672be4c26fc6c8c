#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

namespace llmopt_stream {

/// States are bytes; their parts are read and written through these.
template <typename T>
    requires std::is_trivially_copyable_v<T>
[[nodiscard]] inline T load_part(const std::byte* from) noexcept {
    T value;
    std::memcpy(static_cast<void*>(&value), from, sizeof(T));
    return value;
}
template <typename T>
    requires std::is_trivially_copyable_v<T>
inline void store_part(std::byte* to, const T& value) noexcept {
    std::memcpy(to, static_cast<const void*>(&value), sizeof(T));
}

}  // namespace llmopt_stream
