#include "window/session_windows.hpp"

#include <algorithm>
#include <utility>

namespace llmopt_stream {
namespace {

// Row pointers are gathered in portions that stay in the first-level cache.
constexpr std::size_t kPortion = 1024;

}  // namespace

SessionWindows::SessionWindows(const WindowPlan& plan, SliceContext& context)
    : gap_(plan.gap),
      allowed_lateness_(plan.allowed_lateness),
      accumulation_(plan.accumulation),
      collect_late_(plan.collect_late),
      context_(&context),
      codes_(context.keys) {
    if (gap_ <= 0) {
        throw Error(ErrorKind::kConfiguration, "session window: gap must be positive");
    }
    pending_.reserve(kPortion);
}

SessionWindows::~SessionWindows() {
    for (const Session& session : sessions_) {
        if (session.row != nullptr) {
            context_->row.destroy(session.row, context_->pool);
        }
    }
}

SessionWindows::Index SessionWindows::create(KeyInterner::Code code, Timestamp t) {
    Index place = 0;
    if (free_places_.empty()) {
        place = static_cast<Index>(sessions_.size());
        sessions_.emplace_back();
    } else {
        place = free_places_.back();
        free_places_.pop_back();
    }
    Session& session = sessions_[place];
    session.start = t;
    session.end = add_saturating(t, gap_);
    session.row = static_cast<std::byte*>(context_->pool.allocate(context_->row.bytes()));
    context_->row.create(session.row);
    session.code = code;
    session.panes = 0;
    session.complete = false;
    context_->keys.hold(code);
    ++live_;
    return place;
}

void SessionWindows::free_place(Index place) {
    Session& session = sessions_[place];
    context_->row.destroy(session.row, context_->pool);
    context_->pool.release(session.row, context_->row.bytes());
    context_->keys.release(session.code);
    session.row = nullptr;
    session.standing.clear();
    session.standing.shrink_to_fit();
    ++session.generation;
    free_places_.push_back(place);
    --live_;
}

void SessionWindows::unlink(Index place) {
    Index* at = &newest_of(sessions_[place].code);
    while (*at != place) {
        at = &sessions_[*at].older;
    }
    *at = sessions_[place].older;
}

void SessionWindows::erase(Index place) {
    unlink(place);
    free_place(place);
}

void SessionWindows::absorb(Session& into, Index from) {
    Session& other = sessions_[from];
    into.start = std::min(into.start, other.start);
    into.end = std::max(into.end, other.end);
    into.panes = std::max(into.panes, other.panes);
    into.standing.insert(into.standing.end(), other.standing.begin(), other.standing.end());
    // In time order, so that the same sessions always give the same bits.
    context_->row.merge(other.row, into.row, context_->pool);
    std::swap(into.row, other.row);
    free_place(from);
}

void SessionWindows::set_timer(Index session, Timestamp time) {
    timers_.push_back({time, session, sessions_[session].generation});
    std::push_heap(timers_.begin(), timers_.end());
}

void SessionWindows::flush(const RecordBatch& batch, std::size_t next, WindowOutput& out) {
    if (!pending_.empty()) {
        context_->row.add(pending_, batch.values, pending_first_, context_->pool, out.skipped_values);
        out.aggregated += pending_.size();
        pending_.clear();
    }
    pending_first_ = next;
}

SessionWindows::Index SessionWindows::session_for(KeyInterner::Code code, Timestamp t,
                                                  const RecordBatch& batch, std::size_t record,
                                                  WindowOutput& out) {
    const Timestamp end = add_saturating(t, gap_);
    Index* at = &newest_of(code);
    while (*at != kNone && sessions_[*at].start > end) {
        at = &sessions_[*at].older;
    }
    // *at starts at or before t + gap; it touches the record's own [t, t + gap) if it ends at t or later.
    const Index place = *at;
    if (place == kNone || sessions_[place].end < t) {
        if (watermark_ >= add_saturating(end, allowed_lateness_)) {
            return kNone;
        }
        const Index created = create(code, t);
        // create() may have moved the sessions that `at` points into.
        Index* link = &newest_of(code);
        while (*link != place) {
            link = &sessions_[*link].older;
        }
        sessions_[created].older = place;
        *link = created;
        if (sessions_[created].end > watermark_) {
            set_timer(created, sessions_[created].end);
        } else {
            set_timer(created, expiry(sessions_[created]));
        }
        return created;
    }
    Session& session = sessions_[place];
    const Timestamp end_before = session.end;
    session.start = std::min(session.start, t);
    session.end = std::max(session.end, end);
    if (session.older != kNone && sessions_[session.older].end >= t) {
        // The record bridges two sessions; more than two it cannot touch, as they lie over a gap apart.
        flush(batch, record, out);
        const Index older = session.older;
        session.older = sessions_[older].older;
        absorb(session, older);
    }
    if (session.complete && session.end != end_before && session.end > watermark_) {
        // It completes once more; the timer for its expiry would come too late for that.
        session.complete = false;
        ++session.generation;
        set_timer(place, session.end);
    }
    return place;
}

void SessionWindows::fire(Session& session, PaneTiming timing, std::uint64_t position, WindowOutput& out) {
    const Interval window{session.start, session.end};
    std::erase(session.standing, window);
    std::sort(session.standing.begin(), session.standing.end(), [](const Interval& a, const Interval& b) {
        return std::pair(a.start, a.end) < std::pair(b.start, b.end);
    });
    context_->row.append_results(session.row, out.panes.results);
    out.panes.append(context_->keys.key(session.code), window, position, timing, session.panes,
                     watermark_ >= expiry(session), session.standing);
    ++session.panes;
    session.complete = true;
    session.standing.clear();
    if (accumulation_ == Accumulation::kAccumulating) {
        session.standing.push_back(window);
    } else {
        context_->row.destroy(session.row, context_->pool);
        context_->row.create(session.row);
    }
}

void SessionWindows::advance_before(std::size_t until, const RecordBatch& batch, std::size_t next,
                                    const BatchClock& clock, WindowOutput& out) {
    if (until == 0) {
        return;
    }
    const Timestamp watermark = clock.watermark_after[until - 1];
    while (!timers_.empty() && timers_.front().time <= watermark) {
        // What completes does so at the first record that brings the watermark there.
        flush(batch, next, out);
        const auto completing = std::lower_bound(
            clock.watermark_after.begin(), clock.watermark_after.begin() + static_cast<std::ptrdiff_t>(until),
            std::max(timers_.front().time, add_saturating(watermark_, 1)));
        const auto stream_record = static_cast<std::size_t>(completing - clock.watermark_after.begin());
        if (stream_record == until) {
            break;
        }
        on_watermark(clock.watermark_after[stream_record], clock.position_after(stream_record), out);
    }
    watermark_ = std::max(watermark_, watermark);
}

void SessionWindows::on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out) {
    codes_.begin(batch);
    pending_first_ = 0;
    for (std::size_t record = 0; record < batch.size; ++record) {
        const std::size_t stream_record = clock.stream_record_of(record);
        advance_before(stream_record, batch, record, clock, out);
        const Timestamp t = batch.event_time[record];
        const KeyInterner::Code code = codes_[batch.key[record]];
        const Index place = session_for(code, t, batch, record, out);
        if (place == kNone) {
            flush(batch, record + 1, out);
            ++out.late_records;
            if (collect_late_) {
                const std::uint32_t input_index = clock.input_index_of(stream_record);
                out.late.push_back(LateRecord{clock.first_position + input_index,
                                              input_index,
                                              t,
                                              watermark_,
                                              std::string(context_->keys.key(code)),
                                              {Interval{t, add_saturating(t, gap_)}}});
            }
            continue;
        }
        pending_.push_back(sessions_[place].row);
        if (sessions_[place].end <= watermark_) {
            flush(batch, record + 1, out);
            fire(sessions_[place], PaneTiming::kLate, clock.position_after(stream_record), out);
        } else if (pending_.size() == kPortion) {
            flush(batch, record + 1, out);
        }
    }
    advance_before(clock.stream_records(), batch, batch.size, clock, out);
    flush(batch, batch.size, out);
    codes_.end();
}

