#include "window/aligned_windows.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "window/dropped_record.hpp"
#include "window/pane_results.hpp"

namespace llmopt_stream {
namespace {

// Rows of up to this many keys are remembered per route; clearing more would cost more than looking up.
constexpr std::uint32_t kMaxCachedKeys = 1024;
// So many records take as long as what one of them needs comes from memory.
constexpr std::size_t kAhead = 12;

class SpilledPieces final : public StoredPieces {
public:
    explicit SpilledPieces(Spill& spill) : spill_(&spill) {}

    [[nodiscard]] std::string get(const std::string& name) const override {
        std::optional<std::string> piece = spill_->backend->get(name);
        if (!piece) {
            throw Error(ErrorKind::kState, "state that was spilled is not in the state backend any more");
        }
        spill_->bytes_read += piece->size();
        return *std::move(piece);
    }

private:
    Spill* spill_;
};

}  // namespace

AlignedWindows::AlignedWindows(const WindowPlan& plan, SliceContext& context)
    : plan_(plan),
      assigner_(*assigner_of(plan)),
      context_(&context),
      slices_(context),
      merged_(context),
      key_order_(context.keys),
      codes_(context.keys),
      pending_(context) {
    if (assigner_.slices_per_window() >= SliceTree::kFewestSlices) {
        tree_.emplace(context, slices_, assigner_.slices_per_window());
    }
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

Timestamp AlignedWindows::next_change() const noexcept {
    const Timestamp completion = assigner_.next_end_after(watermark_);
    if (plan_.allowed_lateness == 0) {
        return completion;
    }
    const Timestamp end = assigner_.next_end_after(add_saturating(watermark_, -plan_.allowed_lateness));
    return std::min(completion, add_saturating(end, plan_.allowed_lateness));
}

void AlignedWindows::on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out) {
    codes_.begin(batch);
    cache_rows_ = codes_.size() <= kMaxCachedKeys;
    forget_routes();
    const std::size_t stream_records = clock.stream_records();
    std::size_t first = 0;
    std::size_t stream_first = 0;
    while (stream_first < stream_records) {
        // A segment ends with the record whose watermark first completes or expires a window;
        // that record itself still belongs to it.
        const auto changing =
            std::lower_bound(clock.watermark_after.begin() + static_cast<std::ptrdiff_t>(stream_first),
                             clock.watermark_after.end(), next_change());
        const auto found = static_cast<std::size_t>(changing - clock.watermark_after.begin());
        const std::size_t stream_last = std::min(found + 1, stream_records);
        std::size_t last = stream_last;
        if (!clock.stream_record.empty() || batch.size == 0) {
            last = first;
            while (last < batch.size && clock.stream_record[last] < stream_last) {
                ++last;
            }
        }
        add(batch, clock, first, last, out);
        on_watermark(clock.watermark_after[stream_last - 1], clock.position_after(stream_last - 1), out);
        first = last;
        stream_first = stream_last;
    }
    codes_.end();
    keep_to_budget();
}

void AlignedWindows::forget_routes() noexcept {
    for (Route& route : routes_) {
        route.span = Interval{0, 0};
        route.last_use = 0;
    }
}

AlignedWindows::Route& AlignedWindows::route_of(Timestamp t) {
    Route* oldest = routes_.data();
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
    if (expired(assigner_.last_end_of(t))) {
        route.fate = Fate::kExpired;
        return route;
    }
    route.fate = first_unexpired_end_after(t) <= watermark_ ? Fate::kFiresAgain : Fate::kOpen;
    route.number = assigner_.slice_number_of(t);
    route.slice = &loaded(slices_.find_or_create(route.number, route.span));
    route.slice->mark_changed();
    route.in_tree = tree_.has_value() && route.span.end <= watermark_;
    route.rows.assign(cache_rows_ ? codes_.size() : 0, nullptr);
    return route;
}

std::byte* AlignedWindows::row_of(Route& route, std::uint32_t dictionary_index) {
    if (!cache_rows_) {
        return route.slice->find_or_create(codes_.look_up(dictionary_index));
    }
    std::byte*& row = route.rows[dictionary_index];
    if (row == nullptr) {
        row = route.slice->find_or_create(codes_.look_up(dictionary_index));
    }
    return row;
}

void AlignedWindows::add(const RecordBatch& batch, const BatchClock& clock, std::size_t first,
                         std::size_t last, WindowOutput& out) {
    pending_.begin(first);
    const Timestamp* const times = batch.event_time.data();
    const std::uint32_t* const keys = batch.key.data();
    Route* route = nullptr;
    for (std::size_t record = first; record < last; ++record) {
        if (route != nullptr && route->takes_runs()) {
            const auto is_inside = [span = route->span, times](std::size_t at) {
                return times[at] >= span.start && times[at] < span.end;
            };
            if (cache_rows_) {
                record = pending_.push_while(record, last,
                                             [is_inside, rows = route->rows.data(), keys](std::size_t at) {
                                                 return is_inside(at) ? rows[keys[at]] : nullptr;
                                             });
            } else {
                record = pending_.push_while(record, last, [&](std::size_t at) -> std::byte* {
                    codes_.prefetch(keys[std::min(at + 2 * kAhead, last - 1)]);
                    if (const auto code = codes_.known(keys[std::min(at + kAhead, last - 1)])) {
                        context_->keys.prefetch_generation(*code);
                        context_->keys.prefetch(*code);
                        route->slice->prefetch(*code);
                    }
                    if (!is_inside(at)) {
                        return nullptr;
                    }
                    std::byte* const row = route->slice->find_or_create(codes_.look_up(keys[at]));
                    __builtin_prefetch(row);
                    return row;
                });
            }
            if (pending_.full()) {
                pending_.flush(batch, record, out);
            }
            if (record == last) {
                break;
            }
        }
        const Timestamp t = batch.event_time[record];
        if (route == nullptr || t < route->span.start || t >= route->span.end) {
            if (is_over_budget()) {
                pending_.flush(batch, record, out);
                keep_to_budget();
            }
            route = &route_of(t);
        }
        if (route->slice == nullptr) {
            pending_.flush(batch, record + 1, out);
            const std::size_t stream_record = clock.stream_record_of(record);
            drop_record(plan_, batch, clock, record,
                        stream_record == 0 ? watermark_ : clock.watermark_after[stream_record - 1], out,
                        [&] { return assigner_.windows_of(t); });
            continue;
        }
        pending_.push(row_of(*route, batch.key[record]));
        if (route->in_tree) {
            tree_->invalidate(route->number, codes_.look_up(batch.key[record]));
        }
        if (route->fate == Fate::kFiresAgain) {
            pending_.flush(batch, record + 1, out);
            fire_again(batch, record, clock.position_after(clock.stream_record_of(record)), out);
        } else if (pending_.full()) {
            pending_.flush(batch, record + 1, out);
        }
    }
    pending_.flush(batch, last, out);
}

void AlignedWindows::merge(Timestamp end) {
    const SliceRange window = assigner_.slices_of(assigner_.window_ending_at(end));
    load_slices_of(window);
    if (tree_) {
        tree_->merge(window, merged_);
        return;
    }
    for (auto at = slices_.from(window.first); at != slices_.end() && at->number < window.end; ++at) {
        merged_.merge(*at->slice);
    }
}

void AlignedWindows::merge(Timestamp end, KeyInterner::Code code, std::uint32_t slot) {
    const SliceRange window = assigner_.slices_of(assigner_.window_ending_at(end));
    load_slices_of(window);
    if (tree_) {
        tree_->merge(window, code, merged_, slot);
        return;
    }
    for (auto at = slices_.from(window.first); at != slices_.end() && at->number < window.end; ++at) {
        if (const std::byte* const row = at->slice->find(code)) {
            merged_.merge(slot, row);
        }
    }
}

void AlignedWindows::append_pane(const std::byte* row, KeyInterner::Code code, Timestamp end,
                                 std::uint64_t position, PaneTiming timing, WindowOutput& out) {
    FiredWindow* const fired = fired_window(end);
    const std::uint32_t index = fired == nullptr ? 0 : fired->panes_of(code)++;
    const Interval window = assigner_.window_ending_at(end);
    append_results(context_->row, row, {context_->keys.key(code), window, position}, out.panes);
    out.panes.append(context_->keys.key(code), window, position, timing, index, fired == nullptr);
}

AlignedWindows::FiredWindow* AlignedWindows::fired_window(Timestamp end) {
    const bool is_last = expired(end);
    return is_last ? nullptr : &fired_.try_emplace(end, *context_).first->second;
}

void AlignedWindows::fire(Timestamp end, std::uint64_t position, WindowOutput& out) {
    if (!tree_) {
        const SliceRange window = assigner_.slices_of(assigner_.window_ending_at(end));
        const auto only = slices_.from(window.first);
        const bool has_any = only != slices_.end() && only->number < window.end;
        if (has_any && (only + 1 == slices_.end() || (only + 1)->number >= window.end)) {
            fire(loaded(*only->slice), end, position, out);
            return;
        }
    }
    merge(end);
    fire(merged_, end, position, out);
    merged_.clear();
}

template <typename Rows>
void AlignedWindows::fire(const Rows& rows, Timestamp end, std::uint64_t position, WindowOutput& out) {
    // Their rows and results stay in the first-level cache.
    constexpr std::size_t kAtOnce = 64;
    const Interval window = assigner_.window_ending_at(end);
    const std::span<const std::uint32_t> slots = key_order_.places_of(rows.codes());
    for (std::size_t begin = 0; begin < slots.size(); begin += kAtOnce) {
        const auto some = slots.subspan(begin, std::min(kAtOnce, slots.size() - begin));
        fired_rows_.clear();
        for (const std::uint32_t slot : some) {
            fired_rows_.push_back(rows.row(slot));
            __builtin_prefetch(fired_rows_.back());
            context_->keys.prefetch(rows.codes()[slot]);
        }
        for (const std::uint32_t slot : some) {
            context_->keys.prefetch_key(rows.codes()[slot]);
        }
        if (!context_->row.append_all_results(fired_rows_, window, out.panes.results)) {
            for (const std::uint32_t slot : some) {
                append_pane(rows.row(slot), rows.codes()[slot], end, position, PaneTiming::kOnTime, out);
            }
            continue;
        }
        FiredWindow* const fired = fired_window(end);
        out.panes.append_window(
            some.size(), window, position, PaneTiming::kOnTime, fired == nullptr,
            [&](std::size_t pane) { return context_->keys.key(rows.codes()[some[pane]]); },
            [&](std::size_t pane) {
                return fired == nullptr ? 0 : fired->panes_of(rows.codes()[some[pane]])++;
            });
    }
}

void AlignedWindows::fire_again(const RecordBatch& batch, std::size_t record, std::uint64_t position,
                                WindowOutput& out) {
    const Timestamp t = batch.event_time[record];
    const KeyInterner::Code code = codes_[batch.key[record]];
    Slice alone(*context_, Interval{t, t});
    if (plan_.accumulation == Accumulation::kDiscarding) {
        // Each late record fires at once, so what is new is this record alone. Its skipped values were
        // counted.
        std::byte* const row = alone.find_or_create(code);
        std::vector<std::uint64_t> counted(context_->row.metrics());
        context_->row.add(std::span(&row, 1), batch, record, context_->pool, counted);
    }
    const Timestamp last_end = std::min(assigner_.last_end_of(t), watermark_);
    for (Timestamp end = first_unexpired_end_after(t); end <= last_end;
         end = add_saturating(end, assigner_.slide())) {
        const std::uint32_t slot = merged_.find_or_create(code);
        if (plan_.accumulation == Accumulation::kDiscarding) {
            merged_.merge(slot, alone.find(code));
        } else {
            merge(end, code, slot);
        }
        append_pane(merged_.row(slot), code, end, position, PaneTiming::kLate, out);
        merged_.clear();
        if (end == kMaxTimestamp) {
            return;
        }
    }
}

void AlignedWindows::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    if (watermark <= watermark_) {
        return;
    }
    if (watermark < next_change()) {
        watermark_ = watermark;
        return;
    }
    Timestamp end = assigner_.next_end_after(watermark_);
    watermark_ = watermark;
    // 1. Fire, before anything expires: a jump past end and expiry still gives the pane.
    for (;;) {
        const auto at = slices_.from(assigner_.slices_of(assigner_.window_ending_at(end)).first);
        if (at == slices_.end()) {
            break;
        }
        end = std::max(end, assigner_.next_end_after(at->slice->span().start));
        if (end > watermark_) {
            break;
        }
        fire(end, position, out);
        keep_to_budget();
        if (end == kMaxTimestamp) {
            break;
        }
        end = add_saturating(end, assigner_.slide());
    }
    // 2. Forget what expired.
    while (!slices_.empty() && expired(assigner_.last_end_of(slices_.front().slice->span().start))) {
        const SliceNumber number = slices_.front().number;
        expire(slices_.take_front());
        if (tree_) {
            tree_->release_before(number + 1);
        }
    }
    while (!fired_.empty() && expired(fired_.begin()->first)) {
        fired_.erase(fired_.begin());
    }
    // 3. Where records go has changed.
    forget_routes();
    keep_to_budget();
}

