#include "kafka/kafka_partitions.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

/// A partition's number is this many times the topic's, and its own index. Brokers have far fewer.
constexpr std::uint32_t kPartitionsPerTopic = 1U << 16;

}  // namespace

std::size_t KafkaPartitions::topic_at(const std::string& topic) {
    const auto at =
        std::find_if(topics_.begin(), topics_.end(), [&](const auto& each) { return each.first == topic; });
    const auto index = static_cast<std::size_t>(at - topics_.begin());
    if (at == topics_.end()) {
        topics_.emplace_back(topic, std::map<std::int32_t, Partition>{});
    }
    return index;
}

std::string partition_name(const std::string& topic, std::int32_t index) {
    return topic + "[" + std::to_string(index) + "]";
}

KafkaPartitions::Partition& KafkaPartitions::operator()(const std::string& topic, std::int32_t index) {
    const std::size_t at = topic_at(topic);
    auto [place, is_new] = topics_[at].second.try_emplace(index);
    if (is_new) {
        place->second.topic = topic;
        place->second.index = index;
        place->second.number =
            static_cast<std::uint32_t>(at) * kPartitionsPerTopic + static_cast<std::uint32_t>(index);
    }
    return place->second;
}

KafkaPartitions::Partition* KafkaPartitions::find(const char* topic, std::int32_t index) {
    for (auto& [name, partitions] : topics_) {
        if (name == topic) {
            const auto at = partitions.find(index);
            return at == partitions.end() ? nullptr : &at->second;
        }
    }
    return nullptr;
}

void KafkaPartitions::seek(const std::vector<std::string>& topics, const std::vector<KafkaOffset>& offsets) {
    topics_.clear();
    for (const std::string& topic : topics) {
        static_cast<void>(topic_at(topic));
    }
    for (const KafkaOffset& offset : offsets) {
        (*this)(offset.topic, offset.partition).next = offset.next_offset;
    }
}

void KafkaPartitions::leave_to_others() {
    for (auto& topic : topics_) {
        for (auto& [index, partition] : topic.second) {
            partition.elsewhere = !partition.known;
        }
    }
}

std::vector<std::string> KafkaPartitions::topics() const {
    std::vector<std::string> names;
    for (const auto& topic : topics_) {
        names.push_back(topic.first);
    }
    return names;
}

std::vector<KafkaOffset> KafkaPartitions::positions() const {
    std::vector<KafkaOffset> positions;
    for (const auto& [topic, partitions] : topics_) {
        for (const auto& [index, partition] : partitions) {
            const bool ours = partition.assigned || (!partition.known && !partition.elsewhere);
            if (ours && partition.next != kUnknown) {
                positions.push_back({topic, index, partition.next});
            }
        }
    }
    return positions;
}

template <typename Wanted>
std::vector<std::uint32_t> KafkaPartitions::numbers(Wanted wanted) const {
    std::vector<std::uint32_t> numbers;
    for (const auto& topic : topics_) {
        for (const auto& [index, partition] : topic.second) {
            if (partition.assigned && !partition.finished() && wanted(partition)) {
                numbers.push_back(partition.number);
            }
        }
    }
    return numbers;
}

std::vector<std::uint32_t> KafkaPartitions::live_numbers() const {
    return numbers([](const Partition&) { return true; });
}

std::vector<std::uint32_t> KafkaPartitions::behind_numbers() const {
    return numbers([](const Partition& partition) { return partition.behind(); });
}

bool KafkaPartitions::all_finished() const {
    return numbers([](const Partition&) { return true; }).empty();
}

}  // namespace llmopt_stream
