#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "aggregate/value_statistics.hpp"
#include "pipeline/pipeline.hpp"
#include "record/batch_builder.hpp"
#include "record/error.hpp"
#include "source/byte_stream.hpp"
#include "source/ndjson_reader.hpp"

namespace llmopt_stream {
namespace {

constexpr int kKeys = 400;

PipelinePlan plan(Duration size, Duration slide, std::size_t shards) {
    PipelinePlan result;
    result.fingerprint = "test";
    result.schema.time_path = "t";
    result.schema.time_unit = TimeUnit::kMillisecond;
    result.schema.key_paths = {"k"};
    result.schema.values = {{"v", FieldType::kFloat64, false}};
    BranchPlan& branch = result.branches.emplace_back();
    branch.window.kind = WindowKind::kSliding;
    branch.window.size = size;
    branch.window.slide = slide;
    branch.window.allowed_lateness = 3'000'000;
    branch.metrics = {[](const std::vector<FieldType>& types) {
        return std::make_shared<const ValueStatistics>(
            0, types[0],
            std::vector<Aggregation>{{AggregationKind::kCount, 0, "count"},
                                     {AggregationKind::kSum, 0, "sum"},
                                     {AggregationKind::kPercentile, 95, "p95"}});
    }};
    branch.result_order = {0, 1, 2};
    result.watermark.max_out_of_orderness = 1'000'000;
    result.parallelism = shards;
    return result;
}

std::string events(std::uint32_t seed, int records) {
    std::mt19937 random(seed);
    std::string lines;
    for (int record = 0; record < records; ++record) {
        const int late = record % 30 == 0 ? 3'500 : 0;
        lines +=
            "{\"t\":" + std::to_string(100'000 + record * 2 - late - static_cast<int>(random() % 1'500)) +
            ",\"k\":\"key-" + std::to_string(random() % kKeys) +
            "\",\"v\":" + std::to_string(random() % 1'000) + "}\n";
    }
    return lines;
}

class Pieces final : public StoredPieces {
public:
    void apply(const StateChanges& changes) {
        for (const StateChange& change : changes.list()) {
            if (change.value) {
                pieces_[change.key] = *change.value;
            } else {
                EXPECT_EQ(pieces_.erase(change.key), 1U);
            }
        }
    }
    [[nodiscard]] std::string get(const std::string& name) const override {
        const auto at = pieces_.find(name);
        if (at == pieces_.end()) {
            throw Error(ErrorKind::kCheckpoint, "no piece of this name");
        }
        return at->second;
    }
    [[nodiscard]] std::map<std::string, std::string>& all() noexcept { return pieces_; }

private:
    std::map<std::string, std::string> pieces_;
};

struct Checkpoint {
    std::string header;
    Pieces pieces;
};

/// A pipeline over lines that are read some at a time.
class Driven {
public:
    Driven(const PipelinePlan& of, const std::string& lines)
        : pipeline_(of),
          decoder_(of.schema),
          builder_(of.schema),
          reader_(std::make_unique<MemoryByteStream>(lines), 1 << 12) {}

