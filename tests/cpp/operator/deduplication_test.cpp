#include "operator/deduplication.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

struct Record {
    std::string value;
    Timestamp time;
    Timestamp watermark;  // before it
};

/// Keeps everything, and says what the class promises of `deduplicate`.
class Reference {
public:
    explicit Reference(Duration ttl) : ttl_(ttl) {}

    bool accept(const Record& record) {
        const auto [first, last] = accepted_.equal_range(record.value);
        const bool duplicate = std::any_of(first, last, [&](const auto& entry) {
            return apart(entry.second, record.time) < ttl_ && is_live(entry.second, record.watermark);
        });
        if (!duplicate) {
            accepted_.emplace(record.value, record.time);
        }
        return !duplicate;
    }
    [[nodiscard]] std::size_t live(Timestamp watermark) const {
        return static_cast<std::size_t>(
            std::count_if(accepted_.begin(), accepted_.end(),
                          [&](const auto& entry) { return is_live(entry.second, watermark); }));
    }

private:
    static Duration apart(Timestamp a, Timestamp b) {
        Duration difference = 0;
        return __builtin_sub_overflow(std::max(a, b), std::min(a, b), &difference) ? kMaxTimestamp
                                                                                   : difference;
    }
    [[nodiscard]] bool is_live(Timestamp time, Timestamp watermark) const {
        return watermark < add_saturating(time, ttl_);
    }

    Duration ttl_;
    std::multimap<std::string, Timestamp> accepted_;
};

/// A deduplication and the positions, in the whole stream, that it accepted.
class Deduplicator {
public:
    explicit Deduplicator(const DeduplicationPlan& plan) : state(plan) {}

    void push(const std::vector<Record>& records, std::size_t first, std::size_t last) {
        KeyDictionary values;
        values.intern("a value that no record has");
        std::vector<std::uint32_t> codes;
        std::vector<Timestamp> times;
        std::vector<Timestamp> watermarks;
        for (std::size_t i = first; i < last; ++i) {
            codes.push_back(values.intern(records[i].value));
            times.push_back(records[i].time);
            watermarks.push_back(records[i].watermark);
        }
        const std::size_t before = accepted.size();
        state.on_batch(codes, values, times, watermarks, accepted);
        for (std::size_t i = before; i < accepted.size(); ++i) {
            accepted[i] += static_cast<std::uint32_t>(first);
        }
    }
    void push(const std::vector<Record>& records) { push(records, 0, records.size()); }
    /// In batches of random sizes.
    void push(const std::vector<Record>& records, std::mt19937_64& random) {
        for (std::size_t first = 0; first < records.size();) {
            const std::size_t last = std::min(records.size(), first + 1 + random() % 70);
            push(records, first, last);
            first = last;
        }
    }
    [[nodiscard]] std::string encoded() const {
        ByteWriter out;
        state.encode(out);
        return out.take();
    }
    void decode(std::string_view bytes) {
        ByteReader in(bytes);
        state.decode(in);
        EXPECT_EQ(in.remaining(), 0U);
    }

    Deduplication state;
    std::vector<std::uint32_t> accepted;
};

std::vector<std::uint32_t> accepted_of(const DeduplicationPlan& plan, const std::vector<Record>& records) {
    Deduplicator run(plan);
    run.push(records);
    return run.accepted;
}

using Positions = std::vector<std::uint32_t>;
constexpr Timestamp kNoWatermark = kMinTimestamp;

/// A random stream with watermarks that trail its greatest time.
struct Stream {
    const char* name;
    Duration ttl;
    Timestamp origin;
    Duration step;      // on average, from one record to the next
    Duration disorder;  // how far a record may lie off that
    Duration lag;       // of the watermark; records further off than that are late
    std::size_t values;
};

void PrintTo(const Stream& stream, std::ostream* out) { *out << stream.name; }

