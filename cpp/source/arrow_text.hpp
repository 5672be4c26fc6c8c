#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "source/arrow_column.hpp"

namespace llmopt_stream {

/// A text in a column's buffers, of which bytes up to `readable` may be loaded.
struct ArrowText {
    const char* data;
    std::size_t size;
    const char* readable;

    [[nodiscard]] std::string_view view() const noexcept { return {data, size}; }
};

/// Rows of a utf8 (Offset = int32) or large_utf8 (int64) column.
template <typename Offset>
class ArrowOffsetTexts {
public:
    ArrowOffsetTexts(const ArrowColumn& column, const ArrowColumnView& view)
        : column_(column),
          offsets_(view.data()),
          first_(view.first),
          bytes_(static_cast<const char*>(view.array->buffers[2])) {
        limit_ = view.size == 0 ? 0 : offset(view.size);
        if (bytes_ == nullptr) {
            if (limit_ != 0) {
                column.corrupt("the array has no text");
            }
            bytes_ = "";
        }
    }

    [[nodiscard]] ArrowText operator()(std::size_t row) const {
        const std::uint64_t begin = offset(row);
        const std::uint64_t end = offset(row + 1);
        if (begin > end || end > limit_) {
            column_.corrupt("the offsets of its texts do not ascend");
        }
        return {bytes_ + begin, end - begin, bytes_ + limit_};
    }

private:
    /// A negative offset becomes a huge one.
    [[nodiscard]] std::uint64_t offset(std::size_t row) const noexcept {
        return static_cast<std::uint64_t>(load_at<Offset>(offsets_, first_ + row));
    }

    const ArrowColumn& column_;
    const void* offsets_;
    std::size_t first_;
    const char* bytes_;
    std::uint64_t limit_;
};

/// Rows of a utf8_view column: buffers are validity, views, any number of data buffers, and
/// the sizes of these as int64.
class ArrowTextViews {
public:
    ArrowTextViews(const ArrowColumn& column, const ArrowColumnView& view)
        : column_(column),
          views_(static_cast<const char*>(view.data()) + view.first * kViewBytes),
          views_end_(views_ + view.size * kViewBytes),
          buffers_(view.array->buffers + 2),
          buffer_count_(static_cast<std::size_t>(view.array->n_buffers) - 3),
          sizes_(view.array->buffers[2 + buffer_count_]) {
        if (buffer_count_ > 0 && sizes_ == nullptr) {
            column.corrupt("the sizes of its data buffers are missing");
        }
    }

    [[nodiscard]] ArrowText operator()(std::size_t row) const {
        const char* view = views_ + row * kViewBytes;
        const auto size = load_at<std::int32_t>(view, 0);
        if (static_cast<std::uint32_t>(size) <= kInlineBytes) {
            return {view + 4, static_cast<std::size_t>(size), views_end_};
        }
        const auto index = load_at<std::uint32_t>(view, 2);
        const std::int64_t begin = load_at<std::int32_t>(view, 3);
        if (size < 0 || begin < 0 || index >= buffer_count_ || buffers_[index] == nullptr) {
            column_.corrupt("a text lies outside its data buffers");
        }
        const auto readable = load_at<std::int64_t>(sizes_, index);
        if (begin + size > readable) {
            column_.corrupt("a text lies outside its data buffers");
        }
        const char* bytes = static_cast<const char*>(buffers_[index]);
        return {bytes + begin, static_cast<std::size_t>(size), bytes + readable};
    }

private:
    static constexpr std::size_t kViewBytes = 16;
    static constexpr std::uint32_t kInlineBytes = 12;

    const ArrowColumn& column_;
    const char* views_;
    const char* views_end_;
    const void* const* buffers_;
    std::size_t buffer_count_;
    const void* sizes_;
};

/// Calls visit(texts) with the reader of the column's text type.
template <typename Visit>
void with_arrow_texts(const ArrowColumn& column, const ArrowColumnView& view, Visit visit) {
    switch (column.type().kind) {
        case ArrowKind::kText: return visit(ArrowOffsetTexts<std::int32_t>(column, view));
        case ArrowKind::kLargeText: return visit(ArrowOffsetTexts<std::int64_t>(column, view));
        default: return visit(ArrowTextViews(column, view));
    }
}

}  // namespace llmopt_stream