    bool take(std::size_t records) {
        if (!reader_.next(decoder_, builder_, records)) {
            return false;
        }
        Pipeline::MalformedCounts malformed = builder_.malformed();
        pipeline_.push(pipeline_.admit(builder_.batch(), malformed), malformed, 0);
        return true;
    }
    void skip(std::size_t records) {
        while (records != 0 && reader_.next(decoder_, builder_, records)) {
            records -= builder_.input_records();
        }
    }
    /// All that comes out from now on.
    std::string rest() {
        static_cast<void>(pipeline_.branches().front().take_panes());
        while (take(1000)) {
        }
        pipeline_.end_of_input();
        ByteWriter out;
        pipeline_.branches().front().take_panes().encode(out);
        return out.take();
    }
    [[nodiscard]] Pipeline& pipeline() noexcept { return pipeline_; }

private:
    Pipeline pipeline_;
    JsonDecoder decoder_;
    BatchBuilder builder_;
    NdjsonReader reader_;
};

struct Case {
    Duration size;
    Duration slide;
    std::size_t shards;
    std::size_t restored_shards;
};

class PipelineStore : public ::testing::TestWithParam<Case> {};

TEST_P(PipelineStore, ACheckpointIsTheStateAtItsBarrierWhateverComesWhileItIsWritten) {
    const Case& of = GetParam();
    const PipelinePlan plan_of_run = plan(of.size, of.slide, of.shards);
    for (std::uint32_t seed = 1; seed <= 2; ++seed) {
        const std::string lines = events(seed, 20'000);
        std::mt19937 random(seed);
        Driven run(plan_of_run, lines);
        Pieces pieces;
        std::uint64_t id = 0;
        for (;;) {
            if (!run.take(1 + random() % 1500)) {
                break;
            }
            static_cast<void>(run.pipeline().branches().front().take_panes());
            const std::string expected = run.pipeline().snapshot();
            const std::uint64_t records = run.pipeline().counts().records_in;
            ++id;
            const std::string header = run.pipeline().begin_store("p");
            const std::size_t budget = std::size_t{1} << (5 + random() % 16);
            bool more = true;
            while (!run.pipeline().store(budget)) {
                more = more && run.take(1 + random() % 300);
            }
            pieces.apply(run.pipeline().take_stored());

            Driven restored(plan(of.size, of.slide, of.restored_shards), lines);
            restored.pipeline().restore(header, nullptr, &pieces);
            restored.skip(records);
            Driven whole(plan_of_run, lines);
            whole.pipeline().restore(expected);
            whole.skip(records);
            if (of.shards == of.restored_shards) {
                ASSERT_EQ(restored.pipeline().snapshot().size(), expected.size());
            }
            ASSERT_TRUE(restored.rest() == whole.rest()) << "seed " << seed << ", checkpoint " << id;
            // Those that it has restored from, or that another number of shards has no use for, are erased in
            // time.
            static_cast<void>(restored.pipeline().begin_store("p"));
            ASSERT_TRUE(restored.pipeline().store(1));
            Pieces left = pieces;
            left.apply(restored.pipeline().take_stored());
            EXPECT_TRUE(left.all().empty());
            if (!more) {
                break;
            }
        }
        EXPECT_GT(id, 1U);
        run.pipeline().end_of_input();
        static_cast<void>(run.pipeline().begin_store("p"));
        EXPECT_TRUE(run.pipeline().store(1));
        pieces.apply(run.pipeline().take_stored());
        EXPECT_EQ(pieces.all().size(), 0U);
    }
}

INSTANTIATE_TEST_SUITE_P(Windows, PipelineStore,
                         ::testing::Values(Case{10'000'000, 10'000'000, 1, 1},
                                           Case{10'000'000, 4'000'000, 1, 1},
                                           Case{10'000'000, 4'000'000, 2, 2},
                                           Case{10'000'000, 4'000'000, 2, 3},
                                           Case{20'000'000, 1'000'000, 1, 2}));

std::size_t puts_of(const StateChanges& changes) {
    return static_cast<std::size_t>(
        std::count_if(changes.list().begin(), changes.list().end(),
                      [](const StateChange& change) { return change.value.has_value(); }));
}

TEST(PipelineStore, SlicesThatHaveNotChangedAreNotStoredAgain) {
    PipelinePlan of = plan(1'000'000, 1'000'000, 1);
    of.branches.front().window.allowed_lateness = 100'000'000'000;
    const std::string lines = events(1, 20'000);
    Driven run(of, lines);
    while (run.take(1000)) {
    }
    const std::size_t slices = run.pipeline().branches().front().windows()->live_slices();
    ASSERT_GT(slices, 30U);
    static_cast<void>(run.pipeline().begin_store("p"));
    ASSERT_TRUE(run.pipeline().store(std::size_t{1} << 30));
    const StateChanges all = run.pipeline().take_stored();
    EXPECT_GE(all.list().size(), slices);
    static_cast<void>(run.pipeline().begin_store("p"));
    ASSERT_TRUE(run.pipeline().store(std::size_t{1} << 30));
    EXPECT_TRUE(run.pipeline().take_stored().empty());
    // One late record changes one slice; after a failure everything is stored.
    const std::string late_line = "{\"t\":100500,\"k\":\"key-1\",\"v\":1}\n";
    Driven late(of, late_line);
    const std::string before = run.pipeline().snapshot();
    late.pipeline().restore(before);
    static_cast<void>(late.pipeline().begin_store("p"));
    ASSERT_TRUE(late.pipeline().store(std::size_t{1} << 30));
    static_cast<void>(late.pipeline().take_stored());
    ASSERT_TRUE(late.take(1));
    static_cast<void>(late.pipeline().begin_store("p"));
    ASSERT_TRUE(late.pipeline().store(std::size_t{1} << 30));
    const StateChanges one = late.pipeline().take_stored();
    EXPECT_GE(one.list().size(), 2U);
    EXPECT_LT(one.list().size(), 5U);
    late.pipeline().forget_stored();
    static_cast<void>(late.pipeline().begin_store("p"));
    ASSERT_TRUE(late.pipeline().store(std::size_t{1} << 30));
    EXPECT_EQ(puts_of(late.pipeline().take_stored()), puts_of(all));
}

TEST(PipelineStore, DamagedOrMissingPiecesAreRefused) {
    const PipelinePlan of = plan(10'000'000, 10'000'000, 1);
    const std::string lines = events(1, 3'000);
    Driven run(of, lines);
    while (run.take(1000)) {
    }
    const std::string header = run.pipeline().begin_store("p");
    ASSERT_TRUE(run.pipeline().store(std::size_t{1} << 30));
    Pieces pieces;
    pieces.apply(run.pipeline().take_stored());
    ASSERT_FALSE(pieces.all().empty());
    EXPECT_THROW(Driven(of, lines).pipeline().restore(header), Error);
    for (const auto& [name, piece] : pieces.all()) {
        Pieces missing = pieces;
        missing.all().erase(name);
        EXPECT_THROW(Driven(of, lines).pipeline().restore(header, nullptr, &missing), Error);
        Pieces cut = pieces;
        cut.all()[name] = piece.substr(0, piece.size() / 2);
        EXPECT_THROW(Driven(of, lines).pipeline().restore(header, nullptr, &cut), Error);
    }
}

}  // namespace
}  // namespace llmopt_stream