const Stream kStreams[] = {
    {"InOrder", 1'000, 0, 10, 0, 0, 40},
    {"Ties", 100, -5'000, 1, 0, 3, 5},
    {"DisorderWithinTheLag", 1'000, -100'000, 20, 500, 1'000, 30},
    {"DisorderBeyondTheLag", 1'000, -100'000, 20, 5'000, 300, 30},
    {"LagOfManyTtls", 50, 0, 20, 3'000, 20'000, 3},
    {"OneMicrosecond", 1, 0, 1, 3, 2, 2},
    {"TwoMicroseconds", 2, -50, 1, 3, 5, 2},
    {"NothingExpires", 300, 0, 50, 2'000, kMaxTimestamp, 10},
    {"TheLeastTimes", 1'000, kMinTimestamp, 5, 100, 200, 20},
    {"TheGreatestTimes", 1'000, kMaxTimestamp - 10'000, 5, 100, 200, 20},
    {"AllTimes", kMaxTimestamp / 3, 0, 1, kMaxTimestamp, kMaxTimestamp / 2, 3},
    {"TheGreatestTtl", kMaxTimestamp, 0, 1, kMaxTimestamp, kMaxTimestamp / 2, 8},
    {"EpochsThatSaturate", kMaxTimestamp / 10, 0, 1, kMaxTimestamp, kMaxTimestamp, 2},
};

std::vector<Record> records_of(const Stream& stream, std::uint64_t seed, std::size_t size = 3'000) {
    std::mt19937_64 random(seed);
    std::vector<Record> records;
    Timestamp clock = stream.origin;
    Timestamp greatest = kMinTimestamp;
    Timestamp watermark = kMinTimestamp;
    for (std::size_t i = 0; i < size; ++i) {
        clock = add_saturating(clock, std::uniform_int_distribution<Duration>(0, 2 * stream.step)(random));
        const Duration off =
            std::uniform_int_distribution<Duration>(-stream.disorder, stream.disorder)(random);
        const Timestamp time = add_saturating(clock, off);
        records.push_back({"v" + std::to_string(random() % stream.values), time, watermark});
        greatest = std::max(greatest, time);
        watermark = std::max(watermark, add_saturating(greatest, -stream.lag));
    }
    return records;
}

TEST(Deduplication, TheFirstToArriveIsAcceptedAndTheTtlExcluded) {
    const std::vector<Record> records = {
        {"a", 100, kNoWatermark}, {"a", 109, kNoWatermark}, {"a", 110, kNoWatermark}, {"a", 91, kNoWatermark},
        {"a", 90, kNoWatermark},  {"b", 100, kNoWatermark}, {"a", 100, kNoWatermark},
    };
    EXPECT_EQ(accepted_of({.ttl = 10}, records), (Positions{0, 2, 4, 5}));
}

TEST(Deduplication, ADuplicateIsNotRememberedItself) {
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"a", 0, 0}, {"a", 9, 0}, {"a", 18, 0}}), (Positions{0, 2}));
}

TEST(Deduplication, AnEntryExpiresWhenTheWatermarkReachesItsTimePlusTtl) {
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"a", 100, 0}, {"a", 105, 109}}), (Positions{0}));
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"a", 100, 0}, {"a", 105, 110}}), (Positions{0, 1}));
}

TEST(Deduplication, ARecordThatHasExpiredItselfIsAcceptedAndNotRemembered) {
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"a", 100, 110}, {"a", 100, 110}, {"a", 101, 110}, {"a", 101, 110}}),
              (Positions{0, 1, 2}));
    // One that is live still makes it a duplicate.
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"a", 105, 0}, {"a", 100, 110}}), (Positions{0}));
}

TEST(Deduplication, AWatermarkDoesNotFall) {
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"a", 100, 110}, {"a", 100, 0}}), (Positions{0, 1}));
}

TEST(Deduplication, TheEmptyValueIsAValue) {
    EXPECT_EQ(accepted_of({.ttl = 10}, {{"", 0, 0}, {"", 1, 0}, {std::string(1, '\0'), 1, 0}}),
              (Positions{0, 2}));
}

