#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "state/state_backend.hpp"

namespace llmopt_stream {

/// Where slices go that a memory budget has no room for, and what has gone there; for all shards of a
/// pipeline.
struct Spill {
    std::shared_ptr<StateBackend> backend;
    /// Of one shard's state.
    std::size_t most_bytes = 0;
    std::atomic<std::uint64_t> bytes_written{0};
    std::atomic<std::uint64_t> bytes_read{0};
    std::atomic<std::uint64_t> slices{0};  // that are not in memory now
};

}  // namespace llmopt_stream
