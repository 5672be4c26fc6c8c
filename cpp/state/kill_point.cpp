#include "state/kill_point.hpp"

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>

namespace llmopt_stream::kill_point_detail {
namespace {

/// The passing that is the last one: 1 where `wanted` is just the name, 0 where it names another step.
std::uint64_t last_passing(std::string_view wanted, std::string_view name) {
    if (!wanted.starts_with(name)) {
        return 0;
    }
    wanted.remove_prefix(name.size());
    if (wanted.empty()) {
        return 1;
    }
    std::uint64_t passing = 0;
    const char* const end = wanted.data() + wanted.size();
    return wanted.front() == ':' && std::from_chars(wanted.data() + 1, end, passing).ptr == end ? passing : 0;
}

}  // namespace

const char* const kWanted = std::getenv("LLMOPT_STREAM_KILL_POINT");

void pass(std::string_view name) {
    static std::atomic<std::uint64_t> passings{0};
    const std::uint64_t last = last_passing(kWanted, name);
    if (last != 0 && ++passings == last) {
        std::raise(SIGKILL);
    }
}

}  // namespace llmopt_stream::kill_point_detail
