#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llmopt_stream {

/// Where in a partition: the offset of the next record.
struct KafkaOffset {
    std::string topic;
    std::int32_t partition;
    std::int64_t next_offset;

    friend bool operator==(const KafkaOffset&, const KafkaOffset&) = default;
};

/// As logs and errors name a partition: topic[0].
[[nodiscard]] std::string partition_name(const std::string& topic, std::int32_t index);

/// The partitions that a consumer has or has had, and how far each has been handed to the pipeline.
class KafkaPartitions {
public:
    struct Partition {
        std::string topic;
        std::int32_t index = 0;
        /// The one number that watermarks know it by: the same after a restart from positions().
        std::uint32_t number = 0;
        /// The offset of the next record to hand out; kUnknown before it was first assigned.
        std::int64_t next = kUnknown;
        /// What commit_and_wait() has committed, or where reading began.
        std::int64_t committed = kUnknown;
        /// A bounded read ends before this offset.
        std::int64_t end = std::numeric_limits<std::int64_t>::max();
        /// Ours, also while a rebalance is under way that may give it back.
        bool assigned = false;
        /// librdkafka hands out its records.
        bool fetching = false;
        /// Was assigned in this run.
        bool known = false;
        /// Of seek(), but another member's at the first assignment: that one may be further on.
        bool elsewhere = false;
        /// The broker has said that there is no further record yet.
        bool at_end = false;
        /// But nobody has listened for long, and it is asked for anew.
        bool end_is_unknown = false;
        /// What it said then.
        std::int64_t told_end = kUnknown;

        [[nodiscard]] bool behind() const noexcept { return !at_end || end_is_unknown || next < told_end; }
        [[nodiscard]] bool finished() const noexcept { return next != kUnknown && next >= end; }
    };
    static constexpr std::int64_t kUnknown = -1;

    /// Found by name, made if need be.
    Partition& operator()(const std::string& topic, std::int32_t index);
    [[nodiscard]] Partition* find(const char* topic, std::int32_t index);

    /// Goes on from what topics() and positions() gave: these partitions start there, whatever else is said.
    void seek(const std::vector<std::string>& topics, const std::vector<KafkaOffset>& offsets);
    /// All topics so far, in the order in which they were first seen.
    [[nodiscard]] std::vector<std::string> topics() const;
    /// Those of seek() that were not assigned first are others' from now on.
    void leave_to_others();
    /// Where the assigned partitions are, and before the first assignment those of seek().
    [[nodiscard]] std::vector<KafkaOffset> positions() const;
    /// The numbers of those assigned that may still give records.
    [[nodiscard]] std::vector<std::uint32_t> live_numbers() const;
    /// The numbers of those that the broker may have further records of.
    [[nodiscard]] std::vector<std::uint32_t> behind_numbers() const;
    [[nodiscard]] bool all_finished() const;

    template <typename Each>
    void for_each_assigned(Each each) {
        for (auto& topic : topics_) {
            for (auto& [index, partition] : topic.second) {
                if (partition.assigned) {
                    each(partition);
                }
            }
        }
    }

private:
    [[nodiscard]] std::size_t topic_at(const std::string& topic);
    template <typename Wanted>
    [[nodiscard]] std::vector<std::uint32_t> numbers(Wanted wanted) const;

    /// In the order in which they were first seen, which their partitions' numbers depend on.
    std::vector<std::pair<std::string, std::map<std::int32_t, Partition>>> topics_;
};

}  // namespace llmopt_stream
