#include "window/count_windows.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "record/error.hpp"
#include "window/pane_results.hpp"

namespace llmopt_stream {
namespace {

constexpr Interval kAllTimes{kMinTimestamp, kMaxTimestamp};
constexpr Timestamp kMostRecords = Timestamp{1} << 61;

}  // namespace

CountWindows::CountWindows(const WindowPlan& plan, SliceContext& context)
    : size_(plan.size),
      slide_(plan.slide),
      flush_rest_(plan.flush),
      assigner_(*assigner_of(plan)),
      context_(&context),
      slices_(context),
      codes_(context.keys),
      pending_(context),
      merged_(context, kAllTimes) {
    if (!plan.trigger.is_default()) {
        throw Error(ErrorKind::kConfiguration,
                    "trigger: count windows fire when they are full; leave the trigger out");
    }
}

Timestamp& CountWindows::count_of(KeyInterner::Code code) {
    if (code >= counts_.size()) {
        counts_.resize(std::size_t{code} + code / 2 + 1, 0);
    }
    return counts_[code];
}

void CountWindows::fire(KeyInterner::Code code, Timestamp end, std::uint64_t position, WindowOutput& out) {
    const Timestamp start = assigner_.window_ending_at(end).start;
    window_.clear();
    for (Place place = slices_.newest_of(code); place != kNone && slices_[place].span.start >= start;
         place = slices_[place].older) {
        window_.push_back(place);
    }
    if (window_.empty()) {
        return;
    }
    const std::byte* row = slices_[window_.front()].row;
    if (window_.size() > 1) {
        // Oldest first, so that the same slices always give the same bits.
        std::byte* const merged = merged_.find_or_create(code);
        for (const Place place : std::views::reverse(window_)) {
            context_->row.merge(merged, slices_[place].row, context_->pool);
        }
        row = merged;
    }
    append_results(context_->row, row, {context_->keys.key(code), kAllTimes, position}, out.panes);
    out.panes.append(context_->keys.key(code), kAllTimes, position, PaneTiming::kOnTime,
                     static_cast<std::uint32_t>(end / slide_ - 1), true);
    merged_.clear();
}

void CountWindows::forget(KeyInterner::Code code, Timestamp until) {
    Place* link = &slices_.newest_of(code);
    while (*link != kNone && slices_[*link].span.end > until) {
        link = &slices_[*link].older;
    }
    for (Place place = std::exchange(*link, kNone); place != kNone;) {
        slices_.free(std::exchange(place, slices_[place].older));
    }
}

void CountWindows::on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out) {
    codes_.begin(batch);
    pending_.begin(0);
    for (std::size_t record = 0; record < batch.size; ++record) {
        const KeyInterner::Code code = codes_[batch.key[record]];
        Timestamp& count = count_of(code);
        const Timestamp number = count++;
        if (number == 0) {
            context_->keys.hold(code);
        }
        if (assigner_.in_a_window(number)) {
            Place place = slices_.newest_of(code);
            if (place == kNone || number >= slices_[place].span.end) {
                place = slices_.create(code, assigner_.slice_of(number), place);
            }
            pending_.push(slices_[place].row);
            if (pending_.full()) {
                pending_.flush(batch, record + 1, out);
            }
        } else {
            pending_.flush(batch, record + 1, out);
            ++out.outside_windows;
        }
        if (count % slide_ == 0) {
            pending_.flush(batch, record + 1, out);
            fire(code, count, clock.position_after(clock.stream_record_of(record)), out);
            forget(code, count + slide_ - size_);
        }
    }
    pending_.flush(batch, batch.size, out);
    codes_.end();
}

void CountWindows::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    if (watermark > watermark_ && watermark == kMaxTimestamp) {
        end_of_input(position, out);
    }
    watermark_ = std::max(watermark_, watermark);
}

