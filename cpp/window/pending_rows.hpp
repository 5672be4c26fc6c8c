#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "record/record_batch.hpp"
#include "window/pane.hpp"
#include "window/slice_context.hpp"

namespace llmopt_stream {

/// The rows that consecutive records of a batch are added to, gathered so that values are
/// added a portion at a time. What looks at rows flushes first.
class PendingRows {
public:
    explicit PendingRows(SliceContext& context) : context_(&context) {}

    /// The next row is that of this record.
    void begin(std::size_t record) noexcept { first_ = record; }
    void push(std::byte* row) noexcept { rows_[size_++] = row; }
    /// As many of `records` as there is room for, as long as next(record) gives a row; says which record
    /// is the first that was not pushed.
    template <typename Next>
    [[nodiscard]] std::size_t push_while(std::size_t first, std::size_t last, Next next) {
        std::byte** const begin = rows_.data() + size_;
        const std::size_t room = std::min(last - first, kPortion - size_);
        std::size_t pushed = 0;
        for (; pushed < room; ++pushed) {
            std::byte* const row = next(first + pushed);
            if (row == nullptr) {
                break;
            }
            begin[pushed] = row;
        }
        size_ += pushed;
        return first + pushed;
    }
    [[nodiscard]] bool full() const noexcept { return size_ == kPortion; }
    /// Adds the records, each of which is aggregated with that; record `next` comes next.
    void flush(const RecordBatch& batch, std::size_t next, WindowOutput& out) {
        if (size_ != 0) {
            context_->row.add(std::span(rows_).first(size_), batch, first_, context_->pool,
                              out.skipped_values);
            out.aggregated += size_;
            size_ = 0;
        }
        first_ = next;
    }

private:
    // Stays in the first-level cache.
    static constexpr std::size_t kPortion = 1024;

    SliceContext* context_;
    std::array<std::byte*, kPortion> rows_;
    std::size_t size_ = 0;
    std::size_t first_ = 0;
};

}  // namespace llmopt_stream
