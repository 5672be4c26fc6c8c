#pragma once

#include <cstddef>
#include <vector>

#include "record/record_batch.hpp"
#include "window/pane.hpp"
#include "window/slice_context.hpp"

namespace llmopt_stream {

/// The rows that consecutive records of a batch are added to, gathered so that values are
/// added a portion at a time. What looks at rows flushes first.
class PendingRows {
public:
    explicit PendingRows(SliceContext& context) : context_(&context) { rows_.reserve(kPortion); }

    /// The next row is that of this record.
    void begin(std::size_t record) noexcept { first_ = record; }
    void push(std::byte* row) { rows_.push_back(row); }
    [[nodiscard]] bool full() const noexcept { return rows_.size() == kPortion; }
    /// Adds the records, each of which is aggregated with that; record `next` comes next.
    void flush(const RecordBatch& batch, std::size_t next, WindowOutput& out) {
        if (!rows_.empty()) {
            context_->row.add(rows_, batch, first_, context_->pool, out.skipped_values);
            out.aggregated += rows_.size();
            rows_.clear();
        }
        first_ = next;
    }

private:
    // Stays in the first-level cache.
    static constexpr std::size_t kPortion = 1024;

    SliceContext* context_;
    std::vector<std::byte*> rows_;
    std::size_t first_ = 0;
};

}  // namespace llmopt_stream