void CountWindows::end_of_input(std::uint64_t position, WindowOutput& out) {
    std::vector<KeyInterner::Code> codes;
    for (KeyInterner::Code code = 0; code < counts_.size(); ++code) {
        if (counts_[code] != 0) {
            codes.push_back(code);
        }
    }
    std::sort(codes.begin(), codes.end(),
              [&](KeyInterner::Code a, KeyInterner::Code b) { return context_->keys.less(a, b); });
    for (const KeyInterner::Code code : codes) {
        const Timestamp count = std::exchange(counts_[code], 0);
        // What came since the last firing, without records in a gap between windows.
        const Duration rest = count % slide_ - std::max<Duration>(slide_ - size_, 0);
        if (rest > 0 && flush_rest_) {
            fire(code, assigner_.next_end_after(count), position, out);
        } else if (rest > 0) {
            out.unfired += static_cast<std::uint64_t>(rest);
        }
        forget(code, kMaxTimestamp);
        context_->keys.release(code);
    }
}

std::vector<WindowVerdict> CountWindows::explain(const RecordBatch& batch) {
    codes_.begin(batch);
    const bool in_a_window = assigner_.in_a_window(count_of(codes_[batch.key[0]]));
    codes_.end();
    return in_a_window ? std::vector{WindowVerdict{kAllTimes, WindowFate::kTaken}}
                       : std::vector<WindowVerdict>{};
}

void CountWindows::encode(ByteWriter& out) const {
    out.write(watermark_);
    out.write<std::uint64_t>(counts_.size() -
                             static_cast<std::size_t>(std::count(counts_.begin(), counts_.end(), 0)));
    for (KeyInterner::Code code = 0; code < counts_.size(); ++code) {
        if (counts_[code] == 0) {
            continue;
        }
        out.write_bytes(context_->keys.key(code));
        out.write(counts_[code]);
        std::uint32_t slices = 0;
        for (Place place = slices_.newest_of(code); place != kNone; place = slices_[place].older) {
            ++slices;
        }
        out.write(slices);
        for (Place place = slices_.newest_of(code); place != kNone; place = slices_[place].older) {
            out.write(slices_[place].span.start);
            context_->row.encode(slices_[place].row, out);
        }
    }
}

void CountWindows::decode(ByteReader& in, const KeyFilter& keep) {
    watermark_ = in.read<Timestamp>();
    const std::uint64_t keys = in.read_count(2 * sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < keys; ++at) {
        const std::string_view key = in.read_bytes();
        const std::uint64_t hash = hash_key(key);
        const KeyInterner::Code code = context_->keys.intern(key, hash);
        Timestamp& count = count_of(code);
        if (count != 0) {
            ByteReader::corrupt("a key that is counted twice");
        }
        count = in.read<Timestamp>();
        if (count <= 0 || count > kMostRecords) {
            ByteReader::corrupt("a count that cannot be");
        }
        context_->keys.hold(code);
        const auto slices = in.read<std::uint32_t>();
        Timestamp newer_start = count;
        Place oldest = kNone;
        for (std::uint32_t slice = 0; slice < slices; ++slice) {
            const auto start = in.read<Timestamp>();
            if (start < 0 || start >= newer_start || !assigner_.in_a_window(start) ||
                assigner_.slice_of(start).start != start) {
                ByteReader::corrupt("a slice that these windows do not have");
            }
            newer_start = start;
            const Interval span = assigner_.slice_of(start);
            Place* link = oldest == kNone ? &slices_.newest_of(code) : &slices_[oldest].older;
            if (*link != kNone) {
                ByteReader::corrupt("slices out of order");
            }
            oldest = slices_.create(code, span, kNone);
            context_->row.decode(slices_[oldest].row, in, context_->pool);
        }
        if (!keep(hash)) {
            forget(code, kMaxTimestamp);
            count_of(code) = 0;
            context_->keys.release(code);
        }
    }
}

}  // namespace llmopt_stream
