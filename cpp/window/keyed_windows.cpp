#include "window/keyed_windows.hpp"

#include <algorithm>
#include <utility>

#include "record/error.hpp"
#include "window/dropped_record.hpp"
#include "window/pane_results.hpp"

namespace llmopt_stream {
namespace {

constexpr Interval kAllTimes{kMinTimestamp, kMaxTimestamp};

}  // namespace

KeyedWindows::KeyedWindows(const WindowPlan& plan, SliceContext& context)
    : plan_(plan),
      delays_(plan.trigger.delays()),
      default_trigger_(plan.trigger.is_default()),
      asks_user_(plan.trigger.asks_user()),
      keeps_longer_(asks_user_ || plan.kept_after_end > plan.allowed_lateness),
      assigner_(assigner_of(plan)),
      context_(&context),
      windows_(context),
      codes_(context.keys),
      pending_(context),
      skipped_twice_(context.row.metrics()) {}

std::span<const Interval> KeyedWindows::spans_of(const RecordBatch& batch, std::size_t record) {
    const Timestamp t = batch.event_time[record];
    switch (plan_.kind) {
        case WindowKind::kGiven: {
            const std::uint32_t first = record == 0 ? 0 : batch.window_ends[record - 1];
            return batch.windows.subspan(first, batch.window_ends[record] - first);
        }
        case WindowKind::kGlobal: spans_.assign(1, kAllTimes); break;
        case WindowKind::kSession:
            spans_.assign(1, {t, add_saturating(t, plan_.gap > 0 ? plan_.gap : batch.gap[record])});
            break;
        default: spans_ = assigner_->windows_of(t);
    }
    return spans_;
}

void KeyedWindows::set_timer(Place place) {
    const OpenWindow& window = windows_[place];
    if (!asks_user_) {
        timers_.set(window.span.end > watermark_ ? window.span.end : purge_time(window), place,
                    window.generation);
    }
}

void KeyedWindows::set_clock_timer(Place place) {
    const OpenWindow& window = windows_[place];
    for (const Duration delay : delays_) {
        if (const Timestamp time = add_saturating(window.first_clock, delay); time > clock_) {
            clock_timers_.set(time, place, window.generation);
            return;
        }
    }
}

KeyedWindows::Place KeyedWindows::find_or_create(KeyInterner::Code code, const Interval& span) {
    Place place = windows_.newest_of(code);
    while (place != kNone && std::pair(windows_[place].span.end, windows_[place].span.start) >
                                 std::pair(span.end, span.start)) {
        place = windows_[place].older;
    }
    if (place != kNone && windows_[place].span == span) {
        return place;
    }
    const Place created = windows_.create(code, span, place);
    set_timer(created);
    return created;
}

void KeyedWindows::absorb(Place into, Place from) {
    OpenWindow& to = windows_[into];
    OpenWindow& other = windows_[from];
    to.span = {std::min(to.span.start, other.span.start), std::max(to.span.end, other.span.end)};
    to.panes = std::max(to.panes, other.panes);
    to.waiting += other.waiting;
    to.first_clock = std::min(to.first_clock, other.first_clock);
    to.complete = to.complete || other.complete;
    to.standing.insert(to.standing.end(), other.standing.begin(), other.standing.end());
    // In time order, so that the same sessions always give the same bits.
    context_->row.merge(other.row, to.row, context_->pool);
    std::swap(to.row, other.row);
    windows_.free(from);
}

KeyedWindows::Place KeyedWindows::session_for(KeyInterner::Code code, const Interval& own,
                                              const RecordBatch& batch, std::size_t record,
                                              WindowOutput& out) {
    const auto is_over = [&](Place place) {
        return keeps_longer_ && takes_no_more(windows_[place].span.end);
    };
    Place place = windows_.newest_of(code);
    while (place != kNone && (windows_[place].span.start > own.end || is_over(place))) {
        place = windows_[place].older;
    }
    // It starts at or before the end of the record's own span; they touch if it ends at its start or later.
    if (place == kNone || windows_[place].span.end < own.start) {
        if (takes_no_more(own.end)) {
            return kNone;
        }
        const Place created = windows_.create(code, own, place);
        set_timer(created);
        return created;
    }
    OpenWindow& session = windows_[place];
    const Timestamp end_before = session.span.end;
    const Timestamp first_clock_before = session.first_clock;
    session.span = {std::min(session.span.start, own.start), std::max(session.span.end, own.end)};
    while (session.older != kNone && !is_over(session.older) &&
           windows_[session.older].span.end >= own.start) {
        // The record bridges sessions.
        pending_.flush(batch, record, out);
        const Place older = session.older;
        session.older = windows_[older].older;
        absorb(place, older);
    }
    if (session.span.end > watermark_) {
        session.complete = false;
        if (end_before <= watermark_) {
            // It completes once more; the timer for its expiry would come too late for that.
            ++session.generation;
            set_timer(place);
            set_clock_timer(place);
        }
    }
    if (session.first_clock != first_clock_before) {
        set_clock_timer(place);
    }
    return place;
}

bool KeyedWindows::is_ready(const OpenWindow& window, bool ask_user) const {
    return llmopt_stream::is_ready(plan_.trigger, {window.span, watermark_, clock_, window.waiting,
                                                   window.first_clock, window.complete, ask_user});
}

void KeyedWindows::fire(Place place, PaneTiming timing, std::uint64_t position, WindowOutput& out) {
    OpenWindow& window = windows_[place];
    if (window.waiting > 0 || plan_.accumulation == Accumulation::kAccumulating) {
        const bool is_session = plan_.kind == WindowKind::kSession;
        const bool is_last =
            plan_.kind == WindowKind::kCount ||
            (takes_no_more(window.span.end) && (watermark_ == kMaxTimestamp || !asks_user_ ||
                                                plan_.trigger.should_purge(window.span, watermark_)));
        if (!window.standing.empty()) {
            std::erase(window.standing, window.span);
            std::sort(window.standing.begin(), window.standing.end(),
                      [](const Interval& a, const Interval& b) {
                          return std::pair(a.start, a.end) < std::pair(b.start, b.end);
                      });
        }
        append_results(context_->row, window.row, {context_->keys.key(window.code), window.span, position},
                       out.panes);
        out.panes.append(context_->keys.key(window.code), window.span, position, timing, window.panes,
                         is_last, window.standing);
        ++window.panes;
        window.standing.clear();
        if (plan_.accumulation == Accumulation::kDiscarding) {
            windows_.empty_row(place);
        } else if (is_session) {
            window.standing.push_back(window.span);
        }
    }
    window.waiting = 0;
    window.first_clock = kMaxTimestamp;
    window.complete = window.complete || window.span.end <= watermark_;
}

void KeyedWindows::taken(Place place, const RecordBatch& batch, std::size_t record, std::uint64_t position,
                         WindowOutput& out) {
    OpenWindow& window = windows_[place];
    if (++window.waiting == 1 && !delays_.empty()) {
        window.first_clock = clock_;
        set_clock_timer(place);
    }
    const bool at_end = window.span.end <= watermark_;
    if (default_trigger_ ? at_end : is_ready(window, true)) {
        pending_.flush(batch, record + 1, out);
        fire(place, at_end ? PaneTiming::kLate : PaneTiming::kEarly, position, out);
    } else if (pending_.full()) {
        pending_.flush(batch, record + 1, out);
    }
}

bool KeyedWindows::add(const RecordBatch& batch, std::size_t record, KeyInterner::Code code,
                       std::uint64_t position, WindowOutput& out) {
    const std::span<const Interval> spans = spans_of(batch, record);
    if (plan_.kind == WindowKind::kSession) {
        const Place place = session_for(code, spans.front(), batch, record, out);
        if (place == kNone) {
            return false;
        }
        pending_.push(windows_[place].row);
        taken(place, batch, record, position, out);
        return true;
    }
    taken_.clear();
    for (const Interval& span : spans) {
        if (!takes_no_more(span.end)) {
            taken_.push_back(find_or_create(code, span));
        }
    }
    if (taken_.empty()) {
        return false;
    }
    if (taken_.size() > 1) {
        // Each row takes its records in their order.
        pending_.flush(batch, record, out);
    }
    // The first window's row waits with those of other records; it is counted as aggregated then.
    pending_.push(windows_[taken_.front()].row);
    for (std::size_t at = 1; at < taken_.size(); ++at) {
        context_->row.add(std::span(&windows_[taken_[at]].row, 1), batch, record, context_->pool,
                          skipped_twice_);
    }
    for (const Place place : taken_) {
        taken(place, batch, record, position, out);
    }
    return true;
}

void KeyedWindows::advance_before(std::size_t until, const RecordBatch& batch, std::size_t next,
                                  const BatchClock& clock, WindowOutput& out) {
    if (until == 0) {
        return;
    }
    if (asks_user_) {
        // A user's trigger may look at any watermark.
        for (; stepped_ < until; ++stepped_) {
            if (clock.watermark_after[stepped_] > watermark_) {
                pending_.flush(batch, next, out);
                on_watermark(clock.watermark_after[stepped_], clock.position_after(stepped_), out);
            }
        }
        return;
    }
    const Timestamp watermark = clock.watermark_after[until - 1];
    while (timers_.any_due(watermark)) {
        // What completes does so at the first record that brings the watermark there.
        pending_.flush(batch, next, out);
        const auto completing = std::lower_bound(
            clock.watermark_after.begin(), clock.watermark_after.begin() + static_cast<std::ptrdiff_t>(until),
            std::max(timers_.earliest(), add_saturating(watermark_, 1)));
        const auto stream_record = static_cast<std::size_t>(completing - clock.watermark_after.begin());
        if (stream_record == until) {
            break;
        }
        on_watermark(clock.watermark_after[stream_record], clock.position_after(stream_record), out);
    }
    watermark_ = std::max(watermark_, watermark);
}

void KeyedWindows::on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out) {
    codes_.begin(batch);
    pending_.begin(0);
    stepped_ = 0;
    for (std::size_t record = 0; record < batch.size; ++record) {
        const std::size_t stream_record = clock.stream_record_of(record);
        advance_before(stream_record, batch, record, clock, out);
        const KeyInterner::Code code = codes_[batch.key[record]];
        const std::uint64_t position = clock.position_after(stream_record);
        if (!add(batch, record, code, position, out)) {
            pending_.flush(batch, record + 1, out);
            drop_record(plan_, batch, clock, record, watermark_, out, [&] {
                const std::span<const Interval> spans = spans_of(batch, record);
                return std::vector<Interval>(spans.begin(), spans.end());
            });
        }
    }
    advance_before(clock.stream_records(), batch, batch.size, clock, out);
    pending_.flush(batch, batch.size, out);
    codes_.end();
}