Slice& AlignedWindows::loaded(Slice& slice) {
    slice.last_use = ++uses_;
    if (!slice.is_loaded()) {
        slice.load(SpilledPieces(*context_->spill), prefix_);
        --context_->spill->slices;
    }
    return slice;
}

void AlignedWindows::load_slices_of(SliceRange window) {
    if (context_->spill == nullptr) {
        return;
    }
    for (auto at = slices_.from(window.first); at != slices_.end() && at->number < window.end; ++at) {
        loaded(*at->slice);
    }
}

void AlignedWindows::keep_to_budget() {
    Spill* const spill = context_->spill;
    if (!is_over_budget()) {
        return;
    }
    std::vector<Slice*> coldest;
    for (const auto& [number, slice] : slices_) {
        if (slice->is_loaded() && !slice->being_stored()) {
            coldest.push_back(slice.get());
        }
    }
    std::sort(coldest.begin(), coldest.end(),
              [](const Slice* a, const Slice* b) { return a->last_use < b->last_use; });
    if (tree_) {
        tree_->release_all();
    }
    forget_routes();
    for (Slice* const slice : coldest) {
        if (context_->pool.allocated_bytes() <= spill->most_bytes / 4 * 3) {
            break;
        }
        if (slice->changed() || slice->spilled_version != slice->stored().version) {
            write(*slice);
        }
        slice->unload();
        ++spill->slices;
    }
}

