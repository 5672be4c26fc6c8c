#include "operator/interval_join.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "record/error.hpp"
#include "source/seeded_random.hpp"

namespace llmopt_stream {
namespace {

constexpr std::uint64_t kNoRow = JoinOutput::kNoRow;
constexpr JoinSide kLeft = JoinSide::kLeft;
constexpr JoinSide kRight = JoinSide::kRight;
constexpr JoinKind kKinds[] = {JoinKind::kInner, JoinKind::kLeft, JoinKind::kRight, JoinKind::kFull};

/// A row as it arrives. The key is used as it is, in place of an encoded one; "null" is one with a null.
struct Arrival {
    JoinSide side;
    std::string key;
    Timestamp time;
    std::uint64_t id;
    Timestamp watermark_before;
};

/// Drives a join with literal rows, those of one side in one batch.
class JoinDriver {
public:
    explicit JoinDriver(const IntervalJoinPlan& plan)
        : plan_(plan), join_(std::make_unique<IntervalJoin>(plan)) {}

    void push(const std::vector<Arrival>& rows) {
        KeyDictionary keys;
        std::vector<std::uint64_t> id;
        std::vector<Timestamp> time;
        std::vector<Timestamp> watermark;
        std::vector<std::uint32_t> key;
        for (const Arrival& row : rows) {
            id.push_back(row.id);
            time.push_back(row.time);
            watermark.push_back(row.watermark_before);
            key.push_back(keys.intern(row.key));
        }
        std::vector<std::uint8_t> null_key;
        for (std::uint32_t at = 0; at < keys.size(); ++at) {
            null_key.push_back(keys.key(at) == "null" ? 1 : 0);
        }
        join_->on_batch(rows.front().side, {id, time, key, &keys, null_key, watermark, position_, {}}, out_);
        position_ += rows.size();
    }
    /// One row under the watermark that is set.
    void push(JoinSide side, const std::string& key, Timestamp time, std::uint64_t id) {
        push({{side, key, time, id, join_->watermark()}});
    }
    void watermark(Timestamp watermark) { join_->on_watermark(watermark, position_, out_); }

    /// Each row of the output since the last call as "left+right@time", "-" for none.
    [[nodiscard]] std::vector<std::string> rows() {
        const auto text = [](std::uint64_t id) { return id == kNoRow ? "-" : std::to_string(id); };
        std::vector<std::string> texts;
        for (std::size_t row = 0; row < out_.size(); ++row) {
            texts.push_back(text(out_.left[row]) + "+" + text(out_.right[row]) + "@" +
                            std::to_string(out_.event_time[row]));
        }
        out_.clear();
        return texts;
    }
    [[nodiscard]] std::string encode() const {
        ByteWriter bytes;
        join_->encode(bytes);
        return bytes.take();
    }
    void restore(const std::string& bytes) {
        join_ = std::make_unique<IntervalJoin>(plan_);
        ByteReader in(bytes);
        join_->decode(in);
        EXPECT_EQ(in.remaining(), 0U);
    }
    [[nodiscard]] const IntervalJoin& join() const { return *join_; }
    [[nodiscard]] const JoinOutput& output() const { return out_; }

private:
    IntervalJoinPlan plan_;
    std::unique_ptr<IntervalJoin> join_;
    std::uint64_t position_ = 0;
    JoinOutput out_;
};

using Rows = std::vector<std::string>;

void expect_same(const JoinOutput& got, const JoinOutput& expected) {
    EXPECT_EQ(got.left, expected.left);
    EXPECT_EQ(got.right, expected.right);
    EXPECT_EQ(got.event_time, expected.event_time);
    EXPECT_EQ(got.fired_at, expected.fired_at);
    EXPECT_TRUE(got.late == expected.late);
    EXPECT_EQ(got.late_rows, expected.late_rows);
    EXPECT_EQ(got.forgotten, expected.forgotten);
}

// The naive join -----------------------------------------------------------------------------------

/// Compares every row with every other one that is not late, whether forgotten or not.
class NaiveJoin {
public:
    explicit NaiveJoin(const IntervalJoinPlan& plan) : plan_(plan) {}

