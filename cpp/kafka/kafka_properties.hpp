#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kafka/kafka_handles.hpp"

namespace llmopt_stream {

/// librdkafka's own names and values.
using KafkaProperties = std::vector<std::pair<std::string, std::string>>;

enum class KafkaRole : std::uint8_t { kConsumer, kProducer };

/// Throws Error(kConfiguration) unless every property may be set by users: those that run code, that
/// exactly-once depends on, that have a setting of their own, and unknown ones are refused by name. A value
/// is never part of a message.
void check_user_properties(KafkaRole role, const KafkaProperties& properties);

/// A configuration with `settings`, the ones that are ours, and then those of the user, checked.
[[nodiscard]] KafkaHandle<rd_kafka_conf_t> make_conf(KafkaRole role, const KafkaProperties& settings,
                                                     const KafkaProperties& of_user);

}  // namespace llmopt_stream