TEST(Deduplication, SettingsAreChecked) {
    const auto refused = [](const DeduplicationPlan& plan) {
        try {
            Deduplication{plan};
            return false;
        } catch (const Error& error) {
            return error.kind() == ErrorKind::kConfiguration;
        }
    };
    EXPECT_TRUE(refused({.ttl = 0}));
    EXPECT_TRUE(refused({.ttl = -1}));
    for (const double rate : {0.0, 1.0, -0.5, 1.5, std::nan("")}) {
        EXPECT_TRUE(refused({.ttl = 1, .false_positive_rate = rate})) << rate;
    }
    for (const double rate : {1e-300, 1e-9, 0.01, 0.999}) {
        EXPECT_FALSE(refused({.ttl = 1, .false_positive_rate = rate})) << rate;
    }
}

class DeduplicationOfStreams : public testing::TestWithParam<Stream> {};

INSTANTIATE_TEST_SUITE_P(Of, DeduplicationOfStreams, testing::ValuesIn(kStreams),
                         [](const auto& info) { return info.param.name; });

TEST_P(DeduplicationOfStreams, AgreesWithTheReference) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        const std::vector<Record> records = records_of(GetParam(), seed);
        Reference reference(GetParam().ttl);
        Positions expected;
        for (std::uint32_t i = 0; i < records.size(); ++i) {
            if (reference.accept(records[i])) {
                expected.push_back(i);
            }
        }
        Deduplicator run({.ttl = GetParam().ttl});
        std::mt19937_64 random(seed);
        run.push(records, random);
        ASSERT_EQ(run.accepted, expected) << seed;
        ASSERT_EQ(run.state.live(), reference.live(records.back().watermark)) << seed;
    }
}

/// Both ways of telling values apart.
std::vector<DeduplicationPlan> plans_of(Duration ttl) {
    return {{.ttl = ttl}, {.ttl = ttl, .false_positive_rate = 0.05}};
}

TEST_P(DeduplicationOfStreams, BatchCutsChangeNothing) {
    for (const DeduplicationPlan& plan : plans_of(GetParam().ttl)) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            const std::vector<Record> records = records_of(GetParam(), seed);
            Deduplicator whole(plan);
            whole.push(records);
            Deduplicator singly(plan);
            for (std::size_t i = 0; i < records.size(); ++i) {
                singly.push(records, i, i + 1);
            }
            Deduplicator in_parts(plan);
            std::mt19937_64 random(seed);
            in_parts.push(records, random);
            ASSERT_EQ(singly.accepted, whole.accepted);
            ASSERT_EQ(in_parts.accepted, whole.accepted);
            ASSERT_EQ(singly.encoded(), whole.encoded());
            ASSERT_EQ(in_parts.encoded(), whole.encoded());
            ASSERT_EQ(in_parts.state.live(), whole.state.live());
        }
    }
}

TEST_P(DeduplicationOfStreams, ARestoreInTheMiddleChangesNothing) {
    for (const DeduplicationPlan& plan : plans_of(GetParam().ttl)) {
        const std::vector<Record> records = records_of(GetParam(), 11);
        for (const std::size_t middle : {std::size_t{0}, std::size_t{1}, std::size_t{700}, records.size()}) {
            Deduplicator whole(plan);
            whole.push(records, 0, middle);
            const std::string bytes = whole.encoded();
            Deduplicator restored(plan);
            restored.decode(bytes);
            ASSERT_EQ(restored.encoded(), bytes);
            ASSERT_EQ(restored.state.live(), whole.state.live());
            restored.accepted = whole.accepted;
            whole.push(records, middle, records.size());
            restored.push(records, middle, records.size());
            ASSERT_EQ(restored.accepted, whole.accepted);
            ASSERT_EQ(restored.encoded(), whole.encoded());
        }
    }
}