std::vector<WindowVerdict> KeyedWindows::explain(const RecordBatch& batch) {
    codes_.begin(batch);
    const KeyInterner::Code code = codes_[batch.key[0]];
    std::vector<WindowVerdict> verdicts;
    for (Interval span : spans_of(batch, 0)) {
        if (plan_.kind == WindowKind::kSession) {
            for (Place place = windows_.newest_of(code); place != kNone; place = windows_[place].older) {
                const Interval& other = windows_[place].span;
                if (other.start <= span.end && other.end >= span.start && !takes_no_more(other.end)) {
                    span = {std::min(span.start, other.start), std::max(span.end, other.end)};
                }
            }
        }
        const WindowFate fate = takes_no_more(span.end)                      ? WindowFate::kExpired
                                : span.end <= watermark_ && default_trigger_ ? WindowFate::kFiresAtOnce
                                                                             : WindowFate::kTaken;
        verdicts.push_back({span, fate});
    }
    codes_.end();
    return verdicts;
}

void KeyedWindows::fire_due(std::uint64_t position, bool ask_user, Timestamp watermark_before,
                            WindowOutput& out) {
    windows_.sort(due_);
    for (const Place place : due_) {
        const OpenWindow& window = windows_[place];
        const bool at_end = window.span.end <= watermark_;
        const bool completes = at_end && window.span.end > watermark_before;
        if ((window.waiting > 0 || completes) && is_ready(window, ask_user)) {
            fire(place,
                 completes ? PaneTiming::kOnTime
                 : at_end  ? PaneTiming::kLate
                           : PaneTiming::kEarly,
                 position, out);
        }
    }
}