void AlignedWindows::write(Slice& slice) {
    forget_pieces_of(slice, prefix_);
    StateChanges changes;
    slice.begin_store(changes, prefix_, ++version_);
    std::size_t all = std::numeric_limits<std::size_t>::max();
    slice.store(all);
    context_->spill->backend->apply(changes);
    context_->spill->bytes_written += bytes_of(changes);
    slice.spilled_version = version_;
}

void AlignedWindows::expire(std::unique_ptr<Slice> slice) {
    if (!slice->is_loaded()) {
        --context_->spill->slices;
    }
    if (slice->being_stored()) {
        expired_while_stored_.push_back(std::move(slice));
    } else {
        forget_pieces_of(*slice, prefix_);
    }
}

void AlignedWindows::forget_pieces_of(const Slice& slice, const std::string& prefix) {
    const PieceRange& stored = slice.stored();
    for (std::uint32_t piece = 0; piece < stored.pieces; ++piece) {
        obsolete_.push_back(piece_name(prefix, slice.span().start, stored.version, piece));
    }
}

void AlignedWindows::encode(ByteWriter& out) const {
    encode(out, "", [&](const Slice& slice) {
        if (slice.is_loaded()) {
            slice.encode(out);
        } else {
            slice.encode_unloaded(out, SpilledPieces(*context_->spill), prefix_);
        }
    });
}

