#include "source/feedback_generator.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <simdjson.h>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

FeedbackGeneratorSettings settings_of(std::uint64_t events, std::uint64_t seed = 42) {
    FeedbackGeneratorSettings settings;
    settings.seed = seed;
    settings.events = events;
    return settings;
}

FeedbackGeneratorSettings clean_settings(std::uint64_t events) {
    FeedbackGeneratorSettings settings = settings_of(events);
    settings.late_share = 0.0;
    settings.malformed_share = 0.0;
    return settings;
}

std::string everything(const FeedbackGeneratorSettings& settings) {
    FeedbackGenerator generator(settings);
    std::string out;
    while (generator.generate(out, 1 << 20) > 0) {
    }
    return out;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = text.find('\n', begin);
        lines.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return lines;
}

/// The part between `before` and the next `after`.
std::string_view between(std::string_view line, std::string_view before, std::string_view after) {
    const std::size_t begin = line.find(before) + before.size();
    return line.substr(begin, line.find(after, begin) - begin);
}

/// Microseconds since the begin of the month.
Timestamp time_of(std::string_view line) {
    const std::string text(between(line, "\"timestamp\":\"", "\""));
    const auto number = [&text](std::size_t begin, std::size_t size) {
        return std::stoll(text.substr(begin, size));
    };
    return (((number(8, 2) - 1) * 24 + number(11, 2)) * 60 + number(14, 2)) * 60'000'000 +
           number(17, 2) * 1'000'000 + number(20, 6);
}

/// `field` in its quotes.
double value_of(std::string_view line, std::string_view field) {
    return std::stod(std::string(between(line, field, ",").substr(1)));
}

void expect_refused(const FeedbackGeneratorSettings& settings, std::string_view message) {
    try {
        const FeedbackGenerator generator(settings);
        ADD_FAILURE() << "accepted, expected: " << message;
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
        EXPECT_EQ(std::string_view(error.what()).substr(0, message.size()), message);
    }
}