void KeyedWindows::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    if (watermark <= watermark_) {
        return;
    }
    const Timestamp before = std::exchange(watermark_, watermark);
    if (asks_user_) {
        due_ = windows_.all();
    } else {
        due_.clear();
        while (timers_.any_due(watermark_)) {
            const WindowTimers::Timer timer = timers_.take();
            if (windows_[timer.place].generation == timer.generation) {
                due_.push_back(timer.place);
            }
        }
    }
    // Each window has one timer, so it is in the list once. 1. Fire, in order, before anything expires: a
    // jump past end and expiry still gives the pane.
    fire_due(position, true, before, out);
    // 2. Forget what expired, look at the rest again later.
    for (const Place place : due_) {
        const OpenWindow& window = windows_[place];
        if (watermark_ >= purge_time(window) && (!asks_user_ || watermark_ == kMaxTimestamp ||
                                                 plan_.trigger.should_purge(window.span, watermark_))) {
            out.unfired += window.waiting;
            windows_.erase(place);
        } else {
            set_timer(place);
        }
    }
}

void KeyedWindows::on_processing_time(Timestamp now, std::uint64_t position, WindowOutput& out) {
    if (now <= clock_) {
        return;
    }
    clock_ = now;
    if (plan_.by_clock) {
        on_watermark(now, position, out);
    }
    due_.clear();
    while (clock_timers_.any_due(clock_)) {
        const WindowTimers::Timer timer = clock_timers_.take();
        const OpenWindow& window = windows_[timer.place];
        if (window.generation == timer.generation && window.waiting > 0) {
            due_.push_back(timer.place);
        }
    }
    std::sort(due_.begin(), due_.end());
    due_.erase(std::unique(due_.begin(), due_.end()), due_.end());
    fire_due(position, false, watermark_, out);
    for (const Place place : due_) {
        if (windows_[place].waiting > 0) {
            set_clock_timer(place);
        }
    }
}

