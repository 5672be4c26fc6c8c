#pragma once

#include <rocksdb/compaction_filter.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "record/time.hpp"
#include "state/state_backend.hpp"

namespace llmopt_stream {

/// RocksDB's values begin with the event time from which on they are gone.
namespace expiring_value {

inline constexpr std::size_t kHeader = sizeof(Timestamp);

/// The bytes of `expires`, in place.
[[nodiscard]] inline rocksdb::Slice header(const Timestamp& expires) noexcept {
    return {reinterpret_cast<const char*>(&expires), kHeader};
}
[[nodiscard]] inline Timestamp expiry(std::string_view sealed) noexcept {
    Timestamp expires = kMinTimestamp;
    if (sealed.size() >= kHeader) {
        std::memcpy(&expires, sealed.data(), kHeader);
    }
    return expires;
}
[[nodiscard]] inline std::string_view content(std::string_view sealed) noexcept {
    return sealed.substr(kHeader);
}

}  // namespace expiring_value

/// Leaves expired values out of the files that RocksDB writes.
class ExpiryFilter final : public rocksdb::CompactionFilter {
public:
    explicit ExpiryFilter(Timestamp expired_before) : expired_before_(expired_before) {}
    bool Filter(int /*level*/, const rocksdb::Slice& /*key*/, const rocksdb::Slice& value,
                std::string* /*new_value*/, bool* /*value_changed*/) const override {
        return has_expired(expiring_value::expiry({value.data(), value.size()}), expired_before_);
    }
    const char* Name() const override { return "llmopt_stream.ExpiryFilter"; }

private:
    Timestamp expired_before_;
};

class ExpiryFilterFactory final : public rocksdb::CompactionFilterFactory {
public:
    /// The filter of a compaction goes by what this is when the compaction begins.
    explicit ExpiryFilterFactory(const std::atomic<Timestamp>& expired_before)
        : expired_before_(&expired_before) {}
    std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
        const rocksdb::CompactionFilter::Context& /*context*/) override {
        return std::make_unique<ExpiryFilter>(expired_before_->load());
    }
    const char* Name() const override { return "llmopt_stream.ExpiryFilterFactory"; }

private:
    const std::atomic<Timestamp>* expired_before_;
};

}  // namespace llmopt_stream
