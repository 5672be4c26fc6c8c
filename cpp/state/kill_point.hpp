#pragma once

#include <string_view>

namespace llmopt_stream {

namespace kill_point_detail {
/// What the environment names; null where it names nothing.
extern const char* const kWanted;
void pass(std::string_view name);
}  // namespace kill_point_detail

/// Ends the process by SIGKILL, as a crash would, if the environment variable LLMOPT_STREAM_KILL_POINT names
/// this step: `checkpoint:before-rename`, or `checkpoint:before-rename:3` for its third passing. The variable
/// is read once, when the program starts; without it a step costs the load of one pointer.
inline void kill_point(std::string_view name) {
    if (kill_point_detail::kWanted != nullptr) [[unlikely]] {
        kill_point_detail::pass(name);
    }
}

}  // namespace llmopt_stream