void SessionWindows::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    if (watermark <= watermark_) {
        return;
    }
    watermark_ = watermark;
    due_.clear();
    while (!timers_.empty() && timers_.front().time <= watermark_) {
        const Timer timer = timers_.front();
        std::pop_heap(timers_.begin(), timers_.end());
        timers_.pop_back();
        if (sessions_[timer.session].generation == timer.generation) {
            due_.push_back(timer.session);
        }
    }
    // Each session has one timer, so it is in the list once. 1. Fire what is complete, in order.
    std::sort(due_.begin(), due_.end(), [&](Index a, Index b) {
        const Session& first = sessions_[a];
        const Session& second = sessions_[b];
        return first.end != second.end ? first.end < second.end
                                       : context_->keys.less(first.code, second.code);
    });
    for (const Index place : due_) {
        if (Session& session = sessions_[place]; session.end <= watermark_ && !session.complete) {
            fire(session, PaneTiming::kOnTime, position, out);
        }
    }
    // 2. Forget what expired, look at the rest again later.
    for (const Index place : due_) {
        const Session& session = sessions_[place];
        if (expiry(session) <= watermark_) {
            erase(place);
        } else {
            set_timer(place, session.complete ? expiry(session) : session.end);
        }
    }
}

void SessionWindows::encode(ByteWriter& out) const {
    out.write(watermark_);
    out.write<std::uint64_t>(live_);
    for (const Index newest : newest_) {
        for (Index place = newest; place != kNone; place = sessions_[place].older) {
            const Session& session = sessions_[place];
            out.write_bytes(context_->keys.key(session.code));
            out.write(session.start);
            out.write(session.end);
            out.write(session.panes);
            out.write(static_cast<std::uint8_t>(session.complete));
            out.write<std::uint64_t>(session.standing.size());
            for (const Interval& interval : session.standing) {
                out.write(interval.start);
                out.write(interval.end);
            }
            context_->row.encode(session.row, out);
        }
    }
}