void KeyedWindows::encode(ByteWriter& out) const {
    out.write(watermark_);
    out.write(clock_);
    const std::vector<Place> places = windows_.all();
    out.write<std::uint64_t>(places.size());
    for (const Place place : places) {
        const OpenWindow& window = windows_[place];
        out.write_bytes(context_->keys.key(window.code));
        out.write(window.span.start);
        out.write(window.span.end);
        out.write(window.panes);
        out.write(window.waiting);
        out.write(window.first_clock);
        out.write(static_cast<std::uint8_t>(window.complete));
        out.write<std::uint64_t>(window.standing.size());
        for (const Interval& interval : window.standing) {
            out.write(interval.start);
            out.write(interval.end);
        }
        context_->row.encode(window.row, out);
    }
}

void KeyedWindows::decode(ByteReader& in, const KeyFilter& keep) {
    watermark_ = in.read<Timestamp>();
    clock_ = in.read<Timestamp>();
    const std::uint64_t count = in.read_count(sizeof(std::uint64_t) + 2 * sizeof(Timestamp));
    for (std::uint64_t at = 0; at < count; ++at) {
        const std::string_view key = in.read_bytes();
        const std::uint64_t hash = hash_key(key);
        const KeyInterner::Code code = context_->keys.intern(key, hash);
        // A key's windows come newest first.
        Place oldest = windows_.newest_of(code);
        while (oldest != kNone && windows_[oldest].older != kNone) {
            oldest = windows_[oldest].older;
        }
        const auto start = in.read<Timestamp>();
        const Interval span{start, in.read<Timestamp>()};
        const Place place = windows_.create(code, span, kNone);
        OpenWindow& window = windows_[place];
        window.panes = in.read<std::uint32_t>();
        window.waiting = in.read<std::uint64_t>();
        window.first_clock = in.read<Timestamp>();
        window.complete = in.read<std::uint8_t>() != 0;
        window.standing.resize(in.read_count(2 * sizeof(Timestamp)));
        for (Interval& interval : window.standing) {
            interval.start = in.read<Timestamp>();
            interval.end = in.read<Timestamp>();
        }
        context_->row.decode(window.row, in, context_->pool);
        if (!keep(hash)) {
            windows_.erase(place);
            continue;
        }
        if (span.end <= span.start || (!keeps_longer_ && watermark_ >= purge_time(window))) {
            ByteReader::corrupt("a window that cannot be open");
        }
        if (oldest != kNone && !keeps_longer_) {
            const Interval& newer = windows_[oldest].span;
            if (std::pair(newer.end, newer.start) <= std::pair(span.end, span.start) ||
                (plan_.kind == WindowKind::kSession && newer.start <= span.end)) {
                ByteReader::corrupt("windows of a key out of order");
            }
        }
        set_timer(place);
        if (window.waiting > 0) {
            set_clock_timer(place);
        }
    }
}

}  // namespace llmopt_stream
