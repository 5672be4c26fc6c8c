#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "operator/value_hash.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// Hashes with their event times, each live until the watermark reaches its time + ttl: an
/// open-addressing table of 24 bytes per slot, of which at most three quarters are taken.
/// Watermarks given to it never fall. No answer depends on when expired entries are dropped.
class ExpiringHashes {
public:
    /// Requires ttl > 0.
    explicit ExpiringHashes(Duration ttl) noexcept;

    /// Brings what accept() will look at closer.
    void prefetch(const ValueHash& hash, Timestamp time) const noexcept;

    /// False if the hash is live with a time less than ttl away from `time`. Otherwise true, and
    /// it is remembered with `time` unless that has itself expired.
    [[nodiscard]] bool accept(const ValueHash& hash, Timestamp time, Timestamp watermark);

    /// Drops the expired entries once all those have expired that were left the last time, so that
    /// an entry is moved only a few times in its life; no memory is held when nothing is live.
    void drop_expired(Timestamp watermark);

    /// How many entries are live; reads the whole table.
    [[nodiscard]] std::size_t live(Timestamp watermark) const noexcept;
    [[nodiscard]] std::size_t allocated_bytes() const noexcept { return slots_.capacity() * sizeof(Entry); }

    /// The live entries in order of hash and time.
    void encode(ByteWriter& out, Timestamp watermark) const;
    void decode(ByteReader& in, Timestamp watermark);

private:
    struct Entry {
        ValueHash hash;  // zero: the slot is empty
        Timestamp time = 0;
        friend auto operator<=>(const Entry&, const Entry&) = default;
    };

    /// A value may be live with many times. Its entries are spread over the table by epochs of
    /// event time, so that few share a home: times less than ttl apart are in the same epoch or in
    /// neighbouring ones, and usually in the same.
    struct Epoch {
        std::int64_t number;
        Duration into;
    };
    [[nodiscard]] Epoch epoch_of(Timestamp time) const noexcept;
    [[nodiscard]] std::size_t home(const ValueHash& hash, std::int64_t epoch) const noexcept;
    [[nodiscard]] std::size_t next(std::size_t at) const noexcept {
        return at + 1 == slots_.size() ? 0 : at + 1;
    }

    [[nodiscard]] bool is_live(const Entry& entry, Timestamp watermark) const noexcept {
        return watermark < add_saturating(entry.time, ttl_);
    }
    [[nodiscard]] bool is_near(const Entry& entry, Timestamp time) const noexcept;
    [[nodiscard]] bool finds(const ValueHash& hash, Timestamp time, std::int64_t epoch,
                             Timestamp watermark) const noexcept;

    void put(const Entry& entry) noexcept;
    /// Leaves no expired entry, and of the slots at least a quarter of those that may be taken.
    void sweep(Timestamp watermark);
    void resize(std::size_t slots);
    void release() noexcept;

    Duration ttl_;
    Duration epoch_;
    std::vector<Entry> slots_;
    std::size_t taken_ = 0;
    std::size_t most_taken_ = 0;
    Timestamp next_drop_ = kMaxTimestamp;
};

}  // namespace llmopt_stream
