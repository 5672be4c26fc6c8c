#include "aggregate/selected_metric.hpp"

#include <algorithm>

namespace llmopt_stream {

std::uint64_t SelectedMetric::add(std::span<std::byte* const> rows, std::size_t offset,
                                  const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    const std::span selected = batch.selections[selection_].subspan(first, rows.size());
    std::uint64_t skipped = 0;
    // Selected records that follow one another are added together.
    for (auto at = selected.begin(); at != selected.end();) {
        const auto begin = std::find(at, selected.end(), std::uint8_t{1});
        at = std::find(begin, selected.end(), std::uint8_t{0});
        if (begin != at) {
            const auto from = static_cast<std::size_t>(begin - selected.begin());
            const auto size = static_cast<std::size_t>(at - begin);
            skipped += metric().add(rows.subspan(from, size), offset, batch, first + from, pool);
        }
    }
    return skipped;
}

}  // namespace llmopt_stream