    [[nodiscard]] JoinOutput run(const std::vector<Arrival>& arrivals) {
        for (std::size_t at = 0; at < arrivals.size(); ++at) {
            advance(arrivals[at].watermark_before, at);
            take(arrivals[at], at);
        }
        advance(kMaxTimestamp, arrivals.size());
        return std::move(out_);
    }
    /// After this many arrivals.
    [[nodiscard]] const std::vector<std::size_t>& live_rows() const { return live_; }

private:
    struct Taken {
        Arrival row;
        bool matched = false;
        bool forgotten = false;
        Timestamp out_of_use = 0;
        Timestamp due = 0;
    };

    [[nodiscard]] bool matches(Timestamp left, Timestamp right) const {
        return add_saturating(left, plan_.lower) <= right && right <= add_saturating(left, plan_.upper);
    }
    [[nodiscard]] bool is_outer(JoinSide side) const {
        return plan_.kind == JoinKind::kFull ||
               plan_.kind == (side == kLeft ? JoinKind::kLeft : JoinKind::kRight);
    }
    [[nodiscard]] Timestamp out_of_use_at(const Arrival& row) const {
        const Duration before = plan_.lower == kMinTimestamp ? kMaxTimestamp : -plan_.lower;
        const Duration bound = row.side == kLeft ? plan_.upper : before;
        return add_saturating(row.time, std::max<Duration>(bound, 0));
    }
    void hand_out(std::uint64_t left, std::uint64_t right, Timestamp time, std::size_t position) {
        out_.left.push_back(left);
        out_.right.push_back(right);
        out_.event_time.push_back(time);
        out_.fired_at.push_back(position);
    }
    void hand_out_alone(const Arrival& row, std::size_t position) {
        hand_out(row.side == kLeft ? row.id : kNoRow, row.side == kLeft ? kNoRow : row.id, row.time,
                 position);
    }

    void advance(Timestamp watermark, std::size_t position) {
        if (watermark <= watermark_) {
            return;
        }
        watermark_ = watermark;
        std::vector<Taken*> over;
        for (Taken& taken : taken_) {
            if (!taken.forgotten && taken.due <= watermark_) {
                taken.forgotten = true;
                over.push_back(&taken);
            }
        }
        std::stable_sort(over.begin(), over.end(), [](const Taken* a, const Taken* b) {
            return std::tie(a->out_of_use, a->row.time, a->row.side, a->row.key) <
                   std::tie(b->out_of_use, b->row.time, b->row.side, b->row.key);
        });
        std::array<std::vector<std::uint64_t>, 2> ids;
        for (const Taken* taken : over) {
            if (!taken->matched && is_outer(taken->row.side)) {
                hand_out_alone(taken->row, position);
            }
            ids[static_cast<std::size_t>(taken->row.side)].push_back(taken->row.id);
        }
        for (const std::size_t side : {0, 1}) {
            std::sort(ids[side].begin(), ids[side].end());
            out_.forgotten[side].insert(out_.forgotten[side].end(), ids[side].begin(), ids[side].end());
        }
    }

    void take(const Arrival& row, std::size_t position) {
        if (row.time < watermark_ || watermark_ == kMaxTimestamp) {
            out_.late.push_back({row.side, row.id, position, watermark_});
            ++out_.late_rows[static_cast<std::size_t>(row.side)];
        } else {
            std::vector<Taken*> partners;
            for (Taken& taken : taken_) {
                const bool in_bounds =
                    row.side == kLeft ? matches(row.time, taken.row.time) : matches(taken.row.time, row.time);
                if (!taken.forgotten && taken.row.side != row.side && taken.row.key == row.key &&
                    row.key != "null" && in_bounds) {
                    partners.push_back(&taken);
                }
            }
            std::stable_sort(partners.begin(), partners.end(),
                             [](const Taken* a, const Taken* b) { return a->row.time < b->row.time; });
            for (Taken* partner : partners) {
                partner->matched = true;
                hand_out(row.side == kLeft ? row.id : partner->row.id,
                         row.side == kLeft ? partner->row.id : row.id, std::max(row.time, partner->row.time),
                         position + 1);
            }
            const Taken taken{row, !partners.empty(), row.key == "null", out_of_use_at(row),
                              std::max(out_of_use_at(row), add_saturating(watermark_, 1))};
            if (taken.forgotten) {
                if (!taken.matched && is_outer(row.side)) {
                    hand_out_alone(row, position + 1);
                }
                out_.forgotten[static_cast<std::size_t>(row.side)].push_back(row.id);
            }
            taken_.push_back(taken);
        }
        live_.push_back(static_cast<std::size_t>(std::count_if(
            taken_.begin(), taken_.end(), [](const Taken& taken) { return !taken.forgotten; })));
    }

