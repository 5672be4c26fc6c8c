#include "aggregate/heavy_hitters.hpp"

#include <utility>

#include "aggregate/label.hpp"
#include "aggregate/space_saving.hpp"
#include "aggregate/state_part.hpp"
#include "record/error.hpp"

namespace llmopt_stream {
namespace {

ResultValue item_of(ResultValue value, std::uint64_t count, std::uint64_t error) {
    return {ResultFields{{"value", std::move(value)},
                         {"count", {static_cast<std::int64_t>(count)}},
                         {"error", {static_cast<std::int64_t>(error)}}}};
}

}  // namespace

HeavyHitters::HeavyHitters(std::size_t label, std::size_t most, std::size_t capacity, std::string name)
    : label_(label), most_(most), capacity_(capacity), name_(std::move(name)) {
    if (most < 1 || capacity < most || capacity > kGreatestCapacity) {
        throw Error(ErrorKind::kConfiguration,
                    "'" + name_ + "': 1 <= k <= capacity <= " + std::to_string(kGreatestCapacity) +
                        " must hold, got k " + std::to_string(most) + " and capacity " +
                        std::to_string(capacity));
    }
}

std::size_t HeavyHitters::state_bytes() const noexcept { return sizeof(SpaceSaving); }

void HeavyHitters::create(std::byte* state) const noexcept { store_part(state, SpaceSaving{}); }

void HeavyHitters::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    load_part<SpaceSaving>(state).destroy(pool);
    create(state);
}

std::uint64_t HeavyHitters::add(std::span<std::byte* const> rows, std::size_t offset,
                                const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    const LabelColumn& labels = batch.labels[label_];
    return for_each_label(labels, first, rows.size(), [&](std::size_t i, std::uint32_t code) {
        std::byte* const state = rows[i] + offset;
        auto summary = load_part<SpaceSaving>(state);
        summary.add(labels.values->key(code), labels.values->hash(code), capacity_, pool);
        store_part(state, summary);
    });
}

void HeavyHitters::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto summary = load_part<SpaceSaving>(into);
    summary.merge(load_part<SpaceSaving>(from), capacity_, pool);
    store_part(into, summary);
}

void HeavyHitters::make_result_columns(std::vector<ResultColumn>& columns) const {
    columns.push_back({name_, ResultType::kNested, {ResultList{item_of({}, 0, 0)}}});
}

void HeavyHitters::append_results(const std::byte* state, const Interval&,
                                  std::span<ResultColumn> results) const {
    ResultList list;
    const auto summary = load_part<SpaceSaving>(state);
    for (const SpaceSaving::Count& each : summary.top(most_)) {
        list.push_back(item_of(label_value(each.value), each.count, each.error));
    }
    results.front().append(ResultValue{std::move(list)});
}

void HeavyHitters::encode(const std::byte* state, ByteWriter& out) const {
    load_part<SpaceSaving>(state).encode(out);
}

void HeavyHitters::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    store_part(state, SpaceSaving::decode(in, capacity_, pool));
}

}  // namespace llmopt_stream
