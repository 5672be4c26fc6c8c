#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/wrapped_metric.hpp"

namespace llmopt_stream {

/// A metric that refuses records without usable values: Error(kAggregation) names the field, the record's
/// time and its key. States are not to be used any more then.
class StrictMetric final : public WrappedMetric {
public:
    struct Field {
        std::string name;
        /// Its place among the values, or the labels.
        std::size_t column;
        bool is_label = false;
    };

    /// `fields` are those that the metric reads.
    StrictMetric(std::vector<Field> fields, std::shared_ptr<const Metric> metric)
        : WrappedMetric(std::move(metric)), fields_(std::move(fields)) {}

    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const override;

private:
    [[noreturn]] void refuse(const RecordBatch& batch, std::size_t first, std::size_t size) const;

    std::vector<Field> fields_;
};

}  // namespace llmopt_stream