void AlignedWindows::begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out) {
    prefix_ = prefix;
    for (const auto& [number, slice] : slices_) {
        if (slice->changed()) {
            forget_pieces_of(*slice, prefix_);
            slice->begin_store(changes, prefix_, ++version_);
            being_stored_.push_back(slice.get());
        }
    }
    for (std::string& name : obsolete_) {
        changes.del(std::move(name));
    }
    obsolete_.clear();
    encode(out, prefix_, [&](const Slice& slice) { slice.encode_stored(out); });
}

bool AlignedWindows::store(std::size_t& budget) {
    while (!being_stored_.empty()) {
        if (!being_stored_.front()->store(budget)) {
            return false;
        }
        being_stored_.pop_front();
    }
    for (const auto& slice : expired_while_stored_) {
        forget_pieces_of(*slice, prefix_);
    }
    expired_while_stored_.clear();
    return true;
}

void AlignedWindows::forget_stored() {
    for (const auto& [number, slice] : slices_) {
        // What is not loaded was spilled, not left to a checkpoint.
        if (slice->is_loaded()) {
            forget_pieces_of(*slice, prefix_);
            slice->set_stored({});
            slice->mark_changed();
        }
    }
}

void AlignedWindows::take_obsolete(std::vector<std::string>& names) {
    // An operator that comes after this one has read everything.
    for (const auto& [number, slice] : slices_) {
        forget_pieces_of(*slice, prefix_);
    }
    std::move(obsolete_.begin(), obsolete_.end(), std::back_inserter(names));
    obsolete_.clear();
}

