#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// A metric that is another one in all but which records it takes.
class WrappedMetric : public Metric {
public:
    explicit WrappedMetric(std::shared_ptr<const Metric> metric) : metric_(std::move(metric)) {}

    [[nodiscard]] std::size_t state_bytes() const noexcept final { return metric_->state_bytes(); }
    void create(std::byte* state) const noexcept final { metric_->create(state); }
    void destroy(std::byte* state, SizeClassPool& pool) const noexcept final {
        metric_->destroy(state, pool);
    }
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const final {
        metric_->merge(into, from, pool);
    }
    void make_result_columns(std::vector<ResultColumn>& columns) const final {
        metric_->make_result_columns(columns);
    }
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const final {
        metric_->append_results(state, window, results);
    }
    void append_pane_results(const std::byte* state, const PanePlace& pane,
                             std::span<ResultColumn> results) const final {
        metric_->append_pane_results(state, pane, results);
    }
    void encode(const std::byte* state, ByteWriter& out) const final { metric_->encode(state, out); }
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const final {
        metric_->decode(state, in, pool);
    }
    [[nodiscard]] bool reads_time() const noexcept final { return metric_->reads_time(); }
    [[nodiscard]] bool in_one_thread() const noexcept final { return metric_->in_one_thread(); }

protected:
    [[nodiscard]] const Metric& metric() const noexcept { return *metric_; }

private:
    std::shared_ptr<const Metric> metric_;
};

}  // namespace llmopt_stream
