#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "operator/expiring_filters.hpp"
#include "operator/expiring_hashes.hpp"
#include "operator/value_hash.hpp"
#include "record/key_dictionary.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

struct DeduplicationPlan {
    /// How far apart in event time two records with one value must be for both to be accepted.
    Duration ttl = 0;
    /// How many of the records that are no duplicates may be taken for one; none without it.
    std::optional<double> false_positive_rate = {};
};

/// Which records are the first with their value. A record at time t is a duplicate if one with
/// the same value was accepted at a time s with |t - s| < ttl that is live: the watermark before
/// the record is below s + ttl. Otherwise it is accepted, and is live itself while the watermark
/// is below t + ttl. So of records within one ttl the first to arrive is accepted, and what is
/// accepted depends neither on batch cuts nor on when memory is freed.
///
/// Values are told apart by ValueHash, exactly (ExpiringHashes, 32 to 48 bytes per live value) or,
/// with a false positive rate, in bits per value (ExpiringFilters: for two records that are up to
/// ttl / 8 further apart the second may be a duplicate as well).
class Deduplication {
public:
    /// Throws Error(kConfiguration) unless ttl > 0 and the rate, if any, lies between 0 and 1.
    explicit Deduplication(const DeduplicationPlan& plan);

    /// Appends to `accepted` the index of each record that is no duplicate. Record i has the value
    /// `values.key(code[i])` and the time `event_time[i]`; `watermark_before[i]` is the watermark
    /// before it. A watermark below an earlier one counts as that one.
    void on_batch(std::span<const std::uint32_t> code, const KeyDictionary& values,
                  std::span<const Timestamp> event_time, std::span<const Timestamp> watermark_before,
                  std::vector<std::uint32_t>& accepted);

    /// Frees the memory of what has expired, if it is due; all of it once everything has.
    void on_watermark(Timestamp watermark);

    /// How many accepted records are live; exact ones are counted by reading the whole table.
    [[nodiscard]] std::size_t live() const noexcept;
    /// What live() records and those not freed yet take.
    [[nodiscard]] std::size_t state_bytes() const noexcept;

    /// The bytes are a function of the watermark and the live records; those of filters also of
    /// the order in which these arrived.
    void encode(ByteWriter& out) const;
    /// Into one of the same plan, whose state is replaced. Throws Error(kCheckpoint), and changes
    /// nothing, if no encode() wrote the bytes.
    void decode(ByteReader& in);

private:
    using Memory = std::variant<ExpiringHashes, ExpiringFilters>;

    [[nodiscard]] static Memory memory_of(const DeduplicationPlan& plan);
    [[nodiscard]] const ValueHash& hash_of(std::uint32_t code, const KeyDictionary& values);

    DeduplicationPlan plan_;
    Memory memory_;
    Timestamp watermark_ = kMinTimestamp;
    // Of the values of a dictionary; zero: not hashed yet.
    std::uint64_t hashed_dictionary_ = 0;
    std::vector<ValueHash> hashes_;
};

}  // namespace llmopt_stream
