#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aggregate/size_class_pool.hpp"
#include "operator/expiry_queue.hpp"
#include "operator/timed_rows.hpp"
#include "record/key_dictionary.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"
#include "window/batch_codes.hpp"
#include "window/key_interner.hpp"

namespace llmopt_stream {

enum class JoinSide : std::uint8_t { kLeft, kRight };
/// Of which sides rows that match nothing are handed out as well.
enum class JoinKind : std::uint8_t { kInner, kLeft, kRight, kFull };

struct IntervalJoinPlan {
    /// A left row at l and a right row at r of the same key match iff l + lower <= r <= l + upper
    /// (saturating). Either may be negative.
    Duration lower = 0;
    Duration upper = 0;
    JoinKind kind = JoinKind::kInner;
};

/// Rows of one side, as columns in input order. Whoever drives the join chooses their ids.
struct JoinBatch {
    /// Anything but kNoRow; among the rows that are alive, different ones on each side.
    std::span<const std::uint64_t> id;
    std::span<const Timestamp> event_time;
    /// Index into `keys`.
    std::span<const std::uint32_t> key;
    const KeyDictionary* keys = nullptr;
    /// By key 1 where a field of it is null: it equals no key. Empty means nowhere.
    std::span<const std::uint8_t> null_key;
    /// The watermark that each row is judged under; one that goes back is ignored.
    std::span<const Timestamp> watermark_before;
    /// How many input records came before this batch.
    std::uint64_t first_position = 0;
    /// For each row its place among the input records of this batch; empty means that row i is
    /// input record i.
    std::span<const std::uint32_t> input_index;

    /// How many input records came before a row.
    [[nodiscard]] std::uint64_t position_of(std::size_t row) const noexcept {
        return first_position + (input_index.empty() ? row : input_index[row]);
    }
};

/// What a join hands out, appended as columns in the order in which it arose.
struct JoinOutput {
    /// In place of the other side's id in a row that is handed out alone.
    static constexpr std::uint64_t kNoRow = ~std::uint64_t{0};

    std::vector<std::uint64_t> left;
    std::vector<std::uint64_t> right;
    /// The later one of the two; its own if alone.
    std::vector<Timestamp> event_time;
    /// How many input records had been taken when it arose: a match is there once the row that
    /// completes it is, a row alone once the watermark before the next record is.
    std::vector<std::uint64_t> fired_at;

    struct LateRow {
        JoinSide side;
        std::uint64_t id;
        /// Its place in the whole input.
        std::uint64_t position;
        /// The watermark that it was judged under.
        Timestamp watermark;
        friend bool operator==(const LateRow&, const LateRow&) = default;
    };
    /// Dropped: they are in no other column.
    std::vector<LateRow> late;
    /// By side.
    std::array<std::uint64_t, 2> late_rows{};
    /// By side, the rows that nothing refers to any more but the columns above: every row that was
    /// not late is here once. Those of one watermark step in ascending order.
    std::array<std::vector<std::uint64_t>, 2> forgotten;

    [[nodiscard]] std::size_t size() const noexcept { return event_time.size(); }
    /// Keeps the memory.
    void clear() noexcept;
};

/// Joins two streams on equal keys and nearby event times, as a pure function of its input: no
/// thread, clock or I/O inside, output into a buffer. The output, its order included, does not
/// depend on how the input is cut into batches, nor on an encode and decode in between.
///
/// A row is late iff its time < watermark, or the watermark is at the end of the input. One that is not is
/// paired at once with the other side's rows that match and are remembered, in the order (time, arrival).
///
/// A left row is forgotten once watermark >= time + max(upper, 0), a right one once watermark >= time +
/// max(-lower, 0), as in Flink's interval join: so a row at the very bound finds a partner only while the
/// watermark has not reached it. Rows are forgotten when the watermark moves, one that is due when it
/// comes at the next move. A row of an outer side that is forgotten without a match is handed out alone,
/// in the order (when it was of no use any more, time, left before right, key, arrival). A null key matches
/// nothing, so such a row is forgotten at once.
///
/// Not thread safe. Takes 33 to 55 bytes a row, without the caller's payload, and some 150 a key.
class IntervalJoin {
public:
    /// Throws Error(kConfiguration) unless lower <= upper.
    explicit IntervalJoin(const IntervalJoinPlan& plan);

