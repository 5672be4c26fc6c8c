#include "aggregate/log_bucket_histogram.hpp"

#include <utility>

#include "aggregate/histogram_bucket.hpp"
#include "aggregate/log_histogram.hpp"
#include "aggregate/state_part.hpp"
#include "aggregate/usable_values.hpp"
#include "record/error.hpp"

namespace llmopt_stream {

LogBucketHistogram::LogBucketHistogram(std::size_t column, int most, std::string name)
    : column_(column), most_(most), name_(std::move(name)) {
    if (most < 2 || most > LogHistogram::kMaxBuckets) {
        throw Error(
            ErrorKind::kConfiguration,
            "'" + name_ + "': the number of buckets must lie in [2, 768], got " + std::to_string(most));
    }
}

std::size_t LogBucketHistogram::state_bytes() const noexcept { return sizeof(LogHistogram); }

void LogBucketHistogram::create(std::byte* state) const noexcept { store_part(state, LogHistogram{}); }

void LogBucketHistogram::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    load_part<LogHistogram>(state).destroy(pool);
    create(state);
}

std::uint64_t LogBucketHistogram::add(std::span<std::byte* const> rows, std::size_t offset,
                                      const RecordBatch& batch, std::size_t first,
                                      SizeClassPool& pool) const {
    return for_each_value(batch.values[column_], first, rows.size(), [&](std::size_t i, auto value) {
        std::byte* const state = rows[i] + offset;
        auto histogram = load_part<LogHistogram>(state);
        const LogHistogram::Bucket bucket = LogHistogram::bucket_of(static_cast<double>(value));
        histogram.add({&bucket, 1}, pool);
        store_part(state, histogram);
    });
}

void LogBucketHistogram::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto histogram = load_part<LogHistogram>(into);
    histogram.merge(load_part<LogHistogram>(from), pool);
    store_part(into, histogram);
}

void LogBucketHistogram::make_result_columns(std::vector<ResultColumn>& columns) const {
    columns.push_back(histogram_column(name_));
}

void LogBucketHistogram::append_results(const std::byte* state, const Interval&,
                                        std::span<ResultColumn> results) const {
    results.front().append(histogram_value(load_part<LogHistogram>(state).buckets(most_)));
}

void LogBucketHistogram::encode(const std::byte* state, ByteWriter& out) const {
    const auto histogram = load_part<LogHistogram>(state);
    out.write<std::uint8_t>(histogram.block() != nullptr ? 1 : 0);
    if (histogram.block() != nullptr) {
        histogram.encode(out);
    }
}

void LogBucketHistogram::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    const auto has_values = in.read<std::uint8_t>();
    if (has_values > 1) {
        ByteReader::corrupt("whether a histogram has values");
    }
    if (has_values == 1) {
        store_part(state, LogHistogram::decode(in, pool));
    }
}

}  // namespace llmopt_stream
