#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kafka/kafka_handles.hpp"
#include "kafka/kafka_partitions.hpp"

namespace llmopt_stream {

/// Where partitions start that no position names.
struct KafkaStart {
    enum class Kind : std::uint8_t { kCommitted, kEarliest, kLatest, kTime };
    Kind kind = Kind::kCommitted;
    /// Of kTime: at the first record that is not earlier.
    std::int64_t time_ms = 0;
};

/// Where there is no committed offset, or the broker no longer has that record.
enum class OffsetReset : std::uint8_t { kEarliest, kLatest, kNone };

struct KafkaStartSettings {
    KafkaStart start;
    OffsetReset reset = OffsetReset::kEarliest;
    /// How long a broker may take to answer.
    std::chrono::milliseconds patience{30'000};
};

/// Finds the offsets to read partitions from: those of positions, of the group, or as the settings say.
///
/// Asks the broker, so that each is known before the first record, and throws KafkaFailure where it does not
/// answer in time.
class KafkaStarts {
public:
    /// What a partition has: `end` is the offset of the next record to come.
    struct Bounds {
        std::int64_t first = 0;
        std::int64_t end = 0;
    };
    using Warn = std::function<void(const std::string& text)>;

    /// `consumer` has to outlive this.
    KafkaStarts(rd_kafka_t* consumer, std::string brokers, const KafkaStartSettings& settings, Warn warn);

    /// Sets the offset of each partition of the list; returns those that the group has no offset of, unless
    /// they start with the first record anyway.
    [[nodiscard]] KafkaPartitionList look_up(rd_kafka_topic_partition_list_t* list,
                                             KafkaPartitions& partitions, bool is_first_assignment);
    /// In the order of the list.
    [[nodiscard]] std::vector<Bounds> bounds_of(const rd_kafka_topic_partition_list_t& list) const;
    /// Their ends; nullopt where the broker does not answer at once.
    [[nodiscard]] std::optional<std::vector<std::int64_t>> ends_now(
        const rd_kafka_topic_partition_list_t& list) const;
    /// `wanted` if there is such a record or it is the next one to come; otherwise as auto_offset_reset says,
    /// and what is lost is counted.
    [[nodiscard]] std::int64_t reachable(const KafkaPartitions::Partition& partition, std::int64_t wanted,
                                         Bounds bounds);

    /// Records that retention took before they were read.
    [[nodiscard]] std::uint64_t lost_offsets() const noexcept { return lost_offsets_; }

private:
    struct Answer {
        /// In the order of the list.
        std::vector<std::int64_t> offsets;
        rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
        /// Of which partitions the error is.
        std::string of;
    };

    void look_up_committed(rd_kafka_topic_partition_list_t* list) const;
    [[nodiscard]] std::int64_t start_of(const KafkaPartitions::Partition& partition, std::int64_t committed,
                                        Bounds bounds, bool is_first_assignment);
    /// The offsets of the first records that are not earlier, or negative; of the bounds, where the time is
    /// RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END.
    [[nodiscard]] std::vector<std::int64_t> offsets_at(const rd_kafka_topic_partition_list_t& list,
                                                       std::int64_t time_ms) const;
    [[nodiscard]] Answer ask(const rd_kafka_topic_partition_list_t& list, std::int64_t time_ms,
                             int wait_ms) const;

    rd_kafka_t* consumer_;
    std::string brokers_;
    KafkaStartSettings settings_;
    Warn warn_;
    std::uint64_t lost_offsets_ = 0;
};

}  // namespace llmopt_stream
