#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "operator/value_hash.hpp"
#include "record/record_batch.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

struct KeyLimitPlan {
    /// How many keys may be live at once.
    std::uint64_t most_keys = 0;
    /// For how long after its latest event time a key is live, by the watermark.
    Duration horizon = 0;
    /// Whether a record of one key more ends the pipeline; otherwise it is shed.
    bool fails = false;
};

/// Bounds how many keys are live, and so the state of what comes behind: a record whose key is not live
/// while as many as may be are is shed. A key is live while the watermark before a record is below the key's
/// latest event time + horizon. What is shed depends neither on batch cuts nor on the number of shards.
class KeyLimit {
public:
    explicit KeyLimit(const KeyLimitPlan& plan) : plan_(plan) {}

    /// Leaves of `chosen`, records of the batch, those that are not shed. Throws Error(kState) where one
    /// would be and that is to end the pipeline.
    void choose(const RecordBatch& batch, std::span<const Timestamp> watermark_before,
                std::vector<std::uint32_t>& chosen);
    void on_watermark(Timestamp watermark);

    [[nodiscard]] std::size_t live() const noexcept { return expiry_.size(); }
    [[nodiscard]] std::size_t state_bytes() const noexcept;

    /// The bytes are a function of the live keys.
    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    struct Hash {
        std::size_t operator()(const ValueHash& hash) const noexcept { return hash.low; }
    };
    /// When a key may have expired. A key has one; it is set anew if the key lives longer.
    struct Due {
        Timestamp time;
        ValueHash key;
    };

    /// Whether a record goes on; remembers its key if so.
    [[nodiscard]] bool admit(const ValueHash& key, Timestamp time, Timestamp watermark_before);
    void forget_expired(Timestamp watermark);
    void push_due(const Due& due);

    KeyLimitPlan plan_;
    std::unordered_map<ValueHash, Timestamp, Hash> expiry_;
    std::vector<Due> due_;  // a heap, the earliest on top

    // Scratch, of the keys of a batch.
    std::vector<ValueHash> hashes_;
};

}  // namespace llmopt_stream
