#include "source/json_layouts.hpp"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "source/json_decoder.hpp"
#include "source/ndjson_reader.hpp"

namespace llmopt_stream {
namespace {

const std::string kEvent =
    R"({"id":"evt-1","timestamp":"2026-01-01T00:00:00.123456Z","source":"a text of more than sixteen bytes",)"
    R"("data":{"model":"gpt-4o","latency_ms":812.31,"tokens":512,"cost_usd":-1.5e-3,"tags":["a",{},[],)"
    R"({"b":[true,null,0]}],"error":null}, "metadata_of_an_extraordinarily_long_name" : {"region":"us"}})";

Schema reads_much() {
    Schema schema;
    schema.key_paths = {"data.model"};
    schema.values = {{"data.latency_ms"}, {"data.tokens", FieldType::kInt64}, {"data.error"}, {"data.tags"}};
    schema.labels = {"data.latency_ms", "data.error", "data.tags"};
    return schema;
}

/// Lines in memory as decode_expected() wants them, with nothing useful behind them.
class Lines {
public:
    explicit Lines(const std::string& lines)
        : bytes_(lines + std::string(kJsonPadding, '7')), size_(lines.size()) {}
    [[nodiscard]] std::string_view view() const { return std::string_view(bytes_).substr(0, size_); }

private:
    std::string bytes_;
    std::size_t size_;
};

/// A decoder that has seen some records.
class Experienced {
public:
    explicit Experienced(const std::vector<std::string>& records, const Schema& schema = reads_much())
        : decoder_(schema), builder_(schema) {
        for (const std::string& record : records) {
            const Lines line(record + "\n");
            if (decoder_.decode_expected(line.view(), builder_) == JsonDecoder::kUnexpected) {
                static_cast<void>(decoder_.decode(line.view().substr(0, record.size()), builder_));
            }
        }
        builder_.clear();
    }

