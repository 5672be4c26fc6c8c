#pragma once

#include <stdexcept>
#include <string>

namespace llmopt_stream {

/// Which child of Python's ProcessorError an Error becomes at the boundary.
enum class ErrorKind { kConfiguration, kAggregation, kState, kCheckpoint, kSerialization, kPipeline, kKafka };

/// The one exception type of the core. Bad records are values, never exceptions.
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

private:
    ErrorKind kind_;
};

}  // namespace llmopt_stream
