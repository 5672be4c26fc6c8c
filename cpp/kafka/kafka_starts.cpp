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
constexpr int kQuickRequestMs = 500;
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
    const std::vector<Bounds> bounds = bounds_of(*list);
    const bool starts_at_first =
        settings_.start.kind == KafkaStart::Kind::kEarliest ||
        (settings_.start.kind == KafkaStart::Kind::kCommitted && settings_.reset == OffsetReset::kEarliest);
    for (int at = 0; at < list->cnt; ++at) {
        rd_kafka_topic_partition_t& each = list->elems[at];
        const bool is_committed = each.offset >= 0;
        each.offset = start_of(partitions(each.topic, each.partition), each.offset,
                               bounds[static_cast<std::size_t>(at)], is_first_assignment);
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

std::int64_t KafkaStarts::start_of(const Partition& partition, std::int64_t committed, Bounds bounds,
                                   bool is_first_assignment) {
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
                const KafkaPartitionList one = empty_partition_list();
                rd_kafka_topic_partition_list_add(one.get(), partition.topic.c_str(), partition.index);
                const std::int64_t offset = offsets_at(*one, settings_.start.time_ms).front();
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

std::vector<KafkaStarts::Bounds> KafkaStarts::bounds_of(const rd_kafka_topic_partition_list_t& list) const {
    const std::vector<std::int64_t> first = offsets_at(list, RD_KAFKA_OFFSET_BEGINNING);
    const std::vector<std::int64_t> end = offsets_at(list, RD_KAFKA_OFFSET_END);
    std::vector<Bounds> bounds(first.size());
    for (std::size_t at = 0; at < bounds.size(); ++at) {
        bounds[at] = {first[at], end[at]};
    }
    return bounds;
}

std::optional<std::vector<std::int64_t>> KafkaStarts::ends_now(
    const rd_kafka_topic_partition_list_t& list) const {
    Answer answer = ask(list, RD_KAFKA_OFFSET_END, kQuickRequestMs);
    return answer.error == RD_KAFKA_RESP_ERR_NO_ERROR ? std::optional(std::move(answer.offsets))
                                                      : std::nullopt;
}

std::vector<std::int64_t> KafkaStarts::offsets_at(const rd_kafka_topic_partition_list_t& list,
                                                  std::int64_t time_ms) const {
    const Clock::time_point until = Clock::now() + settings_.patience;
    while (true) {
        Answer answer = ask(list, time_ms, kRequestMs);
        if (answer.error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return std::move(answer.offsets);
        }
        if (!is_retriable(answer.error) || Clock::now() >= until) {
            throw kafka_failure("offsets of " + answer.of + " at " + brokers_, answer.error);
        }
        std::this_thread::sleep_for(kRetryDelay);
    }
}

KafkaStarts::Answer KafkaStarts::ask(const rd_kafka_topic_partition_list_t& list, std::int64_t time_ms,
                                     int wait_ms) const {
    Answer answer;
    if (list.cnt == 0) {
        return answer;
    }
    // Not a copy: librdkafka before 2.4 would send the leader's epoch at the time of the commit.
    const KafkaPartitionList asked = empty_partition_list();
    for (int at = 0; at < list.cnt; ++at) {
        const rd_kafka_topic_partition_t& each = list.elems[at];
        rd_kafka_topic_partition_list_add(asked.get(), each.topic, each.partition)->offset = time_ms;
    }
    // rd_kafka_query_watermark_offsets() has no end while a broker is away.
    answer.error = rd_kafka_offsets_for_times(consumer_, asked.get(), wait_ms);
    answer.of = partition_name(list.elems[0].topic, list.elems[0].partition);
    if (list.cnt > 1) {
        answer.of += " and " + std::to_string(list.cnt - 1) + " more";
    }
    const bool is_bound = time_ms == RD_KAFKA_OFFSET_BEGINNING || time_ms == RD_KAFKA_OFFSET_END;
    for (int at = 0; at < asked->cnt; ++at) {
        const rd_kafka_topic_partition_t& each = asked->elems[at];
        rd_kafka_resp_err_t error = each.err;
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR && answer.error == RD_KAFKA_RESP_ERR_NO_ERROR && is_bound &&
            each.offset < 0) {
            error = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;  // the answer leaves it out
        }
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            // Says more than that of all of them.
            return {{}, error, partition_name(each.topic, each.partition)};
        }
        answer.offsets.push_back(each.offset);
    }
    return answer;
}

}  // namespace llmopt_stream
