#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kafka/kafka_client.hpp"
#include "kafka/kafka_messages.hpp"
#include "kafka/kafka_partitions.hpp"
#include "kafka/kafka_records.hpp"
#include "kafka/kafka_starts.hpp"
#include "kafka/key_partitions.hpp"
#include "kafka/topic_patterns.hpp"
#include "record/batch_builder.hpp"
#include "source/json_decoder.hpp"

namespace llmopt_stream {

/// What a group of processes makes of records whose group key is the same.
enum class KafkaGrouping : std::uint8_t {
    kUnchecked,
    /// One process reads all partitions: with less than that it fails.
    kSingle,
    /// Records of one key are in one partition: those of which that is not so are counted.
    kKeyed,
    /// The same, and the first of them fails.
    kKeyedOrFail,
};

struct KafkaConsumerSettings {
    KafkaClientSettings client;
    /// Names, and patterns that begin with "^".
    std::vector<std::string> topics;
    KafkaStartSettings starts;
    /// Reads up to what is there at open(), outside of the group's rebalancing.
    bool until_end = false;
    /// Puts the attributes of CloudEvents in binary mode around the payload.
    bool cloud_events = false;
    /// Commits what was handed out, by the clock.
    bool auto_commit = false;
    KafkaGrouping grouping = KafkaGrouping::kUnchecked;
    /// Where payloads are not JSON by themselves.
    KafkaPayloadDecoder payloads = nullptr;
    std::chrono::milliseconds max_poll_interval{300'000};
    /// After so long without partitions the log says what is waited for.
    std::chrono::milliseconds join_notice{5'000};
    /// After so long without next(), the process was suspended, say, the broker is asked for ends again.
    std::chrono::milliseconds absence{1'000};
};

struct KafkaConsumerCounts : KafkaRecordCounts {
    std::uint64_t repeats_dropped = 0;
    std::uint64_t rebalances = 0;
    std::uint64_t commits = 0;
    std::uint64_t commit_failures = 0;
    /// Records that retention took before they were read.
    std::uint64_t lost_offsets = 0;
    /// Of kKeyed: records without a key, or with one that was first seen in another partition.
    std::uint64_t split_keys = 0;
    /// Of kKeyed: records of keys beyond those that are remembered.
    std::uint64_t unchecked_keys = 0;
};

/// Reads the records of Kafka topics as batches of one partition each, in the order of their arrival.
///
/// Every offset is explicit: whatever a position, the group or the settings say about the start is looked up
/// when a partition is assigned, so that a partition without records has a position too. What librdkafka
/// hands out twice (after a rebalance, or while it validates offsets) is dropped.
///
/// One thread reads. While it is away for long, at work in a sink say, another one pauses the partitions and
/// keeps the membership of the group. positions(), commit(), counts() and lag() may be called from any
/// thread.
class KafkaConsumer final : public KafkaClient {
public:
    explicit KafkaConsumer(const KafkaConsumerSettings& settings);
    ~KafkaConsumer();

    /// Before open().
    void seek(const std::vector<std::string>& topics, const std::vector<KafkaOffset>& offsets);
    /// Throws KafkaFailure if no broker answers in time or a topic does not exist.
    void open();

    /// Replaces the batch by the next records of one partition, at most `max_records`; none if there are none
    /// yet after `wait`. False at the end of a bounded read. Throws KafkaFailure.
    bool next(JsonDecoder& decoder, BatchBuilder& builder, std::size_t max_records,
              std::chrono::milliseconds wait);
    /// The number of the partition that the last batch is of.
    [[nodiscard]] std::uint32_t partition() const noexcept { return partition_; }
    /// Whether a next batch would not have to wait.
    [[nodiscard]] bool has_next() const noexcept { return pending_ != nullptr; }
    /// All partitions that may give records, where they have changed before the last batch.
    [[nodiscard]] std::optional<std::vector<std::uint32_t>> take_partitions();
    /// Those that the broker may have further records of.
    [[nodiscard]] std::vector<std::uint32_t> partitions_behind() const;

    /// Of the last batch; only between calls of next().
    [[nodiscard]] KafkaRecords& records() noexcept { return records_; }
    [[nodiscard]] const KafkaRecords& records() const noexcept { return records_; }

    [[nodiscard]] std::vector<std::string> topics() const;
    [[nodiscard]] std::vector<KafkaOffset> positions() const;
    /// Commits those of them that are assigned, without waiting; the outcome is counted.
    void commit(const std::vector<KafkaOffset>& offsets);
    /// Commits whatever was handed out, and returns when the broker has it; from then on that is also done
    /// before a partition is given back. Throws KafkaFailure where the broker does not have it in time.
    void commit_and_wait();

    [[nodiscard]] KafkaConsumerCounts counts() const;
    /// By partition, how many offsets are between its position and the end that the broker last told of.
    [[nodiscard]] std::vector<std::pair<KafkaOffset, std::int64_t>> lag() const;

    /// Waits for commits under way and leaves the group, both within a deadline. Idempotent.
    void close() noexcept;

private:
    using Message = KafkaMessageHandle;
    using Partition = KafkaPartitions::Partition;

    void on_rebalance(rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t* partitions) override;
    void on_commit(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* partitions) override;

    void assign(rd_kafka_topic_partition_list_t* partitions);
    void revoke(const rd_kafka_topic_partition_list_t& partitions);
    void fetch(const rd_kafka_topic_partition_list_t* partitions);
    void fetch_nothing_of(rd_kafka_resp_err_t event, const rd_kafka_topic_partition_list_t& partitions);
    void commit(const rd_kafka_topic_partition_list_t* offsets);
    [[nodiscard]] bool is_cooperative() const;
    /// Goes on where there are records after the broker no longer has the next one.
    void recover(Partition& partition);
    [[nodiscard]] std::vector<std::pair<std::string, std::int32_t>> topics_existing();
    void assign_until_end(const std::vector<std::pair<std::string, std::int32_t>>& existing);
    void refuse_part_of_topics();
    [[nodiscard]] std::vector<std::pair<std::string, std::int32_t>> matching(
        const std::vector<std::pair<std::string, std::int32_t>>& existing) const;
    void check_key(const rd_kafka_message_t& message);

    [[nodiscard]] Partition* partition_of(const rd_kafka_message_t& message);
    void finish(Partition& partition);
    void explain_wait();
    /// After an absence, also one within next(): records may have come to partitions that were at their ends.
    void ask_for_ends_again();
    /// The next message that is a record, not one handed out before; nullptr after `wait`.
    [[nodiscard]] Message next_record(std::chrono::milliseconds wait);
    void refuse_event(const rd_kafka_message_t& message);
    void store_handed_out();
    /// Of what was handed out and is not committed, what can be.
    [[nodiscard]] rd_kafka_resp_err_t commit_handed_out();
    void keep_alive();
    void set_paused(bool paused);

    KafkaConsumerSettings settings_;
    TopicPatterns patterns_;
    KafkaPartitions partitions_;
    /// From open() on.
    std::optional<KafkaStarts> starts_;
    mutable std::mutex mutex_;

    // What the next call of next() begins with.
    Message pending_;
    KafkaMessages messages_;
    bool partitions_changed_ = false;
    std::optional<std::vector<std::uint32_t>> changed_before_batch_;
    std::optional<KafkaFailure> failure_;

    // The last batch.
    std::uint32_t partition_ = 0;
    KafkaRecords records_;

    KafkaConsumerCounts counts_;
    KeyPartitions key_partitions_;
    int commits_under_way_ = 0;
    bool commits_before_revoked_ = false;
    bool subscribed_ = false;
    /// The partition of the last message, which the next one is mostly of.
    const rd_kafka_topic_t* recent_topic_ = nullptr;
    Partition* recent_partition_ = nullptr;

    std::chrono::steady_clock::time_point polled_at_;
    std::chrono::system_clock::time_point polled_at_wall_;
    std::chrono::steady_clock::time_point absent_at_;
    std::chrono::steady_clock::time_point ends_asked_at_;
    std::chrono::steady_clock::time_point opened_at_;
    bool wait_is_explained_ = false;
    bool paused_ = false;
    bool closing_ = false;
    std::condition_variable closing_changed_;
    std::thread keeper_;
};

}  // namespace llmopt_stream
