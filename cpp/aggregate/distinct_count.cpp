#include "aggregate/distinct_count.hpp"

#include <utility>

#include "aggregate/hyper_log_log.hpp"
#include "aggregate/label.hpp"
#include "aggregate/state_part.hpp"
#include "record/error.hpp"

namespace llmopt_stream {

DistinctCount::DistinctCount(std::size_t label, int precision, std::string name)
    : label_(label), precision_(precision), name_(std::move(name)) {
    if (precision < HyperLogLog::kLeastPrecision || precision > HyperLogLog::kGreatestPrecision) {
        throw Error(ErrorKind::kConfiguration,
                    "'" + name_ + "': the precision must lie in [4, 18], got " + std::to_string(precision));
    }
}

std::size_t DistinctCount::state_bytes() const noexcept { return sizeof(HyperLogLog); }

void DistinctCount::create(std::byte* state) const noexcept { store_part(state, HyperLogLog{}); }

void DistinctCount::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    load_part<HyperLogLog>(state).destroy(pool);
    create(state);
}

std::uint64_t DistinctCount::add(std::span<std::byte* const> rows, std::size_t offset,
                                 const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    const LabelColumn& labels = batch.labels[label_];
    return for_each_label(labels, first, rows.size(), [&](std::size_t i, std::uint32_t code) {
        std::byte* const state = rows[i] + offset;
        auto sketch = load_part<HyperLogLog>(state);
        sketch.add(labels.values->hash(code), precision_, pool);
        store_part(state, sketch);
    });
}

void DistinctCount::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto sketch = load_part<HyperLogLog>(into);
    sketch.merge(load_part<HyperLogLog>(from), precision_, pool);
    store_part(into, sketch);
}

void DistinctCount::make_result_columns(std::vector<ResultColumn>& columns) const {
    columns.push_back({name_, ResultType::kInt64});
}

void DistinctCount::append_results(const std::byte* state, const Interval&,
                                   std::span<ResultColumn> results) const {
    results.front().append(load_part<HyperLogLog>(state).estimate(precision_));
}

void DistinctCount::encode(const std::byte* state, ByteWriter& out) const {
    load_part<HyperLogLog>(state).encode(out);
}

void DistinctCount::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    store_part(state, HyperLogLog::decode(in, precision_, pool));
}

}  // namespace llmopt_stream
