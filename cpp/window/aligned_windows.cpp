#include "window/aligned_windows.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

constexpr KeyInterner::Code kNoCode = 0xFFFFFFFF;
// Rows of up to this many keys are remembered per route; clearing more would cost more than looking up.
constexpr std::uint32_t kMaxCachedKeys = 1024;
// Row pointers are gathered in portions that stay in the first-level cache.
constexpr std::size_t kPortion = 1024;

}  // namespace

AlignedWindows::AlignedWindows(const WindowPlan& plan, SliceContext& context)
    : assigner_(plan.size, plan.slide, plan.offset),
      allowed_lateness_(plan.allowed_lateness),
      accumulation_(plan.accumulation),
      context_(&context),
      merged_(context, Interval{kMinTimestamp, kMaxTimestamp}) {
    pending_.reserve(kPortion);
}

AlignedWindows::FiredWindow::~FiredWindow() {
    for (const KeyInterner::Code code : codes) {
        keys->release(code);
    }
}

std::uint32_t& AlignedWindows::FiredWindow::panes_of(KeyInterner::Code code) {
    std::uint32_t slot = index.find(code);
    if (slot == SlotIndex::kNone) {
        slot = index.add(code);
        codes.push_back(code);
        panes.push_back(0);
        keys->hold(code);
    }
    return panes[slot];
}

Timestamp AlignedWindows::next_change_after(Timestamp watermark) const noexcept {
    const Timestamp completion = assigner_.next_end_after(watermark);
    if (allowed_lateness_ == 0) {
        return completion;
    }
    const Timestamp end = assigner_.next_end_after(add_saturating(watermark, -allowed_lateness_));
    return std::min(completion, add_saturating(end, allowed_lateness_));
}

void AlignedWindows::begin_batch(const RecordBatch& batch) {
    dictionary_size_ = batch.keys->size();
    codes_of_batch_.assign(dictionary_size_, kNoCode);
    cache_rows_ = dictionary_size_ <= kMaxCachedKeys;
    forget_routes();
}

void AlignedWindows::end_batch() noexcept {
    for (const KeyInterner::Code code : codes_of_batch_) {
        if (code != kNoCode) {
            context_->keys.release(code);
        }
    }
    codes_of_batch_.clear();
}

void AlignedWindows::forget_routes() noexcept {
    for (Route& route : routes_) {
        route.span = Interval{0, 0};
        route.last_use = 0;
    }
}

Slice& AlignedWindows::slice_at(const Interval& span) {
    const auto at = std::lower_bound(slices_.begin(), slices_.end(), span.start, [](const auto& slice, Timestamp start) {
        return slice->span().start < start;
    });
    if (at != slices_.end() && (*at)->span().start == span.start) {
        return **at;
    }
    return **slices_.insert(at, std::make_unique<Slice>(*context_, span));
}

AlignedWindows::Route& AlignedWindows::route_of(Timestamp t, Timestamp watermark) {
    Route* oldest = &routes_[0];
    for (Route& route : routes_) {
        if (t >= route.span.start && t < route.span.end) {
            route.last_use = ++uses_;
            return route;
        }
        if (route.last_use < oldest->last_use) {
            oldest = &route;
        }
    }
    Route& route = *oldest;
    route.span = assigner_.slice_of(t);
    route.last_use = ++uses_;
    route.slice = nullptr;
    if (!assigner_.in_a_window(t)) {
        route.fate = Fate::kOutside;
        return route;
    }
    if (expired(assigner_.last_end_of(t), watermark)) {
        route.fate = Fate::kExpired;
        return route;
    }
    const Timestamp first_unexpired =
        std::max(assigner_.next_end_after(t), assigner_.next_end_after(add_saturating(watermark, -allowed_lateness_)));
    route.fate = first_unexpired <= watermark ? Fate::kFiresAgain : Fate::kOpen;
    route.slice = &slice_at(route.span);
    if (cache_rows_) {
        route.rows.assign(dictionary_size_, nullptr);
    }
    return route;
}

KeyInterner::Code AlignedWindows::code_of(const RecordBatch& batch, std::uint32_t dictionary_index) {
    KeyInterner::Code& code = codes_of_batch_[dictionary_index];
    if (code == kNoCode) {
        code = context_->keys.intern(batch.keys->key(dictionary_index), batch.keys->hash(dictionary_index));
        // Held until the batch ends, lest it be reused for another key within it.
        context_->keys.hold(code);
    }
    return code;
}

