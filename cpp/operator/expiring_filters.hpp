#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "operator/scalable_bloom_filter.hpp"
#include "operator/value_hash.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// As ExpiringHashes, in bits per hash: one ScalableBloomFilter for each generation of ttl / 8
/// (rounded up) of event time. A generation is as live, and as near to a time, as any time in it
/// can be, so that a hash may be found up to one generation longer than ttl. A hash that is live
/// is always found; one that is not is found with at most the stated probability, all generations
/// together.
class ExpiringFilters {
public:
    /// Requires ttl > 0 and 0 < rate < 1.
    ExpiringFilters(Duration ttl, double rate) noexcept;

    /// See ExpiringHashes.
    void prefetch(const ValueHash&, Timestamp) const noexcept {}
    [[nodiscard]] bool accept(const ValueHash& hash, Timestamp time, Timestamp watermark);
    void drop_expired(Timestamp watermark);
    [[nodiscard]] std::size_t live(Timestamp watermark) const noexcept;
    [[nodiscard]] std::size_t allocated_bytes() const noexcept;

    /// The live generations, earliest first.
    void encode(ByteWriter& out, Timestamp watermark) const;
    void decode(ByteReader& in, Timestamp watermark);

private:
    /// By the last time in it, which says when it expires.
    using Generations = std::map<Timestamp, ScalableBloomFilter>;

    [[nodiscard]] Timestamp last_of_generation(Timestamp time) const noexcept;
    [[nodiscard]] bool is_live(Timestamp last, Timestamp watermark) const noexcept {
        return watermark < add_saturating(last, ttl_);
    }
    void add(const ValueHash& hash, Timestamp time, Timestamp watermark);

    Duration ttl_;
    Duration generation_;
    double rate_;  // of one generation
    Generations generations_;
};

}  // namespace llmopt_stream
