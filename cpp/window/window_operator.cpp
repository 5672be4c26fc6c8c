#include "window/window_operator.hpp"

#include <algorithm>
#include <utility>

namespace llmopt_stream {

WindowOperator::WindowOperator(const WindowPlan& plan, MetricRow row)
    : collect_late_(plan.collect_late),
      context_(std::make_unique<SliceContext>(std::move(row))),
      windows_(plan, *context_) {}

void WindowOperator::on_batch(const RecordBatch& batch, std::span<const Timestamp> watermark_after,
                              std::uint64_t first_position, WindowOutput& out) {
    windows_.begin_batch(batch);
    std::size_t first = 0;
    while (first < batch.size) {
        // A segment ends with the record whose watermark first completes or expires a window;
        // that record itself still belongs to it.
        const Timestamp change = windows_.next_change_after(watermark_);
        const auto changing = std::lower_bound(watermark_after.begin() + static_cast<std::ptrdiff_t>(first),
                                               watermark_after.end(), change);
        const auto found = static_cast<std::size_t>(changing - watermark_after.begin());
        const std::size_t last = std::min(found + 1, batch.size);
        windows_.add(batch, first, last, first == 0 ? watermark_ : watermark_after[first - 1], watermark_after,
                     first_position, collect_late_, out);
        const std::size_t input_index = batch.input_index.empty() ? last - 1 : batch.input_index[last - 1];
        on_watermark(watermark_after[last - 1], first_position + input_index + 1, out);
        first = last;
    }
    windows_.end_batch();
}

void WindowOperator::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    if (watermark <= watermark_) {
        return;
    }
    if (watermark >= windows_.next_change_after(watermark_)) {
        windows_.advance(watermark_, watermark, position, out);
    }
    watermark_ = watermark;
}

void WindowOperator::encode(ByteWriter& out) const {
    out.write(watermark_);
    windows_.encode(out);
}

void WindowOperator::decode(ByteReader& in) {
    watermark_ = in.read<Timestamp>();
    windows_.decode(in);
}

}  // namespace llmopt_stream