    /// The bytes of the record at the start of the lines, if it was expected.
    std::optional<std::size_t> operator()(const std::string& lines) {
        const Lines padded(lines);
        const std::size_t bytes = decoder_.decode_expected(padded.view(), builder_);
        return bytes == JsonDecoder::kUnexpected ? std::nullopt : std::optional(bytes);
    }
    [[nodiscard]] BatchBuilder& builder() { return builder_; }

private:
    JsonDecoder decoder_;
    BatchBuilder builder_;
};

std::string replaced(std::string text, std::string_view what, std::string_view with) {
    return text.replace(text.find(what), what.size(), with);
}

TEST(JsonLayouts, NothingIsExpectedAtFirst) {
    Experienced decode({});
    EXPECT_EQ(decode(kEvent + "\n"), std::nullopt);
    EXPECT_EQ(decode.builder().input_records(), 0U);
}

TEST(JsonLayouts, ARecordWithOtherScalarsIsExpected) {
    Experienced decode({kEvent});
    std::string other = replaced(kEvent, "\"evt-1\"", "null");
    other = replaced(other, "812.31", "7");
    other = replaced(other, "gpt-4o", "another model \xC3\xBC");
    other = replaced(other, "512", "-3");
    other = replaced(other, "more than sixteen", R"(\"escapes\" \\ \u00e4)");
    EXPECT_EQ(decode(other + "\nfollowed by anything\n"), other.size());
    EXPECT_EQ(decode(other + "\r\n"), other.size());
    const RecordBatch batch = decode.builder().batch();
    ASSERT_EQ(batch.size, 2U);
    EXPECT_EQ(batch.event_time[1], 1767225600123456);
    EXPECT_EQ(key_encoding::decode(batch.keys->key(batch.key[1])),
              std::vector<KeyValue>{std::string("another model \xC3\xBC")});
    EXPECT_EQ(batch.values[0].float64[1], 7.0);
    EXPECT_EQ(batch.values[1].int64[1], -3);
}

TEST(JsonLayouts, OtherNamesStructureOrSpacingAreNot) {
    Experienced decode({kEvent});
    for (const std::string& record : {
             replaced(kEvent, "latency_ms", "latency_mz"),
             replaced(kEvent, "long_name", "long_nome"),
             replaced(kEvent, "\"id\":", "\"id\": "),
             replaced(kEvent, "512", "{}"),
             replaced(kEvent, "512", "[]"),
             replaced(kEvent, ",\"error\":null", ""),
             replaced(kEvent, "[],", "[1],"),
             kEvent + " ",
             kEvent + "\r",
             kEvent + "\r\r",
             kEvent + "}",
             " " + kEvent,
         }) {
        EXPECT_EQ(decode(record + (record.ends_with('\r') ? "x\n" : "\n")), std::nullopt) << record;
    }
}

TEST(JsonLayouts, BrokenScalarsAreNotExpected) {
    for (const char* scalar : {"",
                               "01",
                               "1.",
                               ".5",
                               "-",
                               "+1",
                               "1e",
                               "nul",
                               "nulll",
                               "True",
                               "\"",
                               "\"a",
                               "\"\\x\"",
                               "\"\\ud800\"",
                               "\"\\",
                               "\"\\\"",
                               "\"\t\"",
                               "\"\x80\"",
                               "\"\xC3\"",
                               "\"a\"b\"",
                               "1 2",
                               "\"sixteen bytes...\x1F\"",
                               "\"sixteen bytes..\\",
                               "\"sixteen bytes...\xED\xA0\x80\""}) {
        // After more misses than these a decoder stops to compare for a while.
        Experienced decode({kEvent});
        EXPECT_EQ(decode(replaced(kEvent, "\"evt-1\"", scalar) + "\n"), std::nullopt) << scalar;
        EXPECT_EQ(decode(replaced(kEvent, "0]", std::string(scalar) + "]") + "\n"), std::nullopt) << scalar;
        EXPECT_EQ(decode.builder().input_records(), 0U);
        EXPECT_EQ(decode(kEvent + "\n"), kEvent.size());
    }
}

TEST(JsonLayouts, AnUnusableFieldRejectsAnExpectedRecord) {
    Experienced decode({kEvent});
    EXPECT_TRUE(decode(replaced(kEvent, "2026-01-01", "2026-13-01") + "\n"));
    EXPECT_TRUE(decode(replaced(kEvent, "\"2026-01-01T00:00:00.123456Z\"", "null") + "\n"));
    EXPECT_EQ(decode.builder().malformed()[static_cast<std::size_t>(Malformed::kTimeInvalid)], 1U);
    EXPECT_EQ(decode.builder().malformed()[static_cast<std::size_t>(Malformed::kTimeMissing)], 1U);
    EXPECT_EQ(decode.builder().batch().size, 0U);
}

TEST(JsonLayouts, SeveralLayoutsAreExpectedInAnyOrder) {
    const std::string without_error = replaced(kEvent, ",\"error\":null", "");
    const std::string other_name = replaced(kEvent, "tokens", "tokins");
    Experienced decode({kEvent, without_error, other_name});
    for (const std::string& record : {other_name, kEvent, without_error, kEvent, other_name}) {
        EXPECT_EQ(decode(record + "\n"), record.size()) << record;
    }
}

TEST(JsonLayouts, TextsOfEveryLengthAreRead) {
    const std::string start = R"({"timestamp":"2026-01-01","data":{"model":")";
    Experienced decode({start + "\"}}"});
    for (std::size_t size = 0; size < 70; ++size) {
        const std::string text(size, 'x');
        decode.builder().clear();
        ASSERT_EQ(decode(start + text + "\"}}\n"), start.size() + size + 3);
        const RecordBatch batch = decode.builder().batch();
        EXPECT_EQ(key_encoding::decode(batch.keys->key(batch.key[0])), std::vector<KeyValue>{text});
    }
}

TEST(JsonLayouts, ARecordBeyondTheLimitIsNotExpected) {
    const Schema schema = reads_much();
    JsonDecoder decoder(schema, kEvent.size());
    BatchBuilder builder(schema);
    const Lines line(kEvent + "\n");
    ASSERT_EQ(decoder.decode_expected(line.view(), builder), JsonDecoder::kUnexpected);
    ASSERT_EQ(decoder.decode(line.view().substr(0, kEvent.size()), builder), Malformed::kNone);
    EXPECT_EQ(decoder.decode_expected(line.view(), builder), kEvent.size());
    const Lines longer(replaced(kEvent, "evt-1", "evt-12") + "\n");
    EXPECT_EQ(decoder.decode_expected(longer.view(), builder), JsonDecoder::kUnexpected);
}

TEST(JsonLayouts, MoreLayoutsThanAreKeptAreStillDecoded) {
    std::string lines;
    for (int i = 0; i < 3000; ++i) {
        lines += R"({"timestamp":"2026-01-01",)" + std::string(static_cast<std::size_t>(i % 97), ' ') +
                 "\"x" + std::to_string(i * 7919 % 1000) + "\":" + std::to_string(i) + "}\n";
    }
    Schema schema;
    schema.values = {{"x7"}};
    NdjsonReader reader(std::make_unique<MemoryByteStream>(lines));
    JsonDecoder decoder(schema);
    BatchBuilder builder(schema);
    std::size_t records = 0;
    double sum = 0;
    while (reader.next(decoder, builder)) {
        const RecordBatch batch = builder.batch();
        records += batch.size;
        for (const double value : batch.values[0].float64) {
            sum += value == value ? value : 0;
        }
    }
    EXPECT_EQ(records, 3000U);
    // i * 7919 % 1000 == 7 for i = 753, 1753, 2753.
    EXPECT_EQ(sum, 753 + 1753 + 2753);
}

/// What becomes of lines, record by record.
struct Outcome {
    std::vector<std::uint32_t> accepted;
    std::array<std::uint64_t, kMalformedKinds> malformed{};
    std::vector<Timestamp> times;
    std::vector<std::string> keys;
    std::vector<double> latencies;
    std::vector<std::int64_t> tokens;
    std::vector<std::string> labels;
    bool operator==(const Outcome&) const = default;
};

Outcome outcome(const BatchBuilder& builder) {
    const RecordBatch batch = builder.batch();
    Outcome outcome;
    outcome.malformed = builder.malformed();
    for (std::size_t i = 0; i < batch.size; ++i) {
        outcome.accepted.push_back(batch.input_index.empty() ? static_cast<std::uint32_t>(i)
                                                             : batch.input_index[i]);
        outcome.times.push_back(batch.event_time[i]);
        outcome.keys.emplace_back(batch.keys->key(batch.key[i]));
        const double latency = batch.values[0].float64[i];
        outcome.latencies.push_back(latency == latency ? latency : -1);
        outcome.tokens.push_back(batch.values[1].int64[i]);
        for (const LabelColumn& label : batch.labels) {
            outcome.labels.emplace_back(label.values->key(label.code[i]));
        }
    }
    return outcome;
}

TEST(JsonLayouts, MutatedRecordsFareAsWithoutLayouts) {
    std::mt19937 random(20260101);
    const auto below = [&](std::size_t end) { return random() % end; };
    const std::string alphabet = "{}[]:,\"\\ \t\r0123456789.-+eEtrufalsn\x01\x1F\x7F\x80\xC3\xA4\xE2\xFFZT";
    const Schema schema = reads_much();
    for (int round = 0; round < 150; ++round) {
        std::string lines;
        for (int i = 0; i < 60; ++i) {
            std::string record = kEvent;
            // Else the decoder soon stops to compare.
            for (std::size_t n = below(3) == 0 ? 1 + below(2) : 0; n > 0; --n) {
                const std::size_t at = below(record.size());
                switch (below(4)) {
                    case 0: record[at] = alphabet[below(alphabet.size())]; break;
                    case 1: record.insert(at, 1, alphabet[below(alphabet.size())]); break;
                    case 2: record.erase(at, 1 + below(3)); break;
                    default: record.insert(at, record.substr(below(record.size()), below(20))); break;
                }
            }
            lines += record + (below(5) == 0 ? "\r\n" : "\n");
        }
        const Lines padded(lines);

        JsonDecoder with_layouts(schema);
        BatchBuilder chunk(schema);
        NdjsonReader reader(std::make_unique<MemoryByteStream>(lines));
        ASSERT_TRUE(reader.next(with_layouts, chunk));

        JsonDecoder line_by_line(schema);
        BatchBuilder reference(schema);
        for (std::string_view rest = padded.view(); !rest.empty();) {
            std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(line.size() + 1);
            line.remove_suffix(line.ends_with('\r') ? 1 : 0);
            static_cast<void>(line_by_line.decode(line, reference));
        }
        ASSERT_TRUE(outcome(chunk) == outcome(reference)) << lines;
    }
}

}  // namespace
}  // namespace llmopt_stream
