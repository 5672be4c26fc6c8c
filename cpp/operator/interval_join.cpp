#include "operator/interval_join.hpp"

#include <algorithm>
#include <string>

#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

constexpr std::size_t kLeft = 0;
constexpr std::size_t kRight = 1;

// Keys are anywhere in memory: their states are asked for some rows ahead, then the rows there.
constexpr std::size_t kStatesAhead = 16;
constexpr std::size_t kRowsAhead = 8;
/// Rows whose watermarks are looked at together.
constexpr std::size_t kStretch = 256;

/// The order of what is taken from the back.
constexpr auto kIsLater = [](const auto& a, const auto& b) { return a.due > b.due; };

[[nodiscard]] constexpr JoinSide other(JoinSide side) noexcept {
    return side == JoinSide::kLeft ? JoinSide::kRight : JoinSide::kLeft;
}

/// One pair, or one row alone.
void append(std::uint64_t left, std::uint64_t right, Timestamp time, std::uint64_t position,
            JoinOutput& out) {
    out.left.push_back(left);
    out.right.push_back(right);
    out.event_time.push_back(time);
    out.fired_at.push_back(position);
}

void append_alone(JoinSide side, const TimedRows::Row& row, std::uint64_t position, JoinOutput& out) {
    const bool is_left = side == JoinSide::kLeft;
    append(is_left ? row.id : JoinOutput::kNoRow, is_left ? JoinOutput::kNoRow : row.id, row.time, position,
           out);
}

/// A row with each of its matches.
void append_pairs(JoinSide side, const TimedRows::Row& row, std::span<const TimedRows::Row> matches,
                  std::uint64_t position, JoinOutput& out) {
    std::vector<std::uint64_t>& own = side == JoinSide::kLeft ? out.left : out.right;
    std::vector<std::uint64_t>& others = side == JoinSide::kLeft ? out.right : out.left;
    own.insert(own.end(), matches.size(), row.id);
    out.fired_at.insert(out.fired_at.end(), matches.size(), position);
    for (const TimedRows::Row& match : matches) {
        others.push_back(match.id);
        out.event_time.push_back(std::max(match.time, row.time));
    }
}

}  // namespace

void JoinOutput::clear() noexcept {
    left.clear();
    right.clear();
    event_time.clear();
    fired_at.clear();
    late.clear();
    late_rows = {};
    forgotten[kLeft].clear();
    forgotten[kRight].clear();
}

IntervalJoin::IntervalJoin(const IntervalJoinPlan& plan)
    : lower_(plan.lower),
      upper_(plan.upper),
      outer_{plan.kind == JoinKind::kLeft || plan.kind == JoinKind::kFull,
             plan.kind == JoinKind::kRight || plan.kind == JoinKind::kFull},
      keys_(pool_),
      expiry_(pool_),
      codes_(keys_) {
    if (lower_ > upper_) {
        throw Error(ErrorKind::kConfiguration, "lower: " + std::to_string(lower_) +
                                                   " µs is greater than upper, which is " +
                                                   std::to_string(upper_) + " µs");
    }
}

template <JoinSide kSide>
Timestamp IntervalJoin::out_of_reach(Timestamp time) const noexcept {
    const Duration bound = kSide == JoinSide::kLeft  ? upper_
                           : lower_ == kMinTimestamp ? kMaxTimestamp
                                                     : -lower_;
    return add_saturating(time, std::max<Duration>(bound, 0));
}

template <JoinSide kSide>
Timestamp IntervalJoin::forget_at(Timestamp time) const noexcept {
    // At the soonest when the watermark moves on from here, so that rows of one time find each other.
    return std::max(add_saturating(watermark_, 1), out_of_reach<kSide>(time));
}

template <JoinSide kSide>
std::span<const TimedRows::Row> IntervalJoin::matches_of(const TimedRows& others,
                                                         Timestamp time) const noexcept {
    // Bounds are added to the left row's time on either side, so that both find the same pairs
    // also where this saturates.
    const auto too_early = [&](const TimedRows::Row& row) {
        return kSide == JoinSide::kLeft ? row.time < add_saturating(time, lower_)
                                        : add_saturating(row.time, upper_) < time;
    };
    const auto not_too_late = [&](const TimedRows::Row& row) {
        return kSide == JoinSide::kLeft ? row.time <= add_saturating(time, upper_)
                                        : add_saturating(row.time, lower_) <= time;
    };
    const std::span<const TimedRows::Row> rows = others.rows();
    const auto first = std::partition_point(rows.begin(), rows.end(), too_early);
    return {first, std::partition_point(first, rows.end(), not_too_late)};
}

IntervalJoin::KeyState& IntervalJoin::state_of(KeyInterner::Code code) {
    if (code >= states_.size()) {
        states_.resize(std::size_t{code} + code / 2 + 1);
    }
    return states_[code];
}

