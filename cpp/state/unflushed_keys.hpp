#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>

#include "state/state_backend.hpp"

namespace llmopt_stream {

/// The keys whose changes are perhaps only in memory: changed since the last flush began that succeeded.
/// Usable from any thread.
class UnflushedKeys {
public:
    using Keys = std::unordered_set<std::string>;

    /// Once the changes have been made, so that none is forgotten that a flush beside it has missed.
    void add(const StateChanges& changes) {
        const std::scoped_lock lock(mutex_);
        for (const StateChange& change : changes.list()) {
            insert(change.key);
        }
    }
    /// All of them; the caller flushes, and gives them back if that fails.
    [[nodiscard]] Keys take() {
        const std::scoped_lock lock(mutex_);
        bytes_ = 0;
        return std::exchange(keys_, {});
    }
    void give_back(const Keys& keys) {
        const std::scoped_lock lock(mutex_);
        for (const std::string& key : keys) {
            insert(key);
        }
    }
    void clear() { (void)take(); }
    [[nodiscard]] Keys keys() const {
        const std::scoped_lock lock(mutex_);
        return keys_;
    }
    /// About what they take.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    void insert(const std::string& key) {
        if (keys_.insert(key).second) {
            bytes_ += key.size() + kEntry;
        }
    }

    /// A node, its place in the table and the string's own fields.
    static constexpr std::size_t kEntry = 64;

    mutable std::mutex mutex_;
    Keys keys_;
    std::atomic<std::size_t> bytes_{0};
};

}  // namespace llmopt_stream
