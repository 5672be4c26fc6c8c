#include "kafka/kafka_starts.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "kafka/kafka_error.hpp"

namespace llmopt_stream {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Partition = KafkaPartitions::Partition;

constexpr int kRequestMs = 5'000;
constexpr milliseconds kRetryDelay{100};

}  // namespace

KafkaStarts::KafkaStarts(rd_kafka_t* consumer, std::string brokers, const KafkaStartSettings& settings,
                         Warn warn)
    : consumer_(consumer), brokers_(std::move(brokers)), settings_(settings), warn_(std::move(warn)) {}

KafkaPartitionList KafkaStarts::look_up(rd_kafka_topic_partition_list_t* list, KafkaPartitions& partitions,
                                        bool is_first_assignment) {
    KafkaPartitionList without_commit = empty_partition_list();
    if (list->cnt == 0) {
        return without_commit;
    }
    rd_kafka_topic_partition_list_sort(list, nullptr, nullptr);
    look_up_committed(list);
    const bool starts_at_first =
        settings_.start.kind == KafkaStart::Kind::kEarliest ||
        (settings_.start.kind == KafkaStart::Kind::kCommitted && settings_.reset == OffsetReset::kEarliest);
    for (int at = 0; at < list->cnt; ++at) {
        rd_kafka_topic_partition_t& each = list->elems[at];
        const bool is_committed = each.offset >= 0;
        each.offset = start_of(partitions(each.topic, each.partition), each.offset, is_first_assignment);
        if (!is_committed && !starts_at_first) {
            rd_kafka_topic_partition_list_add(without_commit.get(), each.topic, each.partition)->offset =
                each.offset;
        }
    }
    return without_commit;
}

void KafkaStarts::look_up_committed(rd_kafka_topic_partition_list_t* list) const {
    const Clock::time_point until = Clock::now() + settings_.patience;
    while (const rd_kafka_resp_err_t error = rd_kafka_committed(consumer_, list, kRequestMs)) {
        if (!is_retriable(error) || Clock::now() >= until) {
            throw kafka_failure("committed offsets of " + brokers_, error);
        }
        std::this_thread::sleep_for(kRetryDelay);
    }
    for (int at = 0; at < list->cnt; ++at) {
        const rd_kafka_topic_partition_t& each = list->elems[at];
        if (each.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            throw kafka_failure("committed offset of " + partition_name(each.topic, each.partition),
                                each.err);
        }
    }
}

std::int64_t KafkaStarts::start_of(const Partition& partition, std::int64_t committed,
                                   bool is_first_assignment) {
    const Bounds bounds = bounds_of(partition);
    if (partition.next != KafkaPartitions::kUnknown) {
        // The first ones are where state and positions belong together. One that comes back, or from others,
        // is not read again where it has been read, whoever had it.
        const bool is_first = !partition.known && !partition.elsewhere;
        return reachable(partition, is_first ? partition.next : std::max(partition.next, committed), bounds);
    }
    if (is_first_assignment || committed < 0) {
        // Later on, a partition that others have read goes on where they were.
        switch (settings_.start.kind) {
            case KafkaStart::Kind::kCommitted: break;
            case KafkaStart::Kind::kEarliest: return bounds.first;
            case KafkaStart::Kind::kLatest: return bounds.end;
            case KafkaStart::Kind::kTime: {
                const std::int64_t offset = offset_at(partition, settings_.start.time_ms);
                return offset < 0 ? bounds.end : offset;
            }
        }
    }
    return reachable(partition, committed, bounds);
}

std::int64_t KafkaStarts::reachable(const Partition& partition, std::int64_t wanted, Bounds bounds) {
    const auto [first, end] = bounds;
    if (wanted >= first && wanted <= end) {
        return wanted;
    }
    const std::string name = partition_name(partition.topic, partition.index);
    const std::string there =
        "there are offsets " + std::to_string(first) + " to " + std::to_string(end) + " (exclusive)";
    if (settings_.reset == OffsetReset::kNone) {
        throw kafka_failure(
            name + " of " + brokers_ + ": " +
                (wanted < 0 ? "no committed offset" : "offset " + std::to_string(wanted) + " is gone") +
                ", " + there + "; auto_offset_reset says whether to go on at \"earliest\" or \"latest\"",
            wanted < 0 ? RD_KAFKA_RESP_ERR__NO_OFFSET : RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    }
    const std::int64_t reset = settings_.reset == OffsetReset::kEarliest ? first : end;
    if (wanted >= 0) {
        lost_offsets_ += static_cast<std::uint64_t>(std::max<std::int64_t>(0, first - wanted));
        warn_(name + ": offset " + std::to_string(wanted) + " is gone, " + there + "; going on at " +
              std::to_string(reset));
    }
    return reset;
}

KafkaStarts::Bounds KafkaStarts::bounds_of(const Partition& partition) const {
    const Clock::time_point until = Clock::now() + settings_.patience;
    while (true) {
        Bounds bounds;
        const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
            consumer_, partition.topic.c_str(), partition.index, &bounds.first, &bounds.end, kRequestMs);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return bounds;
        }
        if (!is_retriable(error) || Clock::now() >= until) {
            throw kafka_failure(
                "offsets of " + partition_name(partition.topic, partition.index) + " at " + brokers_, error);
        }
        std::this_thread::sleep_for(kRetryDelay);
    }
}

std::int64_t KafkaStarts::offset_at(const Partition& partition, std::int64_t time_ms) const {
    const KafkaPartitionList list = empty_partition_list();
    rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.index)->offset = time_ms;
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(consumer_, list.get(), kRequestMs);
    error = error == RD_KAFKA_RESP_ERR_NO_ERROR ? list->elems[0].err : error;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        throw kafka_failure("offset of a time in " + partition_name(partition.topic, partition.index), error);
    }
    return list->elems[0].offset;
}

}  // namespace llmopt_stream
