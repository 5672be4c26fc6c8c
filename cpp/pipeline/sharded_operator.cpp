#include "pipeline/sharded_operator.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace llmopt_stream {
namespace {

void append_pane(PaneTable& to, const PaneTable& from, std::size_t pane) {
    const std::uint64_t first = pane == 0 ? 0 : from.replaces_ends[pane - 1];
    to.append(from.key(pane), Interval{from.start[pane], from.end[pane]}, from.fired_at[pane],
              from.timing[pane], from.index[pane], from.is_last[pane] != 0,
              std::span(from.replaces).subspan(first, from.replaces_ends[pane] - first));
    for (std::size_t column = 0; column < from.results.size(); ++column) {
        to.results[column].append(from.results[column], pane);
    }
}

void empty(PaneTable& panes) {
    PaneTable fresh;
    fresh.results = std::move(panes.results);
    for (ResultColumn& column : fresh.results) {
        column.clear();
    }
    panes = std::move(fresh);
}

}  // namespace

ShardedOperator::ShardedOperator(const WindowPlan& plan, const Metrics& metrics, std::size_t shards)
    : fires_in_order_(plan.trigger.is_default()) {
    if (plan.trigger.asks_user() || std::any_of(metrics.begin(), metrics.end(),
                                                [](const auto& metric) { return metric->in_one_thread(); })) {
        shards = 1;
    }
    for (std::size_t shard = 0; shard < shards; ++shard) {
        shards_.push_back(std::make_unique<Shard>(plan, MetricRow(metrics)));
        shards_.back()->out.panes.results = make_result_columns();
        shards_.back()->out.skipped_values.resize(metrics.size());
    }
}

void ShardedOperator::divide(const RecordBatch& batch) {
    for (const auto& shard : shards_) {
        shard->stream_record.clear();
    }
    const auto assign = [&](std::size_t record, std::size_t shard) {
        shards_[shard]->stream_record.push_back(static_cast<std::uint32_t>(record));
    };
    if (batch.keys->size() > batch.size) {
        for (std::size_t record = 0; record < batch.size; ++record) {
            assign(record, shard_of(batch.keys->hash(batch.key[record])));
        }
        return;
    }
    shard_of_key_.resize(batch.keys->size());
    for (std::uint32_t key = 0; key < batch.keys->size(); ++key) {
        shard_of_key_[key] = static_cast<std::uint32_t>(shard_of(batch.keys->hash(key)));
    }
    for (std::size_t record = 0; record < batch.size; ++record) {
        assign(record, shard_of_key_[batch.key[record]]);
    }
}

void ShardedOperator::on_batch(const RecordBatch& batch, const BatchClock& clock, WorkerPool* pool,
                               WindowOutput& out) {
    if (shards_.size() == 1) {
        shards_[0]->records += batch.size;
        in_order(out, [&](WindowOutput& to) { shards_[0]->windows.on_batch(batch, clock, to); });
        return;
    }
    divide(batch);
    const auto work = [&](std::size_t index) {
        Shard& shard = *shards_[index];
        shard.records += shard.stream_record.size();
        const RecordBatch& part = shard.part.take(batch, shard.stream_record);
        for (std::uint32_t& record : shard.stream_record) {
            record = static_cast<std::uint32_t>(clock.stream_record_of(record));
        }
        BatchClock own = clock;
        own.stream_record = shard.stream_record;
        shard.windows.on_batch(part, own, shard.out);
    };
    if (pool != nullptr) {
        pool->run(work);
    } else {
        for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
            work(shard);
        }
    }
    collect(out);
}

template <typename Step>
void ShardedOperator::in_order(WindowOutput& out, Step step) {
    if (fires_in_order_) {
        step(out);
    } else {
        step(shards_[0]->out);
        collect(out);
    }
}

template <typename Step>
void ShardedOperator::for_each_shard(WindowOutput& out, Step step) {
    if (shards_.size() == 1) {
        in_order(out, [&](WindowOutput& to) { step(shards_[0]->windows, to); });
        return;
    }
    for (const auto& shard : shards_) {
        step(shard->windows, shard->out);
    }
    collect(out);
}

void ShardedOperator::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    for_each_shard(out, [&](WindowOperator& windows, WindowOutput& to) {
        windows.on_watermark(watermark, position, to);
    });
}

void ShardedOperator::on_processing_time(Timestamp now, std::uint64_t position, WindowOutput& out) {
    for_each_shard(out, [&](WindowOperator& windows, WindowOutput& to) {
        windows.on_processing_time(now, position, to);
    });
}