    void on_batch(JoinSide side, const JoinBatch& batch, JoinOutput& out);
    /// A watermark that goes back is ignored. `position` is the number of input records so far.
    void on_watermark(Timestamp watermark, std::uint64_t position, JoinOutput& out);

    [[nodiscard]] Timestamp watermark() const noexcept { return watermark_; }

    /// What is remembered; all zero once everything is forgotten.
    [[nodiscard]] std::size_t live_rows() const noexcept {
        return due_.size() + due_soon_.size() + expiry_.size();
    }
    [[nodiscard]] std::size_t live_keys() const noexcept { return keys_.live(); }
    [[nodiscard]] std::size_t state_bytes() const noexcept {
        return pool_.allocated_bytes() + states_.capacity() * sizeof(KeyState) +
               (due_.capacity() + due_soon_.capacity()) * sizeof(Expiry::Entry);
    }

    /// The bytes are a function of the watermark and the rows that are remembered.
    void encode(ByteWriter& out) const;
    /// Into a new join of the same plan. Throws Error(kCheckpoint) on bytes that cannot be; what
    /// was restored until then is of no use.
    void decode(ByteReader& in);

private:
    /// The remembered rows of a key, by side. One that has rows holds its code.
    using KeyState = std::array<TimedRows, 2>;
    /// Stands for the earliest row there.
    struct RowOf {
        KeyInterner::Code code;
        JoinSide side;
    };
    using Expiry = ExpiryQueue<RowOf>;
    struct LoneRow {
        Timestamp out_of_use;
        Timestamp time;
        std::uint64_t id;
        KeyInterner::Code code;
        JoinSide side;
    };

    [[nodiscard]] bool is_outer(JoinSide side) const noexcept {
        return outer_[static_cast<std::size_t>(side)];
    }
    /// The first watermark under which a row of this time is of no use any more.
    template <JoinSide kSide>
    [[nodiscard]] Timestamp out_of_reach(Timestamp time) const noexcept;
    /// The first watermark under which one that comes now is forgotten.
    template <JoinSide kSide>
    [[nodiscard]] Timestamp forget_at(Timestamp time) const noexcept;
    /// The remembered rows of the other side that match a row; the matched flags are set where needed.
    template <JoinSide kSide>
    [[nodiscard]] std::span<const TimedRows::Row> matches_of(const TimedRows& others,
                                                             Timestamp time) const noexcept;
    template <JoinSide kSide>
    void take_rows(const JoinBatch& batch, JoinOutput& out);
    void remember(JoinSide side, KeyInterner::Code code, const TimedRows::Row& row, bool matched,
                  Timestamp forget_at);
    [[nodiscard]] KeyState& state_of(KeyInterner::Code code);
    /// Gathers the rows to be forgotten up to a watermark to come.
    void look_ahead(Timestamp horizon);
    /// To one not beyond the horizon.
    void advance(Timestamp watermark, std::uint64_t position, JoinOutput& out);
    void forget_earliest(RowOf due, JoinOutput& out);
    void hand_out_lone_rows(std::uint64_t position, JoinOutput& out);
    void trim() noexcept;

    Duration lower_;
    Duration upper_;
    std::array<bool, 2> outer_;

    SizeClassPool pool_;
    KeyInterner keys_;
    Timestamp watermark_ = kMinTimestamp;
    std::vector<KeyState> states_;  // by code
    // When rows are forgotten. Up to the horizon, those of the last look ahead and those that came since,
    // each last one first; and beyond. Outside of calls the horizon is the watermark.
    Timestamp horizon_ = kMinTimestamp;
    std::vector<Expiry::Entry> due_;
    std::vector<Expiry::Entry> due_soon_;
    Expiry expiry_;

    // Scratch.
    BatchCodes codes_;
    std::vector<LoneRow> lone_;
    std::vector<KeyInterner::Code> emptied_;
};

}  // namespace llmopt_stream