    IntervalJoinPlan plan_;
    Timestamp watermark_ = kMinTimestamp;
    std::vector<Taken> taken_;
    std::vector<std::size_t> live_;
    JoinOutput out_;
};

// Streams ------------------------------------------------------------------------------------------

std::int64_t below(SeededRandom& random, std::int64_t limit) {
    return static_cast<std::int64_t>(random.bits() % static_cast<std::uint64_t>(limit));
}

struct Case {
    IntervalJoinPlan plan;
    std::vector<Arrival> arrivals;
};

/// A few keys, ties, disorder beyond what the watermark allows for, watermarks that stand, creep, jump and go
/// back; now and then at an end of the range of times.
Case random_case(std::uint64_t seed) {
    SeededRandom random(seed);
    Case made;
    const Duration reach = 1 + below(random, 30);
    const Duration a = below(random, 2 * reach + 1) - reach;
    const Duration b = below(random, 3) == 0 ? a : below(random, 2 * reach + 1) - reach;
    made.plan = {std::min(a, b), std::max(a, b), kKinds[below(random, 4)]};
    const int extreme = static_cast<int>(below(random, 8));
    if (extreme == 0 && random.chance(0.5)) {
        made.plan.lower = random.chance(0.5) ? kMinTimestamp : kMaxTimestamp - 20;
        made.plan.upper = kMaxTimestamp - below(random, 20);
    } else if (extreme == 1 && random.chance(0.5)) {
        made.plan.lower = kMinTimestamp + below(random, 20);
        made.plan.upper = random.chance(0.5) ? kMaxTimestamp : kMinTimestamp + 20;
    }
    const Timestamp origin = extreme == 0 ? kMaxTimestamp - 60 : extreme == 1 ? kMinTimestamp : 0;
    const auto at = [&](std::int64_t offset) {
        return add_saturating(add_saturating(origin, 60), offset - 60);
    };
    const std::int64_t keys = 1 + below(random, 4);
    const std::int64_t disorder = below(random, 15);
    const std::int64_t allowed = below(random, 15);
    const std::int64_t speed = 1 + below(random, 4);
    const double switching = random.uniform();
    const std::size_t size = 1 + static_cast<std::size_t>(below(random, 150));
    std::int64_t now = 0;
    std::int64_t greatest = 0;
    JoinSide side = kLeft;
    for (std::size_t row = 0; row < size; ++row) {
        if (random.chance(switching)) {
            side = side == kLeft ? kRight : kLeft;
        }
        now += below(random, speed) + (random.chance(0.01) ? 50 : 0);
        const std::int64_t time = std::max<std::int64_t>(now - below(random, disorder + 1), 0);
        const std::int64_t key = below(random, keys + 1);
        const std::int64_t going_back = random.chance(0.05) ? 5 : 0;
        made.arrivals.push_back({side, key == keys ? "null" : std::string(1, static_cast<char>('a' + key)),
                                 at(time), 1000 - row,
                                 row == 0 ? kMinTimestamp : at(greatest - allowed - going_back)});
        greatest = std::max(greatest, time);
    }
    return made;
}

/// The output of the whole stream; batches end where the side changes and where cut() says.
template <typename Cut>
JoinOutput joined(const Case& input, Cut cut) {
    JoinDriver driver(input.plan);
    std::vector<Arrival> batch;
    for (const Arrival& row : input.arrivals) {
        if (!batch.empty() && (batch.back().side != row.side || cut())) {
            driver.push(batch);
            batch.clear();
        }
        batch.push_back(row);
    }
    driver.push(batch);
    driver.watermark(kMaxTimestamp);
    EXPECT_EQ(driver.join().live_rows(), 0U);
    EXPECT_EQ(driver.join().live_keys(), 0U);
    EXPECT_EQ(driver.join().state_bytes(), 0U);
    return driver.output();
}

// Properties ---------------------------------------------------------------------------------------

TEST(IntervalJoin, EqualsTheComparisonOfAllRowsHoweverTheInputIsCut) {
    std::size_t pairs = 0;
    std::size_t alone = 0;
    std::size_t late = 0;
    for (std::uint64_t seed = 0; seed < 4000; ++seed) {
        SCOPED_TRACE(seed);
        const Case input = random_case(seed);
        const JoinOutput expected = NaiveJoin(input.plan).run(input.arrivals);
        expect_same(joined(input, [] { return false; }), expected);
        expect_same(joined(input, [] { return true; }), expected);
        SeededRandom random(seed);
        expect_same(joined(input, [&] { return random.chance(0.3); }), expected);
        if (HasFailure()) {
            return;
        }
        const auto lone =
            static_cast<std::size_t>(std::count(expected.left.begin(), expected.left.end(), kNoRow) +
                                     std::count(expected.right.begin(), expected.right.end(), kNoRow));
        alone += lone;
        pairs += expected.size() - lone;
        late += expected.late.size();
    }
    // The streams are worth comparing.
    EXPECT_GT(pairs, 100'000U);
    EXPECT_GT(alone, 10'000U);
    EXPECT_GT(late, 10'000U);
}

TEST(IntervalJoin, EveryRowEndsUpLateOrForgottenOnceAfterItsLastUse) {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        const Case input = random_case(seed);
        JoinDriver driver(input.plan);
        std::array<std::map<std::uint64_t, int>, 2> ends;
        const auto look = [&] {
            const JoinOutput& out = driver.output();
            for (std::size_t row = 0; row < out.size(); ++row) {
                EXPECT_TRUE(out.left[row] == kNoRow || !ends[0].contains(out.left[row]));
                EXPECT_TRUE(out.right[row] == kNoRow || !ends[1].contains(out.right[row]));
            }
            for (const std::size_t side : {0, 1}) {
                for (const std::uint64_t id : out.forgotten[side]) {
                    ++ends[side][id];
                }
            }
            for (const JoinOutput::LateRow& row : out.late) {
                ++ends[static_cast<std::size_t>(row.side)][row.id];
            }
            (void)driver.rows();
        };
        for (const Arrival& row : input.arrivals) {
            driver.push({row});
            look();
        }
        driver.watermark(kMaxTimestamp);
        look();
        for (const Arrival& row : input.arrivals) {
            EXPECT_EQ(ends[static_cast<std::size_t>(row.side)][row.id], 1) << seed << " " << row.id;
        }
    }
}

TEST(IntervalJoin, RemembersExactlyTheRowsThatAreNotDue) {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        const Case input = random_case(seed);
        NaiveJoin naive(input.plan);
        (void)naive.run(input.arrivals);
        JoinDriver driver(input.plan);
        for (std::size_t at = 0; at < input.arrivals.size(); ++at) {
            driver.push({input.arrivals[at]});
            ASSERT_EQ(driver.join().live_rows(), naive.live_rows()[at]) << seed << " " << at;
        }
    }
}

TEST(IntervalJoin, SnapshotAndRestoreAnywhereChangeNothing) {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        SCOPED_TRACE(seed);
        const Case input = random_case(seed);
        JoinDriver never_stopped(input.plan);
        JoinDriver restored(input.plan);
        SeededRandom random(seed);
        for (const Arrival& row : input.arrivals) {
            never_stopped.push({row});
            restored.push({row});
            if (random.chance(0.2)) {
                const std::string bytes = restored.encode();
                restored.restore(bytes);
                ASSERT_EQ(restored.encode(), bytes);
                ASSERT_EQ(never_stopped.encode(), bytes);
            }
        }
        never_stopped.watermark(kMaxTimestamp);
        restored.watermark(kMaxTimestamp);
        expect_same(restored.output(), never_stopped.output());
        EXPECT_EQ(restored.join().state_bytes(), 0U);
        if (HasFailure()) {
            return;
        }
    }
}

TEST(IntervalJoin, LongBatchesAndManyRowsOfAKeyInDisorder) {
    // Blocks of rows grow, are slid along and shrink; times jump within a batch.
    for (const Duration reach : {Duration{3}, Duration{60}, Duration{2000}}) {
        SCOPED_TRACE(reach);
        SeededRandom random(1);
        Case input{{-reach, reach / 2, JoinKind::kFull}, {}};
        JoinSide side = kLeft;
        Timestamp now = 0;
        for (std::size_t row = 0; row < 4000; ++row) {
            const Timestamp watermark = row == 0 ? kMinTimestamp : now - 20;
            now += random.chance(0.001) ? 3000 : row < 2000 ? below(random, 8) / 7 : 1;
            side = random.chance(0.002) ? (side == kLeft ? kRight : kLeft) : side;
            input.arrivals.push_back(
                {side, random.chance(0.9) ? "a" : "b", now - below(random, 20), row, watermark});
        }
        const JoinOutput expected = NaiveJoin(input.plan).run(input.arrivals);
        expect_same(joined(input, [] { return false; }), expected);
        expect_same(joined(input, [] { return true; }), expected);
        EXPECT_GT(expected.size(), 4000U);
    }
}

// Boundaries ---------------------------------------------------------------------------------------

TEST(IntervalJoin, BoundsAreInclusive) {
    JoinDriver driver({-2, 3, JoinKind::kInner});
    driver.push(kLeft, "a", 10, 1);
    driver.push(kRight, "a", 7, 2);
    driver.push(kRight, "a", 8, 3);
    driver.push(kRight, "b", 10, 4);
    driver.push(kRight, "a", 13, 5);
    driver.push(kRight, "a", 14, 6);
    EXPECT_EQ(driver.rows(), (Rows{"1+3@10", "1+5@13"}));
}

TEST(IntervalJoin, MatchesComeInTheOrderOfTimeThenArrival) {
    JoinDriver driver({-5, 5, JoinKind::kInner});
    driver.push(
        {{kRight, "a", 3, 1, 0}, {kRight, "a", 1, 2, 0}, {kRight, "a", 3, 3, 0}, {kRight, "a", 2, 4, 0}});
    driver.push(kLeft, "a", 2, 9);
    EXPECT_EQ(driver.rows(), (Rows{"9+2@2", "9+4@2", "9+1@3", "9+3@3"}));
}

TEST(IntervalJoin, ARowIsLateBelowTheWatermark) {
    JoinDriver driver({-5, 5, JoinKind::kFull});
    driver.watermark(10);
    driver.push(kLeft, "a", 10, 1);
    driver.push(kLeft, "a", 9, 2);
    driver.push(kRight, "a", 9, 3);
    EXPECT_EQ(driver.output().late,
              (std::vector<JoinOutput::LateRow>{{kLeft, 2, 1, 10}, {kRight, 3, 2, 10}}));
    EXPECT_EQ(driver.output().late_rows, (std::array<std::uint64_t, 2>{1, 1}));
    EXPECT_EQ(driver.rows(), Rows{});
}

TEST(IntervalJoin, ARowIsForgottenOnceTheWatermarkIsAtItsBound) {
    JoinDriver driver({-5, 5, JoinKind::kLeft});
    driver.push(kLeft, "a", 100, 1);
    driver.watermark(104);
    driver.push(kRight, "a", 105, 2);
    EXPECT_EQ(driver.rows(), (Rows{"1+2@105"}));
    EXPECT_EQ(driver.join().live_rows(), 2U);
    driver.watermark(105);
    EXPECT_EQ(driver.output().forgotten[0], (std::vector<std::uint64_t>{1}));
    driver.push(kRight, "a", 105, 3);
    EXPECT_EQ(driver.rows(), Rows{});
    driver.watermark(110);
    EXPECT_EQ(driver.output().forgotten[1], (std::vector<std::uint64_t>{2, 3}));
    EXPECT_EQ(driver.rows(), Rows{});
}

TEST(IntervalJoin, EqualTimesMatchUnderTheirOwnWatermark) {
    JoinDriver driver({0, 0, JoinKind::kInner});
    driver.push({{kLeft, "a", 100, 1, kMinTimestamp}, {kLeft, "a", 100, 2, 100}});
    driver.push({{kRight, "a", 100, 3, 100}});
    EXPECT_EQ(driver.rows(), (Rows{"2+3@100"}));
}

TEST(IntervalJoin, ARowThatIsDueWhenItComesIsForgottenAtTheNextWatermark) {
    JoinDriver driver({-5, -1, JoinKind::kFull});
    driver.push(kRight, "a", 99, 1);
    driver.watermark(100);
    driver.push(kLeft, "a", 100, 2);
    driver.push(kLeft, "b", 100, 3);
    EXPECT_EQ(driver.rows(), (Rows{"2+1@100"}));
    EXPECT_EQ(driver.join().live_rows(), 3U);
    driver.watermark(101);
    EXPECT_EQ(driver.output().forgotten[0], (std::vector<std::uint64_t>{2, 3}));
    EXPECT_EQ(driver.rows(), (Rows{"3+-@100"}));
    // One ahead of the watermark waits for it, though nothing can match it either.
    driver.push(kLeft, "a", 107, 4);
    EXPECT_EQ(driver.rows(), Rows{});
    driver.watermark(106);
    EXPECT_EQ(driver.rows(), Rows{});
    driver.watermark(107);
    EXPECT_EQ(driver.rows(), (Rows{"4+-@107"}));
}

TEST(IntervalJoin, RowsAloneComeByTimeSideKeyAndArrival) {
    JoinDriver driver({0, 0, JoinKind::kFull});
    driver.push({{kRight, "b", 5, 1, 0}, {kRight, "a", 5, 2, 0}, {kRight, "a", 4, 3, 0}});
    driver.push({{kLeft, "d", 5, 4, 0}, {kLeft, "c", 5, 5, 0}, {kLeft, "d", 5, 6, 0}, {kLeft, "c", 6, 7, 0}});
    driver.watermark(5);
    EXPECT_EQ(driver.output().fired_at, (std::vector<std::uint64_t>(6, 7)));
    EXPECT_EQ(driver.rows(), (Rows{"-+3@4", "5+-@5", "4+-@5", "6+-@5", "-+2@5", "-+1@5"}));
    driver.watermark(6);
    EXPECT_EQ(driver.rows(), (Rows{"7+-@6"}));
}

TEST(IntervalJoin, OnlyTheOuterSideIsHandedOutAlone) {
    const std::map<JoinKind, Rows> expected{{JoinKind::kInner, {}},
                                            {JoinKind::kLeft, {"1+-@5"}},
                                            {JoinKind::kRight, {"-+2@5"}},
                                            {JoinKind::kFull, {"1+-@5", "-+2@5"}}};
    for (const auto& [kind, rows] : expected) {
        JoinDriver driver({0, 0, kind});
        driver.push(kLeft, "a", 5, 1);
        driver.push(kRight, "b", 5, 2);
        driver.watermark(kMaxTimestamp);
        EXPECT_EQ(driver.rows(), rows);
    }
}

TEST(IntervalJoin, NullKeysMatchNothingAndAreForgottenAtOnce) {
    JoinDriver driver({-5, 5, JoinKind::kLeft});
    driver.push(kLeft, "null", 5, 1);
    driver.push(kRight, "null", 5, 2);
    EXPECT_EQ(driver.output().forgotten,
              (std::array<std::vector<std::uint64_t>, 2>{std::vector<std::uint64_t>{1}, {2}}));
    EXPECT_EQ(driver.rows(), (Rows{"1+-@5"}));
    EXPECT_EQ(driver.join().live_rows(), 0U);
}

TEST(IntervalJoin, NothingIsOnTimeAfterTheEndOfTheInput) {
    JoinDriver driver({-5, 5, JoinKind::kFull});
    driver.push(kLeft, "a", kMaxTimestamp, 1);
    driver.watermark(kMaxTimestamp);
    EXPECT_EQ(driver.rows(), (Rows{"1+-@" + std::to_string(kMaxTimestamp)}));
    driver.push(kRight, "a", kMaxTimestamp, 2);
    EXPECT_EQ(driver.output().late_rows, (std::array<std::uint64_t, 2>{0, 1}));
}

TEST(IntervalJoin, PositionsCountInputRecordsThatAreNoRows) {
    IntervalJoin join({0, 0, JoinKind::kLeft});
    KeyDictionary keys;
    const std::vector<std::uint32_t> key(2, keys.intern("a"));
    const std::vector<std::uint64_t> id{1, 2};
    const std::vector<Timestamp> time{5, 3};
    const std::vector<Timestamp> watermark{0, 6};
    const std::vector<std::uint32_t> input_index{1, 4};
    JoinOutput out;
    join.on_batch(kLeft, {id, time, key, &keys, {}, watermark, 100, input_index}, out);
    EXPECT_EQ(out.fired_at, (std::vector<std::uint64_t>{104}));
    EXPECT_EQ(out.late, (std::vector<JoinOutput::LateRow>{{kLeft, 2, 104, 6}}));
}

TEST(IntervalJoin, BoundsThatCrossAreRefused) {
    EXPECT_NO_THROW(IntervalJoin({3, 3, JoinKind::kInner}));
    try {
        const IntervalJoin join({4, 3, JoinKind::kInner});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
        EXPECT_STREQ(error.what(), "lower: 4 µs is greater than upper, which is 3 µs");
    }
}

// Persisted bytes ----------------------------------------------------------------------------------

JoinDriver with_rows(const IntervalJoinPlan& plan) {
    JoinDriver driver(plan);
    driver.watermark(3);
    driver.push(kLeft, "a", 5, 1);
    driver.push(kLeft, "b", 4, 2);
    driver.push(kRight, "a", 6, 3);
    driver.push(kRight, "c", 7, 4);
    return driver;
}

TEST(IntervalJoin, BytesAreAFunctionOfTheRememberedRows) {
    const IntervalJoinPlan plan{-5, 5, JoinKind::kFull};
    const JoinDriver plain = with_rows(plan);
    JoinDriver other(plan);
    for (std::uint64_t id = 100; id < 200; ++id) {
        other.push(kLeft, "z" + std::to_string(id), -100, id);
    }
    other.watermark(3);
    other.push(kRight, "c", 7, 4);
    other.push(kRight, "a", 6, 3);
    other.push(kLeft, "b", 4, 2);
    other.push(kLeft, "a", 5, 1);
    EXPECT_EQ(other.encode(), plain.encode());
}

TEST(IntervalJoin, CorruptBytesAreRefused) {
    const IntervalJoinPlan plan{-5, 5, JoinKind::kLeft};
    const std::string bytes = with_rows(plan).encode();
    const auto decode = [](const IntervalJoinPlan& into, const std::string& from) {
        IntervalJoin join(into);
        ByteReader in(from);
        join.decode(in);
    };
    decode(plan, bytes);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(decode(plan, bytes.substr(0, size)), Error) << size;
    }
    // Whatever is changed, it is taken as another state or refused.
    std::size_t refused = 0;
    SeededRandom random(5);
    for (int round = 0; round < 20'000; ++round) {
        std::string changed = bytes;
        for (std::int64_t change = 1 + below(random, 3); change > 0; --change) {
            changed[static_cast<std::size_t>(below(random, static_cast<std::int64_t>(bytes.size())))] =
                static_cast<char>(random.bits());
        }
        try {
            IntervalJoin join(plan);
            ByteReader in(changed);
            join.decode(in);
            JoinOutput out;
            join.on_watermark(kMaxTimestamp, 0, out);
            EXPECT_EQ(join.state_bytes(), 0U);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
            ++refused;
        }
    }
    EXPECT_GT(refused, 5'000U);
    // Rows that this join would have forgotten, and flags that it does not keep.
    EXPECT_THROW(
        decode({-5, -4, JoinKind::kLeft}, with_rows({-5, 5, JoinKind::kLeft}).encode().replace(0, 1, "\x7f")),
        Error);
    EXPECT_THROW(decode({-5, 5, JoinKind::kInner}, bytes), Error);
}

}  // namespace
}  // namespace llmopt_stream