void ShardedOperator::collect(WindowOutput& out) {
    std::vector<std::pair<std::size_t, std::size_t>> panes;  // (shard, pane)
    const std::size_t late_before = out.late.size();
    for (std::size_t index = 0; index < shards_.size(); ++index) {
        WindowOutput& own = shards_[index]->out;
        for (std::size_t pane = 0; pane < own.panes.size(); ++pane) {
            panes.emplace_back(index, pane);
        }
        std::move(own.late.begin(), own.late.end(), std::back_inserter(out.late));
        own.late.clear();
        out.aggregated += std::exchange(own.aggregated, 0);
        out.late_records += std::exchange(own.late_records, 0);
        out.outside_windows += std::exchange(own.outside_windows, 0);
        out.unfired += std::exchange(own.unfired, 0);
        for (std::size_t metric = 0; metric < own.skipped_values.size(); ++metric) {
            out.skipped_values[metric] += std::exchange(own.skipped_values[metric], 0);
        }
    }
    std::sort(out.late.begin() + static_cast<std::ptrdiff_t>(late_before), out.late.end(),
              [](const LateRecord& a, const LateRecord& b) { return a.position < b.position; });
    if (panes.empty()) {
        return;
    }
    std::sort(panes.begin(), panes.end(), [&](const auto& a, const auto& b) {
        const PaneTable& first = shards_[a.first]->out.panes;
        const PaneTable& second = shards_[b.first]->out.panes;
        if (first.fired_at[a.second] != second.fired_at[b.second]) {
            return first.fired_at[a.second] < second.fired_at[b.second];
        }
        if (first.end[a.second] != second.end[b.second]) {
            return first.end[a.second] < second.end[b.second];
        }
        const auto by_key = first.key(a.second).compare(second.key(b.second));
        // Panes of one key and end fired in this order, in one shard.
        return by_key != 0 ? by_key < 0 : a.second < b.second;
    });
    for (const auto& [shard, pane] : panes) {
        append_pane(out.panes, shards_[shard]->out.panes, pane);
    }
    for (const auto& shard : shards_) {
        empty(shard->out.panes);
    }
}

std::size_t ShardedOperator::live_keys() const noexcept {
    return std::transform_reduce(shards_.begin(), shards_.end(), std::size_t{0}, std::plus<>(),
                                 [](const auto& shard) { return shard->windows.live_keys(); });
}

std::size_t ShardedOperator::live_slices() const noexcept {
    return std::transform_reduce(shards_.begin(), shards_.end(), std::size_t{0}, std::plus<>(),
                                 [](const auto& shard) { return shard->windows.live_slices(); });
}

std::size_t ShardedOperator::state_bytes() const noexcept {
    return std::transform_reduce(shards_.begin(), shards_.end(), std::size_t{0}, std::plus<>(),
                                 [](const auto& shard) { return shard->windows.state_bytes(); });
}

std::vector<std::uint64_t> ShardedOperator::records_by_shard() const {
    std::vector<std::uint64_t> records;
    for (const auto& shard : shards_) {
        records.push_back(shard->records);
    }
    return records;
}

void ShardedOperator::encode(ByteWriter& out) const {
    out.write<std::uint64_t>(shards_.size());
    for (const auto& shard : shards_) {
        ByteWriter state(out.held());
        shard->windows.encode(state);
        out.write_bytes(state.bytes());
    }
}

void ShardedOperator::use_spill(Spill& spill, const std::string& prefix) {
    for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
        shards_[shard]->windows.use_spill(spill, prefix + std::to_string(shard) + "/");
    }
}

void ShardedOperator::begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out) {
    out.write<std::uint64_t>(shards_.size());
    for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
        ByteWriter state;
        shards_[shard]->windows.begin_store(changes, prefix + std::to_string(shard) + "/", state);
        out.write_bytes(state.bytes());
    }
}

bool ShardedOperator::store(std::size_t& budget) {
    return std::all_of(shards_.begin(), shards_.end(),
                       [&](const auto& shard) { return shard->windows.store(budget); });
}

void ShardedOperator::forget_stored() {
    for (const auto& shard : shards_) {
        shard->windows.forget_stored();
    }
}

void ShardedOperator::take_obsolete(std::vector<std::string>& names) {
    for (const auto& shard : shards_) {
        shard->windows.take_obsolete(names);
    }
}

void ShardedOperator::decode(ByteReader& in) {
    const std::uint64_t encoded = in.read_count(sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < encoded; ++at) {
        const std::string_view state = in.read_bytes();
        const bool same_shards = encoded == shards_.size();
        for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
            if (same_shards && at != shard) {
                continue;
            }
            ByteReader reader(state, in.held(), in.pieces());
            shards_[shard]->windows.decode(
                reader, [&](std::uint64_t hash) { return shard_of(hash) == shard; }, same_shards);
            if (reader.remaining() != 0) {
                ByteReader::corrupt("bytes are left over");
            }
        }
    }
    if (encoded != shards_.size()) {
        // Every shard has read all pieces; one of them has them erased.
        std::vector<std::string> known;
        for (std::size_t shard = 1; shard < shards_.size(); ++shard) {
            shards_[shard]->windows.take_obsolete(known);
        }
    }
}

}  // namespace llmopt_stream
