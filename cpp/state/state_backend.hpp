#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "record/time.hpp"

namespace llmopt_stream {

/// The expiry of a value that stays until it is deleted.
inline constexpr Timestamp kNeverExpires = kMaxTimestamp;

[[nodiscard]] constexpr bool has_expired(Timestamp expires, Timestamp expired_before) noexcept {
    return expires <= expired_before && expires != kNeverExpires;
}

struct StateChange {
    std::string key;
    /// None: the key is deleted.
    std::optional<std::string> value;
    Timestamp expires = kNeverExpires;
};

/// Changes that are made together. Of several to one key the last one counts.
class StateChanges {
public:
    /// From event time `expires` on the value is gone.
    void put(std::string key, std::string value, Timestamp expires = kNeverExpires) {
        changes_.push_back({std::move(key), std::move(value), expires});
    }
    void del(std::string key) { changes_.push_back({std::move(key), std::nullopt, kNeverExpires}); }
    void clear() noexcept { changes_.clear(); }
    [[nodiscard]] bool empty() const noexcept { return changes_.empty(); }
    [[nodiscard]] const std::vector<StateChange>& list() const noexcept { return changes_; }

private:
    std::vector<StateChange> changes_;
};

struct CheckpointInfo {
    std::uint64_t id = 0;
    /// Wall clock.
    Timestamp created = 0;
    std::uint64_t bytes = 0;
    /// What the caller gave with it.
    std::string manifest;
    /// Empty unless something is wrong with it.
    std::string damage;
};

/// What restore() looks at before it replaces anything: that every file is there with its size, or every
/// byte.
enum class RestoreCheck { kSizes, kBytes };

/// Keys and values, both any bytes, ordered by key; with copies of all of them, checkpoints, to go back to.
/// Every operation may be called from any thread; what a thread has applied before it calls checkpoint() is
/// in the checkpoint. What fails throws Error: kCheckpoint if a checkpoint cannot be made or restored, kState
/// otherwise.
class StateBackend {
public:
    /// Returns false to stop.
    using Visit = std::function<bool(std::string_view key, std::string_view value)>;

    StateBackend() = default;
    StateBackend(const StateBackend&) = delete;
    StateBackend& operator=(const StateBackend&) = delete;
    virtual ~StateBackend() = default;

    [[nodiscard]] virtual std::optional<std::string> get(std::string_view key) = 0;
    /// All or nothing.
    virtual void apply(const StateChanges& changes) = 0;
    /// The keys that begin with `prefix` and are not before `from`, ascending. `visit` must not call the
    /// backend.
    virtual void scan(std::string_view prefix, const Visit& visit, std::string_view from = {}) = 0;
    /// Forgets all keys; checkpoints stay.
    virtual void clear() = 0;

    /// Values with an expiry of `time` or before are gone. Never goes back, except by restore(). A checkpoint
    /// holds it: call it with the watermark of the changes that were applied, never with a later one.
    virtual void set_expired_before(Timestamp time) = 0;
    /// Frees the space of what was overwritten, deleted or has expired; blocks for as long as that takes.
    virtual void compact() = 0;

    /// Ids have to grow. When this returns, the checkpoint survives a crash of the machine; when it throws,
    /// the older ones are as they were, and it can be called again.
    virtual void checkpoint(std::uint64_t id, std::string_view manifest = {}) = 0;
    /// Replaces all keys by those of the checkpoint and returns its manifest. When it throws because the
    /// checkpoint is damaged, all is as it was.
    virtual std::string restore(std::uint64_t id, RestoreCheck check = RestoreCheck::kBytes) = 0;
    /// Ascending by id; damaged ones too.
    [[nodiscard]] virtual std::vector<CheckpointInfo> checkpoints() = 0;
    /// Reads every byte of a checkpoint; says what is damaged, one line each.
    [[nodiscard]] virtual std::vector<std::string> verify(std::uint64_t id) = 0;
    virtual void discard(std::uint64_t id) = 0;

    /// Bytes of keys and values that apply() took, and that get() and scan() gave, since it was opened.
    [[nodiscard]] virtual std::uint64_t bytes_written() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t bytes_read() const noexcept = 0;
    /// Afterwards every other operation throws Error(kState); calling it again does nothing.
    virtual void close() = 0;
};

/// What apply() counts.
[[nodiscard]] inline std::uint64_t bytes_of(const StateChanges& changes) noexcept {
    std::uint64_t bytes = 0;
    for (const StateChange& change : changes.list()) {
        bytes += change.key.size() + (change.value ? change.value->size() : 0);
    }
    return bytes;
}

}  // namespace llmopt_stream