void SessionWindows::decode(ByteReader& in, const KeyFilter& keep) {
    watermark_ = in.read<Timestamp>();
    const std::uint64_t sessions = in.read_count(sizeof(std::uint64_t) + 2 * sizeof(Timestamp));
    for (std::uint64_t at = 0; at < sessions; ++at) {
        const std::string_view key = in.read_bytes();
        const std::uint64_t hash = hash_key(key);
        const KeyInterner::Code code = context_->keys.intern(key, hash);
        const Index place = create(code, in.read<Timestamp>());
        Session& session = sessions_[place];
        session.end = in.read<Timestamp>();
        session.panes = in.read<std::uint32_t>();
        session.complete = in.read<std::uint8_t>() != 0;
        session.standing.resize(in.read_count(2 * sizeof(Timestamp)));
        for (Interval& interval : session.standing) {
            interval.start = in.read<Timestamp>();
            interval.end = in.read<Timestamp>();
        }
        context_->row.decode(session.row, in, context_->pool);
        if (!keep(hash)) {
            free_place(place);
            continue;
        }
        // A key's sessions come newest first, more than a gap apart, and none has expired.
        Index* link = &newest_of(code);
        while (*link != kNone) {
            if (sessions_[*link].start <= session.end) {
                ByteReader::corrupt("sessions of a key that touch");
            }
            link = &sessions_[*link].older;
        }
        if (session.end <= session.start || expiry(session) <= watermark_) {
            ByteReader::corrupt("a session that cannot be open");
        }
        session.older = kNone;
        *link = place;
        set_timer(place, session.complete ? expiry(session) : session.end);
    }
}

}  // namespace llmopt_stream