void IntervalJoin::remember(JoinSide side, KeyInterner::Code code, const TimedRows::Row& row, bool matched,
                            Timestamp forget_at) {
    KeyState& state = state_of(code);
    if (state[kLeft].empty() && state[kRight].empty()) {
        keys_.hold(code);
    }
    state[static_cast<std::size_t>(side)].insert(row, matched, pool_);
    const Expiry::Entry entry{forget_at, RowOf{code, side}};
    if (forget_at > horizon_) {
        expiry_.push(entry);
    } else {
        due_soon_.insert(std::upper_bound(due_soon_.begin(), due_soon_.end(), entry, kIsLater), entry);
    }
}

template <JoinSide kSide>
void IntervalJoin::take_rows(const JoinBatch& batch, JoinOutput& out) {
    constexpr auto kOwn = static_cast<std::size_t>(kSide);
    constexpr auto kOther = static_cast<std::size_t>(other(kSide));
    const std::size_t rows = batch.event_time.size();
    for (std::size_t i = 0; i < rows; ++i) {
        if (i % kStretch == 0) {
            const auto stretch = batch.watermark_before.subspan(i, std::min(kStretch, rows - i));
            look_ahead(*std::max_element(stretch.begin(), stretch.end()));
        }
        if (i + kStatesAhead < rows) {
            __builtin_prefetch(&state_of(codes_[batch.key[i + kStatesAhead]]));
        }
        if (i + kRowsAhead < rows) {
            for (const TimedRows& side : state_of(codes_[batch.key[i + kRowsAhead]])) {
                side.prefetch();
            }
        }
        const std::uint64_t position = batch.position_of(i);
        advance(batch.watermark_before[i], position, out);
        const TimedRows::Row row{batch.event_time[i], batch.id[i]};
        if (row.time < watermark_ || watermark_ == kMaxTimestamp) {
            out.late.push_back(JoinOutput::LateRow{kSide, row.id, position, watermark_});
            ++out.late_rows[kOwn];
            continue;
        }
        bool matched = false;
        if (batch.null_key.empty() || batch.null_key[batch.key[i]] == 0) {
            const KeyInterner::Code code = codes_[batch.key[i]];
            const TimedRows& others = state_of(code)[kOther];
            const std::span<const TimedRows::Row> matches = matches_of<kSide>(others, row.time);
            if (!matches.empty()) {
                matched = true;
                append_pairs(kSide, row, matches, position + 1, out);
                if (outer_[kOther]) {
                    const auto first = static_cast<std::size_t>(matches.data() - others.rows().data());
                    std::ranges::fill(others.matched().subspan(first, matches.size()), std::uint8_t{1});
                }
            }
            remember(kSide, code, row, matched && outer_[kOwn], forget_at<kSide>(row.time));
            continue;
        }
        if (!matched && outer_[kOwn]) {
            append_alone(kSide, row, position + 1, out);
        }
        out.forgotten[kOwn].push_back(row.id);
    }
}

void IntervalJoin::on_batch(JoinSide side, const JoinBatch& batch, JoinOutput& out) {
    codes_.begin(*batch.keys);
    codes_.intern_all(batch.key);
    if (side == JoinSide::kLeft) {
        take_rows<JoinSide::kLeft>(batch, out);
    } else {
        take_rows<JoinSide::kRight>(batch, out);
    }
    codes_.end();
    trim();
}

void IntervalJoin::on_watermark(Timestamp watermark, std::uint64_t position, JoinOutput& out) {
    look_ahead(watermark);
    advance(watermark, position, out);
    trim();
}

void IntervalJoin::trim() noexcept {
    if (live_rows() == 0) {
        std::vector<Expiry::Entry>().swap(due_);
        std::vector<Expiry::Entry>().swap(due_soon_);
        std::vector<KeyState>().swap(states_);
        pool_.trim();
    }
}

void IntervalJoin::look_ahead(Timestamp horizon) {
    if (horizon <= horizon_) {
        return;
    }
    horizon_ = horizon;
    expiry_.advance(horizon, [&](const Expiry::Entry& entry) { due_.push_back(entry); });
    std::sort(due_.begin(), due_.end(), kIsLater);
}

void IntervalJoin::advance(Timestamp watermark, std::uint64_t position, JoinOutput& out) {
    if (watermark <= watermark_) {
        return;
    }
    watermark_ = watermark;
    const std::array<std::size_t, 2> before{out.forgotten[kLeft].size(), out.forgotten[kRight].size()};
    // 1. In any order.
    for (; !due_.empty() && due_.back().due <= watermark; due_.pop_back()) {
        if (due_.size() > kStatesAhead) {
            __builtin_prefetch(&states_[due_[due_.size() - 1 - kStatesAhead].value.code]);
        }
        if (due_.size() > kRowsAhead) {
            const RowOf ahead = due_[due_.size() - 1 - kRowsAhead].value;
            states_[ahead.code][static_cast<std::size_t>(ahead.side)].prefetch();
        }
        forget_earliest(due_.back().value, out);
    }
    for (; !due_soon_.empty() && due_soon_.back().due <= watermark; due_soon_.pop_back()) {
        forget_earliest(due_soon_.back().value, out);
    }
    for (const std::size_t side : {kLeft, kRight}) {
        const auto first = out.forgotten[side].begin() + static_cast<std::ptrdiff_t>(before[side]);
        std::sort(first, out.forgotten[side].end());
    }
    // 2. Their order needs the keys.
    if (!lone_.empty()) {
        hand_out_lone_rows(position, out);
    }
    // 3. So keys go last.
    for (const KeyInterner::Code code : emptied_) {
        keys_.release(code);
    }
    emptied_.clear();
}

