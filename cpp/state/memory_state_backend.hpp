#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "state/state_backend.hpp"

namespace llmopt_stream {

/// Keys and checkpoints in memory: gone with the object. A checkpoint copies every key and value.
class MemoryStateBackend final : public StateBackend {
public:
    [[nodiscard]] std::optional<std::string> get(std::string_view key) override;
    void apply(const StateChanges& changes) override;
    void scan(std::string_view prefix, const Visit& visit, std::string_view from) override;
    void clear() override;
    void set_expired_before(Timestamp time) override;
    void compact() override;
    void checkpoint(std::uint64_t id, std::string_view manifest) override;
    std::string restore(std::uint64_t id, RestoreCheck check) override;
    [[nodiscard]] std::vector<CheckpointInfo> checkpoints() override;
    [[nodiscard]] std::vector<std::string> verify(std::uint64_t id) override;
    void discard(std::uint64_t id) override;
    [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return bytes_written_; }
    [[nodiscard]] std::uint64_t bytes_read() const noexcept override { return bytes_read_; }
    void close() override;

private:
    struct Value {
        std::string bytes;
        Timestamp expires;
    };
    using Values = std::map<std::string, Value, std::less<>>;
    struct Checkpoint {
        CheckpointInfo info;
        std::shared_ptr<const Values> values;
        Timestamp expired_before;
    };

    void require_open() const;
    [[nodiscard]] const Checkpoint& checkpoint_of(std::uint64_t id) const;

    mutable std::shared_mutex mutex_;
    Values values_;
    std::map<std::uint64_t, Checkpoint> checkpoints_;
    Timestamp expired_before_ = kMinTimestamp;
    std::optional<std::uint64_t> last_id_;
    bool closed_ = false;
    std::atomic<std::uint64_t> bytes_written_{0};
    std::atomic<std::uint64_t> bytes_read_{0};
};

}  // namespace llmopt_stream
