#include "aggregate/collected_values.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "aggregate/label.hpp"
#include "aggregate/pool_array.hpp"
#include "aggregate/pool_text.hpp"
#include "aggregate/state_part.hpp"
#include "record/error.hpp"

namespace llmopt_stream {
namespace {

struct Item {
    Timestamp time;
    PoolText value;
};
using Items = PoolArray<Item>;  // ascending

bool is_before(Timestamp a_time, std::string_view a, Timestamp b_time, std::string_view b) noexcept {
    return a_time != b_time ? a_time < b_time : a < b;
}

/// Whether an item found its place.
bool insert(Items& items, Timestamp time, std::string_view value, std::size_t limit, SizeClassPool& pool) {
    // Most records come in order: their place is at the end.
    Item* at = items.end();
    if (!items.empty() && is_before(time, value, items.back().time, items.back().value.view())) {
        at = std::upper_bound(items.begin(), items.end(), time, [&](Timestamp, const Item& item) {
            return is_before(time, value, item.time, item.value.view());
        });
    }
    const auto place = static_cast<std::size_t>(at - items.begin());
    if (place == limit) {
        return false;
    }
    if (items.size() == limit) {
        items.back().value.destroy(pool);
        items.shrink(limit - 1);
    }
    items.insert(place, {time, PoolText(value, pool)}, pool);
    return true;
}

void destroy_items(Items& items, SizeClassPool& pool) noexcept {
    for (Item& item : items) {
        item.value.destroy(pool);
    }
    items.destroy(pool);
}

}  // namespace

CollectedValues::CollectedValues(std::size_t label, std::size_t limit, std::string name)
    : label_(label), limit_(limit), name_(std::move(name)) {
    if (limit < 1 || limit > kGreatestLimit) {
        throw Error(ErrorKind::kConfiguration, "'" + name_ + "': the limit must lie in [1, " +
                                                   std::to_string(kGreatestLimit) + "], got " +
                                                   std::to_string(limit));
    }
}

std::size_t CollectedValues::state_bytes() const noexcept { return sizeof(Items); }

void CollectedValues::create(std::byte* state) const noexcept { store_part(state, Items{}); }

void CollectedValues::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    auto items = load_part<Items>(state);
    destroy_items(items, pool);
    create(state);
}

std::uint64_t CollectedValues::add(std::span<std::byte* const> rows, std::size_t offset,
                                   const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    const LabelColumn& labels = batch.labels[label_];
    return for_each_label(labels, first, rows.size(), [&](std::size_t i, std::uint32_t code) {
        std::byte* const state = rows[i] + offset;
        auto items = load_part<Items>(state);
        if (insert(items, batch.time_of(first + i), labels.values->key(code), limit_, pool)) {
            store_part(state, items);
        }
    });
}

void CollectedValues::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto items = load_part<Items>(into);
    const auto added = load_part<Items>(from);
    // Those that are not taken are behind all that are.
    for (const Item& item : added) {
        if (!insert(items, item.time, item.value.view(), limit_, pool)) {
            break;
        }
    }
    store_part(into, items);
}

void CollectedValues::make_result_columns(std::vector<ResultColumn>& columns) const {
    columns.push_back({name_, ResultType::kNested, {ResultList{{}}}});
}

void CollectedValues::append_results(const std::byte* state, const Interval&,
                                     std::span<ResultColumn> results) const {
    ResultList list;
    for (const Item& item : load_part<Items>(state)) {
        list.push_back(label_value(item.value.view()));
    }
    results.front().append(ResultValue{std::move(list)});
}

void CollectedValues::encode(const std::byte* state, ByteWriter& out) const {
    const auto items = load_part<Items>(state);
    out.write<std::uint64_t>(items.size());
    for (const Item& item : items) {
        out.write(item.time);
        out.write_bytes(item.value.view());
    }
}

void CollectedValues::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    const std::uint64_t size = in.read_count(2 * sizeof(std::uint64_t));
    if (size > limit_) {
        ByteReader::corrupt("the number of collected values");
    }
    Items items;
    try {
        for (std::uint64_t at = 0; at < size; ++at) {
            const auto time = in.read<Timestamp>();
            const std::string_view value = read_label(in);
            if (!items.empty() && is_before(time, value, items.back().time, items.back().value.view())) {
                ByteReader::corrupt("the order of collected values");
            }
            items.push_back({time, PoolText(value, pool)}, pool);
        }
    } catch (...) {
        destroy_items(items, pool);
        throw;
    }
    store_part(state, items);
}

}  // namespace llmopt_stream