std::byte* AlignedWindows::row_of(Route& route, const RecordBatch& batch, std::uint32_t dictionary_index) {
    if (!cache_rows_) {
        return route.slice->find_or_create(code_of(batch, dictionary_index));
    }
    std::byte*& row = route.rows[dictionary_index];
    if (row == nullptr) {
        row = route.slice->find_or_create(code_of(batch, dictionary_index));
    }
    return row;
}

void AlignedWindows::add(const RecordBatch& batch, std::size_t first, std::size_t last, Timestamp before,
                         std::span<const Timestamp> watermark_after, std::uint64_t first_position, bool collect_late,
                         WindowOutput& out) {
    std::size_t pending_first = first;
    const auto flush = [&](std::size_t next) {
        if (!pending_.empty()) {
            context_->row.add(pending_, batch.values, pending_first, context_->pool, out.skipped_values);
            out.aggregated += pending_.size();
            pending_.clear();
        }
        pending_first = next;
    };
    const auto input_index = [&](std::size_t record) {
        return batch.input_index.empty() ? static_cast<std::uint32_t>(record) : batch.input_index[record];
    };

    Route* route = nullptr;
    for (std::size_t record = first; record < last; ++record) {
        const Timestamp t = batch.event_time[record];
        if (route == nullptr || t < route->span.start || t >= route->span.end) {
            route = &route_of(t, before);
        }
        if (route->slice != nullptr) {
            pending_.push_back(row_of(*route, batch, batch.key[record]));
            if (pending_.size() == kPortion) {
                flush(record + 1);
            }
            if (route->fate == Fate::kOpen) {
                continue;
            }
            flush(record + 1);
            fire_again(batch, record, code_of(batch, batch.key[record]), before, first_position + input_index(record) + 1,
                       out);
            continue;
        }
        flush(record + 1);
        const Timestamp judged_under = record == first ? before : watermark_after[record - 1];
        if (route->fate == Fate::kOutside && add_saturating(t, allowed_lateness_) >= judged_under) {
            ++out.outside_windows;
            continue;
        }
        ++out.late_records;
        if (collect_late) {
            out.late.push_back(LateRecord{first_position + input_index(record), input_index(record), t, judged_under,
                                          std::string(batch.keys->key(batch.key[record])), assigner_.windows_of(t)});
        }
    }
    flush(last);
}

std::pair<std::size_t, std::size_t> AlignedWindows::slices_of(Timestamp end) const noexcept {
    const auto starts_before = [](const auto& slice, Timestamp t) { return slice->span().start < t; };
    const auto first = std::lower_bound(slices_.begin(), slices_.end(), assigner_.window_ending_at(end).start, starts_before);
    const auto last = std::lower_bound(first, slices_.end(), end, starts_before);
    return {static_cast<std::size_t>(first - slices_.begin()), static_cast<std::size_t>(last - slices_.begin())};
}

void AlignedWindows::append_pane(const std::byte* row, KeyInterner::Code code, Timestamp end, Timestamp watermark,
                                 std::uint64_t position, PaneTiming timing, WindowOutput& out) {
    const bool is_last = expired(end, watermark);
    PaneTable& panes = out.panes;
    panes.fired_at.push_back(position);
    panes.start.push_back(assigner_.window_ending_at(end).start);
    panes.end.push_back(end);
    panes.timing.push_back(timing);
    panes.is_last.push_back(is_last ? 1 : 0);
    panes.append_key(context_->keys.key(code));
    panes.replaces_ends.push_back(panes.replaces.size());
    context_->row.append_results(row, panes.results);
    if (is_last) {
        panes.index.push_back(0);  // Nothing fired before it, or it would not have been kept until now.
    } else {
        panes.index.push_back(fired_.try_emplace(end, *context_).first->second.panes_of(code)++);
    }
}

void AlignedWindows::fire(Timestamp end, Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    const auto [first, last] = slices_of(end);
    const Slice* window = slices_[first].get();
    if (last - first > 1) {
        for (std::size_t at = first; at < last; ++at) {
            merged_.merge(*slices_[at]);
        }
        window = &merged_;
    }
    for (const std::uint32_t slot : window->slots_by_key()) {
        append_pane(window->row(slot), window->codes()[slot], end, watermark, position, PaneTiming::kOnTime, out);
    }
    merged_.clear();
}