void IntervalJoin::forget_earliest(RowOf due, JoinOutput& out) {
    // On one side of a key an earlier row is never due after a later one.
    KeyState& state = states_[due.code];
    const auto side = static_cast<std::size_t>(due.side);
    TimedRows& rows = state[side];
    const TimedRows::Row row = rows.rows().front();
    if (outer_[side] && rows.matched().front() == 0) {
        const Timestamp out_of_use = due.side == JoinSide::kLeft ? out_of_reach<JoinSide::kLeft>(row.time)
                                                                 : out_of_reach<JoinSide::kRight>(row.time);
        lone_.push_back(LoneRow{out_of_use, row.time, row.id, due.code, due.side});
    }
    out.forgotten[side].push_back(row.id);
    rows.pop_front(pool_);
    if (rows.empty() && state[1 - side].empty()) {
        emptied_.push_back(due.code);
    }
}

void IntervalJoin::hand_out_lone_rows(std::uint64_t position, JoinOutput& out) {
    // Rows of one key, side and time come in the order of arrival. By when they are due first, so that it
    // does not matter by which steps the watermark came here.
    std::stable_sort(lone_.begin(), lone_.end(), [&](const LoneRow& a, const LoneRow& b) {
        if (a.out_of_use != b.out_of_use) {
            return a.out_of_use < b.out_of_use;
        }
        if (a.time != b.time) {
            return a.time < b.time;
        }
        if (a.side != b.side) {
            return a.side < b.side;
        }
        return a.code != b.code && keys_.less(a.code, b.code);
    });
    for (const LoneRow& row : lone_) {
        append_alone(row.side, {row.time, row.id}, position, out);
    }
    lone_.clear();
}

void IntervalJoin::encode(ByteWriter& out) const {
    std::vector<KeyInterner::Code> codes;
    for (KeyInterner::Code code = 0; code < states_.size(); ++code) {
        if (!states_[code][kLeft].empty() || !states_[code][kRight].empty()) {
            codes.push_back(code);
        }
    }
    std::sort(codes.begin(), codes.end(),
              [&](KeyInterner::Code a, KeyInterner::Code b) { return keys_.less(a, b); });
    out.write(watermark_);
    out.write<std::uint64_t>(codes.size());
    for (const KeyInterner::Code code : codes) {
        out.write_bytes(keys_.key(code));
        for (const std::size_t side : {kLeft, kRight}) {
            const TimedRows& rows = states_[code][side];
            out.write<std::uint64_t>(rows.size());
            for (std::size_t at = 0; at < rows.size(); ++at) {
                out.write(rows.rows()[at].time);
                out.write(rows.rows()[at].id);
                out.write(rows.matched()[at]);
            }
        }
    }
}

void IntervalJoin::decode(ByteReader& in) {
    constexpr std::size_t kRowBytes = sizeof(Timestamp) + sizeof(std::uint64_t) + 1;
    JoinOutput nothing;
    on_watermark(in.read<Timestamp>(), 0, nothing);
    const std::uint64_t keys = in.read_count(3 * sizeof(std::uint64_t) + kRowBytes);
    std::string_view last_key;
    for (std::uint64_t at = 0; at < keys; ++at) {
        const std::string_view key = in.read_bytes();
        if (at != 0 && key <= last_key) {
            ByteReader::corrupt("keys out of order");
        }
        last_key = key;
        const KeyInterner::Code code = keys_.intern(key, hash_key(key));
        for (const JoinSide side : {JoinSide::kLeft, JoinSide::kRight}) {
            const std::uint64_t rows = in.read_count(kRowBytes);
            Timestamp last_time = kMinTimestamp;
            for (std::uint64_t row = 0; row < rows; ++row) {
                const auto time = in.read<Timestamp>();
                const auto id = in.read<std::uint64_t>();
                const auto matched = in.read<std::uint8_t>();
                const Timestamp due = side == JoinSide::kLeft ? forget_at<JoinSide::kLeft>(time)
                                                              : forget_at<JoinSide::kRight>(time);
                const bool is_over =
                    (side == JoinSide::kLeft ? out_of_reach<JoinSide::kLeft>(time)
                                             : out_of_reach<JoinSide::kRight>(time)) <= watermark_;
                if (time < last_time || (is_over && time < watermark_)) {
                    ByteReader::corrupt("a row that cannot be remembered");
                }
                if (id == JoinOutput::kNoRow || matched > (is_outer(side) ? 1 : 0)) {
                    ByteReader::corrupt("a row that no join had");
                }
                last_time = time;
                remember(side, code, {time, id}, matched != 0, due);
            }
        }
        if (states_.size() <= code || (states_[code][kLeft].empty() && states_[code][kRight].empty())) {
            ByteReader::corrupt("a key without rows");
        }
    }
}

}  // namespace llmopt_stream
