#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// A state of a metric alone, with its pool.
class MetricState {
public:
    explicit MetricState(const Metric& metric) : metric_(metric), words_(metric.state_bytes() / 8) {
        metric_.create(bytes());
    }
    ~MetricState() { metric_.destroy(bytes(), pool_); }
    MetricState(const MetricState&) = delete;
    MetricState& operator=(const MetricState&) = delete;

    std::byte* bytes() { return reinterpret_cast<std::byte*>(words_.data()); }
    std::uint64_t add(const RecordBatch& batch, std::size_t first, std::size_t size) {
        const std::vector<std::byte*> rows(size, bytes());
        return metric_.add(rows, 0, batch, first, pool_);
    }
    void merge(MetricState& other) { metric_.merge(bytes(), other.bytes(), pool_); }
    std::string encoded() {
        ByteWriter out;
        metric_.encode(bytes(), out);
        return out.take();
    }
    void decode(const std::string& encoded) {
        ByteReader in(encoded);
        metric_.decode(bytes(), in, pool_);
    }
    /// Of one pane.
    std::vector<ResultColumn> result_columns() {
        std::vector<ResultColumn> columns;
        metric_.make_result_columns(columns);
        metric_.append_results(bytes(), {1'767'225'600'000'000, 1'767'225'660'000'000}, columns);
        return columns;
    }
    std::string results() {
        ByteWriter out;
        for (const ResultColumn& column : result_columns()) {
            column.encode(0, out);
        }
        return out.take();
    }
    [[nodiscard]] std::size_t allocated_bytes() const { return pool_.allocated_bytes(); }
    void reset() {
        metric_.destroy(bytes(), pool_);
        metric_.create(bytes());
    }

private:
    const Metric& metric_;
    std::vector<std::uint64_t> words_;
    SizeClassPool pool_;
};

}  // namespace llmopt_stream
