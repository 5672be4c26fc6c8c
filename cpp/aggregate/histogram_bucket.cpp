#include "aggregate/histogram_bucket.hpp"

#include <utility>

namespace llmopt_stream {

ResultValue histogram_value(std::span<const HistogramBucket> buckets) {
    const auto bound = [](const std::optional<double>& at) { return at ? ResultValue{*at} : ResultValue{}; };
    ResultList list;
    for (const HistogramBucket& bucket : buckets) {
        list.push_back({ResultFields{{"lower", bound(bucket.lower)},
                                     {"upper", bound(bucket.upper)},
                                     {"count", {static_cast<std::int64_t>(bucket.count)}}}});
    }
    return {std::move(list)};
}

ResultColumn histogram_column(const std::string& name) {
    const HistogramBucket example{0.0, 0.0, 0};
    return {name, ResultType::kNested, histogram_value({&example, 1})};
}

}  // namespace llmopt_stream
