#include "aggregate/edge_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "aggregate/histogram_bucket.hpp"
#include "aggregate/pool_array.hpp"
#include "aggregate/state_part.hpp"
#include "aggregate/usable_values.hpp"
#include "record/error.hpp"

namespace llmopt_stream {
namespace {

using Counts = PoolArray<std::uint64_t>;  // one for each bucket, or none before the first value

}  // namespace

EdgeHistogram::EdgeHistogram(std::size_t column, std::vector<double> edges, std::string name)
    : column_(column), edges_(std::move(edges)), name_(std::move(name)) {
    if (edges_.empty() || edges_.size() > kMostEdges ||
        !std::all_of(edges_.begin(), edges_.end(), [](double edge) { return std::isfinite(edge); }) ||
        std::adjacent_find(edges_.begin(), edges_.end(), std::greater_equal<>()) != edges_.end()) {
        throw Error(ErrorKind::kConfiguration,
                    "'" + name_ + "': the edges must be 1 to 10000 finite numbers that ascend");
    }
    for (const double edge : edges_) {
        if (edge < 0x1p63) {
            integer_edges_.push_back(edge <= -0x1p63 ? std::numeric_limits<std::int64_t>::min()
                                                     : static_cast<std::int64_t>(std::ceil(edge)));
        }
    }
}

std::size_t EdgeHistogram::bucket_of(double value) const noexcept {
    return static_cast<std::size_t>(std::upper_bound(edges_.begin(), edges_.end(), value) - edges_.begin());
}

std::size_t EdgeHistogram::bucket_of(std::int64_t value) const noexcept {
    return static_cast<std::size_t>(std::upper_bound(integer_edges_.begin(), integer_edges_.end(), value) -
                                    integer_edges_.begin());
}

std::size_t EdgeHistogram::state_bytes() const noexcept { return sizeof(Counts); }

void EdgeHistogram::create(std::byte* state) const noexcept { store_part(state, Counts{}); }

void EdgeHistogram::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    load_part<Counts>(state).destroy(pool);
    create(state);
}

std::uint64_t EdgeHistogram::add(std::span<std::byte* const> rows, std::size_t offset,
                                 const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    return for_each_value(batch.values[column_], first, rows.size(), [&](std::size_t i, auto value) {
        std::byte* const state = rows[i] + offset;
        auto counts = load_part<Counts>(state);
        if (counts.empty()) {
            counts.append(edges_.size() + 1, 0, pool);
            store_part(state, counts);
        }
        ++counts[bucket_of(value)];
    });
}

void EdgeHistogram::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto counts = load_part<Counts>(into);
    const auto added = load_part<Counts>(from);
    if (counts.empty()) {
        counts.append(added.values(), pool);
        store_part(into, counts);
        return;
    }
    for (std::size_t bucket = 0; bucket < added.size(); ++bucket) {
        counts[bucket] += added[bucket];
    }
}

void EdgeHistogram::make_result_columns(std::vector<ResultColumn>& columns) const {
    columns.push_back(histogram_column(name_));
}

void EdgeHistogram::append_results(const std::byte* state, const Interval&,
                                   std::span<ResultColumn> results) const {
    const auto counts = load_part<Counts>(state);
    std::vector<HistogramBucket> buckets;
    for (std::size_t bucket = 0; bucket <= edges_.size(); ++bucket) {
        buckets.push_back({bucket == 0 ? std::nullopt : std::optional(edges_[bucket - 1]),
                           bucket == edges_.size() ? std::nullopt : std::optional(edges_[bucket]),
                           counts.empty() ? 0 : counts[bucket]});
    }
    results.front().append(histogram_value(buckets));
}

void EdgeHistogram::encode(const std::byte* state, ByteWriter& out) const {
    const auto counts = load_part<Counts>(state);
    out.write<std::uint64_t>(counts.size());
    for (const std::uint64_t count : counts) {
        out.write(count);
    }
}

void EdgeHistogram::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    const std::uint64_t size = in.read_count(sizeof(std::uint64_t));
    if (size == 0) {
        return;
    }
    if (size != edges_.size() + 1) {
        ByteReader::corrupt("the number of buckets of a histogram");
    }
    std::vector<std::uint64_t> read(size);
    std::uint64_t total = 0;
    for (std::uint64_t& count : read) {
        count = in.read<std::uint64_t>();
        if (__builtin_add_overflow(total, count, &total)) {
            ByteReader::corrupt("the counts of a histogram");
        }
    }
    if (total == 0) {
        ByteReader::corrupt("a histogram has no values");
    }
    Counts counts;
    counts.append(read, pool);
    store_part(state, counts);
}

}  // namespace llmopt_stream