void AlignedWindows::fire_again(const RecordBatch& batch, std::size_t record, KeyInterner::Code code,
                                Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    const Timestamp t = batch.event_time[record];
    const Timestamp last_end = std::min(assigner_.last_end_of(t), watermark);
    Timestamp end = std::max(assigner_.next_end_after(t),
                             assigner_.next_end_after(add_saturating(watermark, -allowed_lateness_)));
    for (; end <= last_end; end = add_saturating(end, assigner_.slide())) {
        Slice pane(*context_, assigner_.window_ending_at(end));
        std::byte* const row = pane.find_or_create(code);
        if (accumulation_ == Accumulation::kDiscarding) {
            // Each late record fires at once, so what is new is this record alone.
            std::vector<std::uint64_t> counted_before(context_->row.metrics());
            context_->row.add(std::span(&row, 1), batch.values, record, context_->pool, counted_before);
        } else {
            const auto [first, last] = slices_of(end);
            for (std::size_t at = first; at < last; ++at) {
                if (const std::byte* const part = slices_[at]->find(code)) {
                    context_->row.merge(row, part, context_->pool);
                }
            }
        }
        append_pane(row, code, end, watermark, position, PaneTiming::kLate, out);
        if (end == kMaxTimestamp) {
            return;
        }
    }
}

void AlignedWindows::advance(Timestamp from, Timestamp to, std::uint64_t position, WindowOutput& out) {
    // 1. Fire, before anything expires: a jump past end and expiry still gives the pane.
    Timestamp end = assigner_.next_end_after(from);
    for (;;) {
        const auto at = std::lower_bound(slices_.begin(), slices_.end(), assigner_.window_ending_at(end).start,
                                         [](const auto& slice, Timestamp t) { return slice->span().start < t; });
        if (at == slices_.end()) {
            break;
        }
        end = std::max(end, assigner_.next_end_after((*at)->span().start));
        if (end > to) {
            break;
        }
        fire(end, to, position, out);
        if (end == kMaxTimestamp) {
            break;
        }
        end = add_saturating(end, assigner_.slide());
    }
    // 2. Forget what expired.
    while (!slices_.empty() && expired(assigner_.last_end_of(slices_.front()->span().start), to)) {
        slices_.pop_front();
    }
    while (!fired_.empty() && expired(fired_.begin()->first, to)) {
        fired_.erase(fired_.begin());
    }
    // 3. Where records go has changed.
    forget_routes();
}

void AlignedWindows::encode(ByteWriter& out) const {
    out.write<std::uint64_t>(slices_.size());
    for (const auto& slice : slices_) {
        slice->encode(out);
    }
    out.write<std::uint64_t>(fired_.size());
    for (const auto& [end, window] : fired_) {
        out.write(end);
        out.write<std::uint64_t>(window.codes.size());
        for (std::size_t slot = 0; slot < window.codes.size(); ++slot) {
            out.write_bytes(context_->keys.key(window.codes[slot]));
            out.write(window.panes[slot]);
        }
    }
}

void AlignedWindows::decode(ByteReader& in) {
    const std::uint64_t slices = in.read_count(2 * sizeof(Timestamp));
    for (std::uint64_t at = 0; at < slices; ++at) {
        auto slice = std::make_unique<Slice>(*context_, Interval{0, 0});
        slice->decode(in);
        const Interval span = slice->span();
        if (!assigner_.in_a_window(span.start) || assigner_.slice_of(span.start) != span ||
            (!slices_.empty() && slices_.back()->span().start >= span.start)) {
            ByteReader::corrupt("a slice that these windows do not have");
        }
        slices_.push_back(std::move(slice));
    }
    const std::uint64_t windows = in.read_count(sizeof(Timestamp));
    for (std::uint64_t at = 0; at < windows; ++at) {
        FiredWindow& window = fired_.try_emplace(in.read<Timestamp>(), *context_).first->second;
        const std::uint64_t keys = in.read_count(sizeof(std::uint64_t));
        for (std::uint64_t key = 0; key < keys; ++key) {
            const std::string_view encoded = in.read_bytes();
            window.panes_of(context_->keys.intern(encoded, hash_key(encoded))) = in.read<std::uint32_t>();
        }
    }
}

}  // namespace llmopt_stream
