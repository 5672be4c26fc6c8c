#include "kafka/topic_patterns.hpp"

#include <algorithm>
#include <array>

#include "record/error.hpp"

namespace llmopt_stream {

TopicPatterns::TopicPatterns(const std::vector<std::string>& wanted) {
    for (const std::string& name : wanted) {
        if (!name.starts_with('^')) {
            names_.push_back(name);
            continue;
        }
        auto pattern = std::make_unique<regex_t>();
        if (const int error = regcomp(pattern.get(), name.c_str(), REG_EXTENDED | REG_NOSUB); error != 0) {
            std::array<char, 256> why{};
            regerror(error, pattern.get(), why.data(), why.size());
            throw Error(ErrorKind::kConfiguration, "topic pattern '" + name + "': " + why.data());
        }
        patterns_.emplace_back(pattern.release());
    }
}

bool TopicPatterns::match(const std::string& topic) const {
    return std::find(names_.begin(), names_.end(), topic) != names_.end() ||
           std::any_of(patterns_.begin(), patterns_.end(), [&](const auto& pattern) {
               return regexec(pattern.get(), topic.c_str(), 0, nullptr, 0) == 0;
           });
}

}  // namespace llmopt_stream