template <typename EncodeSlice>
void AlignedWindows::encode(ByteWriter& out, const std::string& prefix, EncodeSlice encode_slice) const {
    out.write(watermark_);
    out.write_bytes(prefix);
    out.write<std::uint64_t>(slices_.size());
    for (const auto& [number, slice] : slices_) {
        encode_slice(*slice);
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

void AlignedWindows::decode(ByteReader& in, const KeyFilter& keep, bool own) {
    watermark_ = in.read<Timestamp>();
    const std::string prefix(in.read_bytes());
    if (own) {
        prefix_ = prefix;
    }
    const std::uint64_t slices = in.read_count(2 * sizeof(Timestamp));
    for (std::uint64_t at = 0; at < slices; ++at) {
        const auto start = in.read<Timestamp>();
        const Interval span{start, in.read<Timestamp>()};
        if (!assigner_.in_a_window(start) || assigner_.slice_of(start) != span) {
            ByteReader::corrupt("a slice that these windows do not have");
        }
        Slice& slice = slices_.find_or_create(assigner_.slice_number_of(start), span);
        slice.set_stored(slice.decode(in, prefix, keep));
        version_ = std::max(version_, slice.stored().version);
        if (!own || slice.stored().version == 0) {
            forget_pieces_of(slice, prefix);
            slice.set_stored({});
            slice.mark_changed();
        }
        slice.spilled_version = slice.stored().version;
        keep_to_budget();
    }
    slices_.erase_empty();
    const std::uint64_t windows = in.read_count(sizeof(Timestamp));
    for (std::uint64_t at = 0; at < windows; ++at) {
        const auto end = in.read<Timestamp>();
        const std::uint64_t keys = in.read_count(sizeof(std::uint64_t));
        for (std::uint64_t key = 0; key < keys; ++key) {
            const std::string_view encoded = in.read_bytes();
            const auto panes = in.read<std::uint32_t>();
            if (const std::uint64_t hash = hash_key(encoded); keep(hash)) {
                FiredWindow& window = fired_.try_emplace(end, *context_).first->second;
                window.panes_of(context_->keys.intern(encoded, hash)) = panes;
            }
        }
    }
}

}  // namespace llmopt_stream