// A change here changes every demo and every recorded result.
TEST(FeedbackGenerator, TheEventsOfASeedNeverChange) {
    const std::string first = everything(settings_of(1));
    EXPECT_EQ(
        first,
        R"({"id":"evt-000000001","timestamp":"2026-01-01T00:00:00.010756Z","source":"gateway",)"
        R"("event_type":"completion","data":{"model":"claude-3-opus","latency_ms":17443.253,)"
        R"("prompt_tokens":425,"completion_tokens":581,"cost_usd":0.04995,"quality":null,"error":null},)"
        R"("metadata":{"tenant":"tenant-07","region":"eu-central-1"}})"
        "\n");
    std::uint64_t fnv1a = 0xcbf29ce484222325;
    for (const char c : everything(settings_of(100'000))) {
        fnv1a = (fnv1a ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    EXPECT_EQ(fnv1a, 9983950877354384552U);
}

TEST(FeedbackGenerator, TheSeedDeterminesEveryByte) {
    EXPECT_EQ(everything(settings_of(5'000, 7)), everything(settings_of(5'000, 7)));
    EXPECT_NE(everything(settings_of(5'000, 7)), everything(settings_of(5'000, 8)));
}

TEST(FeedbackGenerator, ChunkSizesDoNotChangeTheBytes) {
    const std::string whole = everything(settings_of(3'000));
    for (const std::size_t max_bytes : {std::size_t{1}, std::size_t{1'000}, std::size_t{65'536}}) {
        FeedbackGenerator generator(settings_of(3'000));
        std::string joined;
        std::string chunk;
        while (const std::size_t records = generator.generate(chunk, max_bytes)) {
            EXPECT_EQ(chunk.back(), '\n');
            EXPECT_TRUE(chunk.size() <= max_bytes || records == 1);
            joined += chunk;
            chunk.clear();
        }
        EXPECT_EQ(joined, whole);
    }
}

TEST(FeedbackGenerator, ChunksAreAppended) {
    FeedbackGenerator generator(settings_of(2));
    std::string out = "before\n";
    EXPECT_EQ(generator.generate(out, 10'000), 2U);
    EXPECT_EQ(out.substr(0, 15), "before\n{\"id\":\"e");
    EXPECT_EQ(generator.generate(out, 10'000), 0U);
}

TEST(FeedbackGenerator, WellFormedEventsHaveTheDocumentedShape) {
    simdjson::dom::parser parser;
    const std::vector<std::string> lines = lines_of(everything(clean_settings(5'000)));
    ASSERT_EQ(lines.size(), 5'000U);
    std::set<std::string> ids;
    for (const std::string& line : lines) {
        const simdjson::dom::object event = parser.parse(line).get_object().value();
        std::vector<std::string_view> fields;
        for (const auto field : event) {
            fields.push_back(field.key);
        }
        ASSERT_EQ(fields, (std::vector<std::string_view>{"id", "timestamp", "source", "event_type", "data",
                                                         "metadata"}));
        ids.emplace(event["id"].get_c_str().value());
        const simdjson::dom::object data = event["data"].get_object().value();
        EXPECT_EQ(data.size(), 7U);
        EXPECT_GT(data["latency_ms"].get_double().value(), 0.0);
        EXPECT_GE(data["prompt_tokens"].get_int64().value(), 1);
        EXPECT_GE(data["completion_tokens"].get_int64().value(), 0);
        EXPECT_GE(data["cost_usd"].get_double().value(), 0.0);
        double quality = 0.0;
        if (data["quality"].get(quality) == simdjson::SUCCESS) {
            EXPECT_TRUE(quality >= 0.0 && quality <= 1.0);
        } else {
            EXPECT_TRUE(data["quality"].is_null());
        }
        EXPECT_TRUE(data["error"].is_null() || data["error"].is_string());
        EXPECT_EQ(event["metadata"].get_object().value().size(), 2U);
    }
    EXPECT_EQ(ids.size(), 5'000U);
    EXPECT_EQ(*ids.begin(), "evt-000000001");
    EXPECT_EQ(*ids.rbegin(), "evt-000005000");
}

TEST(FeedbackGenerator, EventsWithinTheDisorderAreNeverBehindTheWatermark) {
    Timestamp latest = -10'000'000;
    Timestamp worst = 0;
    std::size_t out_of_order = 0;
    for (const std::string& line : lines_of(everything(clean_settings(100'000)))) {
        const Timestamp time = time_of(line);
        worst = std::max(worst, latest - time);
        out_of_order += time < latest ? 1 : 0;
        latest = std::max(latest, time);
    }
    EXPECT_LT(worst, 5'000'000);
    EXPECT_GT(worst, 2'000'000);
    EXPECT_GT(out_of_order, 50'000U);
}

TEST(FeedbackGenerator, WithoutDisorderEventsComeInTheOrderOfTheirTimes) {
    FeedbackGeneratorSettings settings = clean_settings(5'000);
    settings.max_disorder = 0;
    Timestamp latest = 0;
    for (const std::string& line : lines_of(everything(settings))) {
        EXPECT_GE(time_of(line), latest);
        latest = time_of(line);
    }
}

TEST(FeedbackGenerator, LateEventsArriveAfterTheDisorderAndAreCounted) {
    FeedbackGeneratorSettings settings = clean_settings(100'000);
    settings.late_share = 0.01;
    FeedbackGenerator generator(settings);
    std::string out;
    while (generator.generate(out, 1 << 20) > 0) {
    }
    Timestamp latest = 0;
    std::uint64_t behind = 0;
    for (const std::string& line : lines_of(out)) {
        const Timestamp time = time_of(line);
        behind += latest - time > 5'000'000 ? 1 : 0;
        EXPECT_LT(latest - time, 121'000'000);
        latest = std::max(latest, time);
    }
    EXPECT_NEAR(static_cast<double>(generator.counts().late), 1'000.0, 150.0);
    // Those sent in the last minutes arrive after the end of all traffic.
    EXPECT_LE(behind, generator.counts().late);
    EXPECT_GT(behind, generator.counts().late * 9 / 10);
}

TEST(FeedbackGenerator, DefectsTakeTurnsAndAreCounted) {
    FeedbackGeneratorSettings settings = settings_of(50'000);
    settings.malformed_share = 0.01;
    FeedbackGenerator generator(settings);
    std::string out;
    while (generator.generate(out, 1 << 20) > 0) {
    }
    std::array<std::uint64_t, kFeedbackDefects> found{};
    simdjson::dom::parser parser;
    for (const std::string& line : lines_of(out)) {
        simdjson::dom::element event;
        const auto count = [&found](FeedbackDefect defect) { ++found[static_cast<std::size_t>(defect)]; };
        const simdjson::error_code error = parser.parse(line).get(event);
        if (error == simdjson::UTF8_ERROR) {
            count(FeedbackDefect::kBadUtf8);
        } else if (error != simdjson::SUCCESS) {
            count(line.find("NaN") != std::string::npos && line.back() == '}' ? FeedbackDefect::kNanLiteral
                                                                              : FeedbackDefect::kTruncated);
        } else if (!event.is_object()) {
            count(FeedbackDefect::kNotAnObject);
        } else if (event["timestamp"].error() != simdjson::SUCCESS) {
            count(FeedbackDefect::kTimeMissing);
        } else if (line.find("yesterday") != std::string::npos) {
            count(FeedbackDefect::kTimeInvalid);
        }
    }
    EXPECT_EQ(found, generator.counts().malformed);
    const auto [fewest, most] = std::minmax_element(found.begin(), found.end());
    EXPECT_LE(*most - *fewest, 1U);
    EXPECT_GT(*fewest, 60U);
    EXPECT_EQ(generator.counts().records, 50'000U);
    EXPECT_EQ(generator.counts().bytes, out.size());
}

TEST(FeedbackGenerator, AMillionEventsSpanAboutHalfAnHour) {
    FeedbackGenerator generator(settings_of(1'000'000));
    std::string chunk;
    std::string last;
    while (generator.generate(chunk, 1 << 20) > 0) {
        last.swap(chunk);
        chunk.clear();
    }
    EXPECT_NEAR(static_cast<double>(time_of(lines_of(last).front())) / 60e6, 30.0, 3.0);
    EXPECT_NEAR(static_cast<double>(generator.counts().bytes) / 1e6, 310.0, 10.0);
    EXPECT_NEAR(static_cast<double>(generator.counts().late), 2'000.0, 250.0);
    EXPECT_NEAR(static_cast<double>(generator.counts().malformed[0]), 1'000.0 / 6.0, 30.0);
}

TEST(FeedbackGenerator, ModelsDifferInSpeedAndPriceAndTenantsInLoad) {
    std::map<std::string, std::vector<double>, std::less<>> latencies;
    std::map<std::string, double, std::less<>> costs;
    std::map<std::string, std::size_t, std::less<>> tenants;
    std::map<std::string, std::size_t, std::less<>> errors;
    for (const std::string& line : lines_of(everything(clean_settings(50'000)))) {
        const std::string model(between(line, "\"model\":\"", "\""));
        latencies[model].push_back(value_of(line, "\"latency_ms\""));
        costs[model] += value_of(line, "\"cost_usd\"");
        ++tenants[std::string(between(line, "\"tenant\":\"", "\""))];
        ++errors[std::string(between(line, "\"error\":", "}"))];
    }
    ASSERT_EQ(latencies.size(), 6U);
    const auto median = [&latencies](const char* model) {
        std::vector<double>& values = latencies[model];
        std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                         values.end());
        return values[values.size() / 2];
    };
    EXPECT_GT(median("claude-3-opus"), 3.0 * median("claude-3-haiku"));
    EXPECT_GT(costs["claude-3-opus"] / static_cast<double>(latencies["claude-3-opus"].size()),
              20.0 * costs["gpt-4o-mini"] / static_cast<double>(latencies["gpt-4o-mini"].size()));
    EXPECT_EQ(tenants.size(), 20U);
    EXPECT_GT(tenants["tenant-01"], 5 * tenants["tenant-20"]);
    EXPECT_EQ(errors.size(), 4U);
    EXPECT_NEAR(static_cast<double>(50'000 - errors["null"]), 500.0, 120.0);
}

TEST(FeedbackGenerator, NamesOfModelsAndRegionsAreTheUsers) {
    FeedbackGeneratorSettings settings = clean_settings(200);
    settings.traffic.models = {"our-model"};
    settings.traffic.regions = {"größe"};
    for (const std::string& line : lines_of(everything(settings))) {
        EXPECT_EQ(between(line, "\"model\":\"", "\""), "our-model");
        EXPECT_EQ(between(line, "\"region\":\"", "\""), "größe");
    }
}

TEST(FeedbackGenerator, OneRecordAndNoneAreStreamsToo) {
    EXPECT_EQ(everything(settings_of(0)), "");
    EXPECT_EQ(lines_of(everything(settings_of(1))).size(), 1U);
}

TEST(FeedbackGenerator, ExtremeSharesAndRatesStillWriteEveryRecord) {
    FeedbackGeneratorSettings settings = settings_of(2'000);
    settings.malformed_share = 1.0;
    EXPECT_EQ(lines_of(everything(settings)).size(), 2'000U);
    settings.malformed_share = 0.0;
    settings.late_share = 1.0;
    EXPECT_EQ(lines_of(everything(settings)).size(), 2'000U);
    settings.traffic.events_per_second = 1e6;
    EXPECT_EQ(lines_of(everything(settings)).size(), 2'000U);
    settings.traffic.events_per_second = 0.001;
    EXPECT_EQ(lines_of(everything(settings)).size(), 2'000U);
}

TEST(FeedbackGenerator, WrongSettingsAreRefusedByName) {
    FeedbackGeneratorSettings settings;
    settings.late_share = 1.5;
    expect_refused(settings, "late_share must be 0 to 1, got 1.5");
    settings = {};
    settings.malformed_share = std::nan("");
    expect_refused(settings, "malformed_share must be 0 to 1, got nan");
    settings = {};
    settings.max_disorder = -1;
    expect_refused(settings, "max_disorder must be 0 to 1 hour, got -1");
    settings = {};
    settings.traffic.events_per_second = -1.0;
    expect_refused(settings, "events_per_second must be 0.001 to 1000000, got -1");
    settings = {};
    settings.traffic.tenants = 0;
    expect_refused(settings, "tenants must be 1 to 10000, got 0");
    settings = {};
    settings.traffic.models = {};
    expect_refused(settings, "models must be 1 to 65535 names, got 0");
    settings = {};
    settings.traffic.regions = {"a\"b"};
    expect_refused(settings, "regions must be UTF-8 of 1 to 200 bytes");
    settings = {};
    settings.traffic.models = {"\xff"};
    expect_refused(settings, "models must be UTF-8 of 1 to 200 bytes");
    settings = {};
    settings.traffic.start = -1;
    expect_refused(settings, "start must lie in the years 1970 to 8999, got -1");
    settings = {};
    settings.events = 1'000'000'000'000'000;
    expect_refused(settings, "events must span at most 100 years");
}

TEST(FeedbackGenerator, AFileHoldsTheSameBytes) {
    const std::string path = testing::TempDir() + "feedback_generator_test.ndjson";
    FeedbackGenerator generator(settings_of(40'000));
    std::vector<std::uint64_t> heard;
    generator.write_file(path, [&heard](std::uint64_t records) { heard.push_back(records); });
    std::ifstream file(path, std::ios::binary);
    const std::string written{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(written, everything(settings_of(40'000)));
    EXPECT_GT(heard.size(), 1U);
    EXPECT_EQ(heard.back(), 40'000U);
    std::remove(path.c_str());
}

TEST(FeedbackGenerator, AFileThatCannotBeWrittenIsNamed) {
    try {
        FeedbackGenerator(settings_of(1)).write_file("/nowhere/at/all.ndjson");
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kPipeline);
        EXPECT_STREQ(error.what(), "cannot write /nowhere/at/all.ndjson: No such file or directory");
    }
}

}  // namespace
}  // namespace llmopt_stream
