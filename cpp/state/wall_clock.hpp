#pragma once

#include <chrono>

#include "record/time.hpp"

namespace llmopt_stream {

[[nodiscard]] inline Timestamp wall_clock() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

}  // namespace llmopt_stream