TEST_P(DeduplicationOfStreams, MemoryIsFreedWhenAllHaveExpired) {
    for (const DeduplicationPlan& plan : plans_of(GetParam().ttl)) {
        const std::vector<Record> records = records_of(GetParam(), 12);
        Deduplicator run(plan);
        run.push(records);
        Timestamp end = records.back().watermark;
        for (const std::uint32_t i : run.accepted) {
            end = std::max(end, add_saturating(records[i].time, plan.ttl));
        }
        if (plan.false_positive_rate) {
            end = add_saturating(end, plan.ttl / 8);  // as long as a generation may live longer
        } else if (end > records.back().watermark) {
            run.state.on_watermark(end - 1);
            EXPECT_GT(run.state.live(), 0U);
            EXPECT_GT(run.state.state_bytes(), 0U);
        }
        run.state.on_watermark(end);
        EXPECT_EQ(run.state.live(), 0U);
        EXPECT_EQ(run.state.state_bytes(), 0U);
    }
}

TEST(Deduplication, BytesAreAFunctionOfTheLiveEntries) {
    std::vector<Record> records;
    for (int i = 0; i < 2'000; ++i) {
        records.push_back({"v" + std::to_string(i), i, kNoWatermark});
    }
    Deduplicator forward({.ttl = 5'000});
    forward.push(records);
    // In another order, from a larger table that expired entries are in.
    std::vector<Record> others;
    for (int i = 0; i < 9'000; ++i) {
        others.push_back({"o" + std::to_string(i), -100'000, kNoWatermark});
    }
    Deduplicator backward({.ttl = 5'000});
    backward.push(others);
    std::reverse(records.begin(), records.end());
    for (Record& record : records) {
        record.watermark = -90'000;
    }
    backward.push(records);
    forward.state.on_watermark(-90'000);
    EXPECT_EQ(forward.encoded(), backward.encoded());
    EXPECT_EQ(backward.state.live(), 2'000U);
}

TEST(Deduplication, OneValueWithManyLiveTimesStaysFast) {
    // Without a watermark nothing expires; a home for each value alone would take n² / 2 steps.
    std::vector<Record> records;
    for (int i = 0; i < 200'000; ++i) {
        records.push_back({"a", 10 * Timestamp{i}, kNoWatermark});
    }
    Deduplicator run({.ttl = 10});
    run.push(records);
    EXPECT_EQ(run.accepted.size(), records.size());
    EXPECT_EQ(run.state.live(), records.size());
}

TEST(Deduplication, MemoryFollowsWhatIsLive) {
    constexpr int kMany = 200'000;
    std::vector<Record> records;
    for (int i = 0; i < kMany; ++i) {
        records.push_back({"v" + std::to_string(i), 0, kNoWatermark});
    }
    Deduplicator run({.ttl = 1'000});
    run.push(records);
    EXPECT_LE(run.state.state_bytes(), 49U * kMany);
    // A few records per ttl later on, so that there is never a time without a live one.
    records.clear();
    for (int i = 1; i < 100; ++i) {
        records.push_back({"w" + std::to_string(i), 100 * i, 100 * i - 50});
    }
    for (std::size_t i = 0; i < records.size(); ++i) {
        run.push(records, i, i + 1);
        ASSERT_GT(run.state.live(), 0U);
    }
    EXPECT_LE(run.state.state_bytes(), 1'000U);
}

// Approximate -------------------------------------------------------------------------------------

TEST_P(DeduplicationOfStreams, FiltersFindEveryLiveValueAndFewOthers) {
    constexpr double kRate = 0.02;
    const Duration ttl = GetParam().ttl;
    const Duration longer = add_saturating(ttl, ttl / 8 + (ttl % 8 != 0 ? 1 : 0));
    std::size_t wrong = 0;
    std::size_t checked = 0;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        const std::vector<Record> records = records_of(GetParam(), seed, 700);
        Deduplicator run({.ttl = ttl, .false_positive_rate = kRate});
        std::mt19937_64 random(seed);
        run.push(records, random);
        // Given what it accepted before, each answer is that of the ttl or of one generation more.
        std::vector<char> accepted(records.size(), 0);
        for (const std::uint32_t i : run.accepted) {
            accepted[i] = 1;
        }
        std::map<std::string, std::vector<Timestamp>> times;
        for (std::size_t i = 0; i < records.size(); ++i) {
            const Record& record = records[i];
            const auto is_found = [&](Duration within) {
                return std::any_of(times[record.value].begin(), times[record.value].end(),
                                   [&](Timestamp time) {
                                       Reference pair(within);
                                       pair.accept({"", time, kMinTimestamp});
                                       return !pair.accept({"", record.time, record.watermark});
                                   });
            };
            if (is_found(ttl)) {
                ASSERT_FALSE(accepted[i]) << "not found: " << i << " of seed " << seed;
            } else if (longer != kMaxTimestamp && !is_found(longer)) {
                ++checked;
                wrong += accepted[i] ? 0 : 1;
            }
            // It is remembered only while it is live.
            if (accepted[i] && record.watermark < add_saturating(record.time, ttl)) {
                times[record.value].push_back(record.time);
            }
        }
    }
    EXPECT_LE(static_cast<double>(wrong), kRate * static_cast<double>(checked) + 3);
}

TEST(Deduplication, TheFalsePositiveRateIsBelowTheStatedOne) {
    constexpr Duration kTtl = 8'000'000;
    for (const double rate : {0.1, 0.01, 0.001}) {
        for (const std::size_t size : {500U, 10'000U, 80'000U}) {
            // New values only, over three ttls, with the watermark one ttl behind: all is near that can be.
            std::vector<Record> records;
            for (std::size_t i = 0; i < 3 * size; ++i) {
                const Timestamp time = static_cast<Timestamp>(i) * kTtl / static_cast<Timestamp>(size);
                records.push_back({"v" + std::to_string(i), time - (i % 2 == 0 ? kTtl : 0), time - 2 * kTtl});
            }
            Deduplicator run({.ttl = kTtl, .false_positive_rate = rate});
            run.push(records);
            const auto wrong = static_cast<double>(records.size() - run.accepted.size());
            const double stated = rate * static_cast<double>(records.size());
            EXPECT_LE(wrong, stated + 3 * std::sqrt(stated)) << rate << ' ' << size;
        }
    }
}

TEST(Deduplication, TheRateHoldsForSmallFiltersAndSmallRates) {
    // A filter of 64 hashes with many probes: no probe sequence may repeat part of another's.
    for (const double rate : {0.5, 0.01, 1e-4, 1e-6}) {
        std::size_t wrong = 0;
        constexpr std::size_t kQueries = 300'000;
        for (int round = 0; round < 10; ++round) {
            ScalableBloomFilter filter(rate, 0);
            for (int i = 0; i < 64; ++i) {
                filter.add(ValueHash::of("in" + std::to_string(round) + '-' + std::to_string(i)));
            }
            for (std::size_t i = 0; i < kQueries / 10; ++i) {
                wrong += filter.contains(ValueHash::of("out" + std::to_string(i))) ? 1 : 0;
            }
        }
        const double stated = rate * kQueries;
        EXPECT_LE(static_cast<double>(wrong), stated + 3 * std::sqrt(stated)) << rate;
    }
}

TEST(Deduplication, FiltersTakeBitsPerValue) {
    constexpr std::size_t kLive = 50'000;
    constexpr Duration kTtl = kLive;  // one record per microsecond
    std::vector<Record> records;
    for (Timestamp i = 0; i < Timestamp{4 * kLive}; ++i) {
        records.push_back({"v" + std::to_string(i), i, i - 1});
    }
    Deduplicator exact({.ttl = kTtl});
    exact.push(records);
    Deduplicator filters({.ttl = kTtl, .false_positive_rate = 0.01});
    filters.push(records);
    EXPECT_GE(exact.state.state_bytes(), 24 * kLive);
    EXPECT_LE(8 * filters.state.state_bytes(), 25 * kLive);  // bits
}

// Corrupt bytes -----------------------------------------------------------------------------------

class DeduplicationBytes : public testing::TestWithParam<std::optional<double>> {
protected:
    [[nodiscard]] static DeduplicationPlan plan() { return {.ttl = 100, .false_positive_rate = GetParam()}; }
    [[nodiscard]] static std::string bytes() {
        std::vector<Record> records;
        for (int i = 0; i < 60; ++i) {
            records.push_back({"v" + std::to_string(i % 20), 7 * Timestamp{i}, 7 * Timestamp{i} - 150});
        }
        Deduplicator run(plan());
        run.push(records);
        return run.encoded();
    }
    /// Whether the bytes were refused; if not, the state must work.
    static bool refused(const std::string& bytes) {
        Deduplicator run(plan());
        ByteReader in(bytes);
        try {
            run.state.decode(in);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
            EXPECT_EQ(run.state.live(), 0U);
            return true;
        }
        run.push({{"v1", 400, 300}, {"v2", 500, 380}, {"v1", 460, 470}});
        run.state.on_watermark(kMaxTimestamp);
        EXPECT_EQ(run.state.state_bytes(), 0U);
        return false;
    }
};

INSTANTIATE_TEST_SUITE_P(Of, DeduplicationBytes, testing::Values(std::optional<double>(), 0.05),
                         [](const auto& info) { return info.param ? "Filters" : "Exact"; });

TEST_P(DeduplicationBytes, EveryTruncationIsRefused) {
    const std::string whole = bytes();
    EXPECT_FALSE(refused(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_TRUE(refused(whole.substr(0, size))) << size;
    }
}

TEST_P(DeduplicationBytes, AlteredBytesNeverCrash) {
    const std::string whole = bytes();
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (const int change : {0x01, 0x80, 0xFF}) {
            std::string altered = whole;
            altered[at] = static_cast<char>(altered[at] ^ change);
            (void)refused(altered);
        }
    }
    std::mt19937_64 random(3);
    for (int round = 0; round < 2'000; ++round) {
        std::string altered = whole;
        for (int change = 0; change < 8; ++change) {
            altered[random() % altered.size()] = static_cast<char>(random() % 4 == 0 ? 0xFF : random());
        }
        (void)refused(altered);
    }
}

TEST_P(DeduplicationBytes, ThoseOfTheOtherWayAreRefused) {
    Deduplicator other({.ttl = 100, .false_positive_rate = GetParam() ? std::optional<double>() : 0.05});
    other.push({{"a", 0, kNoWatermark}});
    EXPECT_TRUE(refused(other.encoded()));
}

TEST(Deduplication, EntriesOutOfOrderTooNearOrExpiredAreRefused) {
    const auto encoded = [](Timestamp watermark, const std::vector<std::array<std::int64_t, 3>>& entries) {
        ByteWriter out;
        out.write<std::uint8_t>(0);
        out.write(watermark);
        out.write<std::uint64_t>(entries.size());
        for (const auto& entry : entries) {
            for (const std::int64_t word : entry) {
                out.write(word);
            }
        }
        return out.take();
    };
    const auto refused = [](const std::string& bytes) {
        Deduplication state({.ttl = 10});
        ByteReader in(bytes);
        try {
            state.decode(in);
            return false;
        } catch (const Error&) {
            return true;
        }
    };
    EXPECT_FALSE(refused(encoded(0, {{1, 1, 5}, {1, 1, 15}, {1, 2, 0}})));
    EXPECT_TRUE(refused(encoded(0, {{1, 1, 5}, {1, 1, 14}})));
    EXPECT_TRUE(refused(encoded(0, {{1, 2, 5}, {1, 1, 5}})));
    EXPECT_TRUE(refused(encoded(0, {{1, 1, 5}, {1, 1, 5}})));
    EXPECT_TRUE(refused(encoded(15, {{1, 1, 5}})));
    EXPECT_TRUE(refused(encoded(0, {{0, 0, 5}})));
}

}  // namespace
}  // namespace llmopt_stream
