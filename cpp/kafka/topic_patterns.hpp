#pragma once

#include <regex.h>

#include <memory>
#include <string>
#include <vector>

namespace llmopt_stream {

/// Names of topics, and patterns that begin with "^": POSIX extended regular expressions, as librdkafka's
/// are.
class TopicPatterns {
public:
    /// Throws a configuration error where a pattern is none.
    explicit TopicPatterns(const std::vector<std::string>& wanted);

    [[nodiscard]] bool match(const std::string& topic) const;

private:
    struct Free {
        void operator()(regex_t* pattern) const noexcept {
            regfree(pattern);
            delete pattern;
        }
    };

    std::vector<std::string> names_;
    std::vector<std::unique_ptr<regex_t, Free>> patterns_;
};

}  // namespace llmopt_stream
