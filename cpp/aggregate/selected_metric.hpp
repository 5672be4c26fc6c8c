#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "aggregate/wrapped_metric.hpp"

namespace llmopt_stream {

/// A metric of the records that a selection of the batch has; the others do not exist for it.
class SelectedMetric final : public WrappedMetric {
public:
    SelectedMetric(std::size_t selection, std::shared_ptr<const Metric> metric)
        : WrappedMetric(std::move(metric)), selection_(selection) {}

    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const override;

private:
    std::size_t selection_;
};

}  // namespace llmopt_stream
