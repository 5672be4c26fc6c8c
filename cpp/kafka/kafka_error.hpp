#pragma once

#include <librdkafka/rdkafka.h>

#include <string>

#include "record/error.hpp"

namespace llmopt_stream {

/// What librdkafka or a broker said. Doing the same again later may help where it is retriable.
class KafkaFailure : public Error {
public:
    KafkaFailure(const std::string& message, std::string code, bool retriable)
        : Error(ErrorKind::kKafka, message), code_(std::move(code)), retriable_(retriable) {}
    /// librdkafka's name of the error, as _TRANSPORT or UNKNOWN_TOPIC_OR_PART.
    [[nodiscard]] const std::string& code() const noexcept { return code_; }
    [[nodiscard]] bool retriable() const noexcept { return retriable_; }

private:
    std::string code_;
    bool retriable_;
};

/// Whether the cause may go away by itself: a broker that is down or busy, a leader that moves.
[[nodiscard]] bool is_retriable(rd_kafka_resp_err_t error) noexcept;

/// `what` names operation, brokers and topic; `reason`, where there is any, is librdkafka's own text.
[[nodiscard]] KafkaFailure kafka_failure(const std::string& what, rd_kafka_resp_err_t error,
                                         const std::string& reason = {});

}  // namespace llmopt_stream
