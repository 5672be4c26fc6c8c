#include "state/memory_state_backend.hpp"

#include <algorithm>
#include <mutex>

#include "record/error.hpp"
#include "state/wall_clock.hpp"

namespace llmopt_stream {
void MemoryStateBackend::require_open() const {
    if (closed_) {
        throw Error(ErrorKind::kState, "the state backend is closed");
    }
}

std::optional<std::string> MemoryStateBackend::get(std::string_view key) {
    const std::shared_lock lock(mutex_);
    require_open();
    const auto found = values_.find(key);
    if (found == values_.end() || has_expired(found->second.expires, expired_before_)) {
        return std::nullopt;
    }
    bytes_read_ += key.size() + found->second.bytes.size();
    return found->second.bytes;
}

void MemoryStateBackend::apply(const StateChanges& changes) {
    const std::unique_lock lock(mutex_);
    require_open();
    for (const StateChange& change : changes.list()) {
        if (change.value) {
            values_.insert_or_assign(change.key, Value{*change.value, change.expires});
        } else {
            values_.erase(change.key);
        }
    }
    bytes_written_ += bytes_of(changes);
}

void MemoryStateBackend::scan(std::string_view prefix, const Visit& visit, std::string_view from) {
    const std::shared_lock lock(mutex_);
    require_open();
    for (auto at = values_.lower_bound(std::max(prefix, from));
         at != values_.end() && at->first.starts_with(prefix); ++at) {
        if (has_expired(at->second.expires, expired_before_)) {
            continue;
        }
        bytes_read_ += at->first.size() + at->second.bytes.size();
        if (!visit(at->first, at->second.bytes)) {
            return;
        }
    }
}

void MemoryStateBackend::clear() {
    const std::unique_lock lock(mutex_);
    require_open();
    values_.clear();
}

void MemoryStateBackend::set_expired_before(Timestamp time) {
    const std::unique_lock lock(mutex_);
    require_open();
    expired_before_ = std::max(expired_before_, time);
}

void MemoryStateBackend::compact() {
    const std::unique_lock lock(mutex_);
    require_open();
    std::erase_if(values_,
                  [this](const auto& each) { return has_expired(each.second.expires, expired_before_); });
}

void MemoryStateBackend::checkpoint(std::uint64_t id, std::string_view manifest) {
    const std::unique_lock lock(mutex_);
    require_open();
    if (last_id_ && id <= *last_id_) {
        throw Error(ErrorKind::kState, "checkpoint " + std::to_string(id) +
                                           ": ids have to grow, the last one is " +
                                           std::to_string(*last_id_));
    }
    CheckpointInfo info{id, wall_clock(), manifest.size(), std::string(manifest), {}};
    for (const auto& [key, value] : values_) {
        info.bytes += key.size() + value.bytes.size();
    }
    checkpoints_.insert_or_assign(
        id, Checkpoint{std::move(info), std::make_shared<const Values>(values_), expired_before_});
    last_id_ = id;
}

const MemoryStateBackend::Checkpoint& MemoryStateBackend::checkpoint_of(std::uint64_t id) const {
    const auto found = checkpoints_.find(id);
    if (found == checkpoints_.end()) {
        throw Error(ErrorKind::kCheckpoint,
                    "checkpoint " + std::to_string(id) + ": there is no such checkpoint");
    }
    return found->second;
}

std::string MemoryStateBackend::restore(std::uint64_t id, RestoreCheck) {
    const std::unique_lock lock(mutex_);
    require_open();
    const Checkpoint& checkpoint = checkpoint_of(id);
    values_ = *checkpoint.values;
    expired_before_ = checkpoint.expired_before;
    return checkpoint.info.manifest;
}

std::vector<CheckpointInfo> MemoryStateBackend::checkpoints() {
    const std::shared_lock lock(mutex_);
    require_open();
    std::vector<CheckpointInfo> infos;
    for (const auto& [id, checkpoint] : checkpoints_) {
        infos.push_back(checkpoint.info);
    }
    return infos;
}

std::vector<std::string> MemoryStateBackend::verify(std::uint64_t id) {
    const std::shared_lock lock(mutex_);
    require_open();
    (void)checkpoint_of(id);
    return {};
}

void MemoryStateBackend::discard(std::uint64_t id) {
    const std::unique_lock lock(mutex_);
    require_open();
    (void)checkpoint_of(id);
    checkpoints_.erase(id);
}

void MemoryStateBackend::close() {
    const std::unique_lock lock(mutex_);
    closed_ = true;
    values_.clear();
    checkpoints_.clear();
}

}  // namespace llmopt_stream
