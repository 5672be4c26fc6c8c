#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "source/json_decoder.hpp"

namespace llmopt_stream {
namespace {

const std::string kEvent =
    R"({"id":"evt-1","timestamp":"2026-01-01T00:00:00.123456Z","event_type":"c\u00f6m\"p","data":{"model":"gpt-4o",)"
    R"("latency_ms":812.31,"prompt_tokens":512,"cost_usd":-1.5e-3,"tags":["a",{},[],{"b":[true,false,null,0]}],)"
    "\"error\":null}, \"name\":\"M\xC3\xBCller \xE2\x82\xAC \xF0\x9F\x98\x80\", "
    "\"metadata\":{\"region\":\"us\"}}";

Schema reads_nothing_else() { return {}; }

Schema reads_much() {
    Schema schema;
    schema.key_paths = {"data.model", "metadata.region", "name", "event_type"};
    schema.values = {
        {"data.latency_ms"}, {"data.prompt_tokens", FieldType::kInt64}, {"data.cost_usd"}, {"data.tags"}};
    return schema;
}

Malformed verdict(std::string_view record, const Schema& schema = reads_nothing_else()) {
    JsonDecoder decoder(schema);
    BatchBuilder builder(schema);
    return decoder.decode_unpadded(record, builder);
}

std::string nested(std::size_t arrays) {
    return R"({"timestamp":"2026-01-01","x":)" + std::string(arrays, '[') + std::string(arrays, ']') + "}";
}

TEST(JsonStrictness, EveryProperPrefixOfARecordIsMalformed) {
    ASSERT_EQ(verdict(kEvent), Malformed::kNone);
    ASSERT_EQ(verdict(kEvent, reads_much()), Malformed::kNone);
    for (std::size_t size = 0; size < kEvent.size(); ++size) {
        const Malformed without_fields = verdict(kEvent.substr(0, size));
        EXPECT_TRUE(without_fields == Malformed::kSyntax || without_fields == Malformed::kBadUtf8) << size;
        EXPECT_EQ(verdict(kEvent.substr(0, size), reads_much()), without_fields) << size;
    }
}

TEST(JsonStrictness, WhatFollowsInMemoryDoesNotCompleteARecord) {
    const Schema schema = reads_much();
    JsonDecoder decoder(schema);
    BatchBuilder builder(schema);
    const std::string bytes = kEvent + std::string(kJsonPadding, '}');
    for (std::size_t size = 1; size < kEvent.size(); ++size) {
        EXPECT_NE(decoder.decode(std::string_view(bytes).substr(0, size), builder), Malformed::kNone) << size;
    }
}

TEST(JsonStrictness, ADocumentThatIsNoObjectIsNamedSo) {
    for (const char* document :
         {"1", "-1.5", "\"text\"", "\"\\n\"", "true", "false", "null", "[]", "[1,{\"a\":[]}]", " 7 "}) {
        EXPECT_EQ(verdict(document), Malformed::kNotAnObject) << document;
    }
}

TEST(JsonStrictness, WhatIsNoJsonIsASyntaxError) {
    for (const char* text : {"",
                             " ",
                             "x",
                             "nul",
                             "01",
                             "1 2",
                             "\"",
                             "\"a",
                             "\"\\x\"",
                             "\"a\" \"b\"",
                             "[",
                             "]",
                             "[1",
                             "[1,]",
                             "[,1]",
                             "[1 2]",
                             "[1}",
                             "{",
                             "}",
                             "{}}",
                             "{{}}",
                             "{} {}",
                             "{}x",
                             "{},",
                             "[][]",
                             "{]",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\" 1}",
                             "{\"a\"::1}",
                             "{:1}",
                             "{1:1}",
                             "{a:1}",
                             "{'a':1}",
                             "{null:1}",
                             "{\"a\":1,}",
                             "{,}",
                             "{,\"a\":1}",
                             "{\"a\":1 \"b\":2}",
                             "{\"a\":1,,\"b\":2}",
                             "{\"a\":1:2}",
                             "{\"a\":[}",
                             "{\"a\":{]}",
                             "{\"a\":[1}}",
                             "{\"a\":{\"b\":1]}",
                             "{\"a\":\"b\"c}",
                             "{\"a\":\"b\"\"c\"}",
                             "{\"a\":1\"b\"}",
                             "{\"a\"\"b\":1}",
                             "{\"a\"b:1}",
                             "{\"a\":tru}",
                             "{\"a\":truefalse}",
                             "{\"a\":NaN}",
                             "{\"a\":Infinity}",
                             "{\"a\":-Infinity}",
                             "{\"a\":01}",
                             "{\"a\":+1}",
                             "{\"a\":1.}",
                             "{\"a\":.5}",
                             "{\"a\":1e}",
                             "{\"a\":0x1}",
                             "{\"a\":\"\\\"}",
                             "{\"a\":\"\\q\"}",
                             "{\"a\":\"\\u12g4\"}",
                             "{\"a\":\"\\ud800\"}",
                             "{\"a\":\"\\udc00\"}",
                             "{\"\\ud800\":1}",
                             "{\"a\":\\\"b\"}",
                             "{\"a\":1}\x0C",
                             "{\"a\":\x1A 1}",
                             "{\"a\":1/**/}",
                             "{\"a\":\"\t\"}",
                             "{\"a\":\"\n\"}",
                             "{\"a\":\"\x01\"}",
                             "{\"\x1F\":1}",
                             "{\"a\":\v1}",
                             "\xEF\xBB\xBF{}"}) {
        EXPECT_EQ(verdict(text), Malformed::kSyntax) << text;
        EXPECT_EQ(verdict(text, reads_much()), Malformed::kSyntax) << text;
    }
    EXPECT_EQ(verdict(std::string_view("{\"a\":\"\0\"}", 9)), Malformed::kSyntax);
    EXPECT_EQ(verdict(std::string_view("{\"a\":1\0}", 8)), Malformed::kSyntax);
    EXPECT_EQ(verdict(std::string_view("{}\0", 3)), Malformed::kSyntax);
}

TEST(JsonStrictness, UnreadNumbersMayBeOfAnySize) {
    EXPECT_EQ(verdict(R"({"timestamp":"2026-01-01","a":[1e999,-0,123456789012345678901234567890,1E-999]})"),
              Malformed::kNone);
}

TEST(JsonStrictness, InvalidUtf8IsNamedSo) {
    for (const char* bytes : {"\xFF", "\x80", "\xC3", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE2\x82",
                              "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                              "\xF5\x80\x80\x80", "\xF8\x88\x80\x80\x80"}) {
        const std::string text(bytes);
        EXPECT_EQ(verdict(R"({"timestamp":"2026-01-01","x":")" + text + "\"}"), Malformed::kBadUtf8);
        EXPECT_EQ(verdict(R"({"timestamp":"2026-01-01","a)" + text + "b\":1}"), Malformed::kBadUtf8);
        EXPECT_EQ(verdict(R"({"timestamp":"2026-01-01","data":{"model":"a)" + text + "b\"}}", reads_much()),
                  Malformed::kBadUtf8);
    }
}

TEST(JsonStrictness, ContainersNestThirtyTwoDeep) {
    EXPECT_EQ(verdict(nested(31)), Malformed::kNone);
    EXPECT_EQ(verdict(nested(32)), Malformed::kTooDeep);
    EXPECT_EQ(verdict(nested(100'000)), Malformed::kTooDeep);
    EXPECT_EQ(verdict(std::string(32, '[') + std::string(32, ']')), Malformed::kNotAnObject);
    EXPECT_EQ(verdict(std::string(33, '[') + std::string(33, ']')), Malformed::kTooDeep);

    std::string objects = "1";
    for (int depth = 1; depth <= 31; ++depth) {
        objects = "{\"a\":" + objects + "}";
    }
    EXPECT_EQ(verdict(R"({"timestamp":"2026-01-01","a":)" + objects + "}"), Malformed::kNone);
    EXPECT_EQ(verdict(R"({"timestamp":"2026-01-01","a":{"a":)" + objects + "}}"), Malformed::kTooDeep);
}

TEST(JsonStrictness, DeepNestingThatNeverEndsIsMalformed) {
    std::string objects;
    for (int depth = 0; depth < 100'000; ++depth) {
        objects += "{\"a\":";
    }
    EXPECT_EQ(verdict(objects), Malformed::kSyntax);
    EXPECT_EQ(verdict(std::string(100'000, '[')), Malformed::kSyntax);
    EXPECT_EQ(verdict(std::string(100'000, '{')), Malformed::kSyntax);
    EXPECT_EQ(verdict(std::string(100'000, '{') + "}"), Malformed::kSyntax);
}

/// RFC 8259 by recursive descent, one character at a time: the reference of the tests below.
class NaiveJson {
public:
    static bool is_valid(std::string_view text) {
        NaiveJson json(text);
        return json.value() && (json.white_space(), json.text_.empty());
    }

private:
    explicit NaiveJson(std::string_view text) : text_(text) {}

    void white_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t\n\r"), text_.size())); }
    bool take(std::string_view expected) {
        const bool found = text_.starts_with(expected);
        text_.remove_prefix(found ? expected.size() : 0);
        return found;
    }
    bool digits() {
        const std::size_t count = std::min(text_.find_first_not_of("0123456789"), text_.size());
        text_.remove_prefix(count);
        return count != 0;
    }
    bool value() {
        white_space();
        if (take("{")) {
            return members();
        }
        if (take("[")) {
            white_space();
            if (take("]")) {
                return true;
            }
            do {
                if (!value()) {
                    return false;
                }
                white_space();
            } while (take(","));
            return take("]");
        }
        return text_.starts_with("\"") ? string() : take("true") || take("false") || take("null") || number();
    }
    bool members() {
        white_space();
        if (take("}")) {
            return true;
        }
        do {
            white_space();
            if (!string() || (white_space(), !take(":")) || !value()) {
                return false;
            }
            white_space();
        } while (take(","));
        return take("}");
    }
    bool number() {
        take("-");
        if (!take("0") && !digits()) {
            return false;
        }
        if (take(".") && !digits()) {
            return false;
        }
        if (take("e") || take("E")) {
            take("+") || take("-");
            return digits();
        }
        return true;
    }
    bool string() {
        if (!take("\"")) {
            return false;
        }
        while (!text_.empty() && !text_.starts_with("\"")) {
            if (static_cast<unsigned char>(text_.front()) < 0x20) {
                return false;
            }
            if (text_.front() != '\\') {
                text_.remove_prefix(1);
            } else if (!escape()) {
                return false;
            }
        }
        return take("\"");
    }
    bool escape() {
        unsigned first = 0;
        if (!take("\\u")) {
            const bool known =
                text_.size() >= 2 && std::string_view("\"\\/bfnrt").find(text_[1]) != std::string_view::npos;
            text_.remove_prefix(known ? 2 : 0);
            return known;
        }
        unsigned second = 0;
        if (!code_unit(first)) {
            return false;
        }
        if (first < 0xD800 || first > 0xDFFF) {
            return true;
        }
        return first < 0xDC00 && take("\\u") && code_unit(second) && second >= 0xDC00 && second <= 0xDFFF;
    }
    bool code_unit(unsigned& unit) {
        const std::string hex(text_.substr(0, 4));
        if (hex.size() != 4 || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
            return false;
        }
        unit = static_cast<unsigned>(std::stoul(hex, nullptr, 16));
        text_.remove_prefix(4);
        return true;
    }

    std::string_view text_;
};

std::string mutated(std::mt19937_64& random) {
    static constexpr std::string_view kBytes =
        "{}[]:,\"\\ \n\t0123456789-+.eEtrufalsn\x01\x0C\x1A\x7F\x80\xC3\xE2\xFF";
    static const std::vector<std::string> kPieces = {"null",    "1e5",     "\"\"", "[]",      "{}",
                                                     "\\u0041", "\\ud800", "\\n",  ",\"a\":1"};
    std::string record = kEvent;
    for (std::uint64_t changes = 1 + random() % 3; changes > 0 && !record.empty(); --changes) {
        const std::size_t at = random() % record.size();
        const char byte = random() % 8 == 0 ? static_cast<char>(random()) : kBytes[random() % kBytes.size()];
        switch (random() % 6) {
            case 0: record[at] = byte; break;
            case 1: record.insert(at, 1, byte); break;
            case 2: record.erase(at, 1 + random() % 4); break;
            case 3: record.insert(at, kPieces[random() % kPieces.size()]); break;
            case 4: record[at] = static_cast<char>(record[at] ^ (1 << random() % 8)); break;
            default: record.insert(at, record.substr(random() % record.size(), random() % 24)); break;
        }
    }
    return record;
}

bool is_broken(Malformed verdict) {
    return verdict == Malformed::kSyntax || verdict == Malformed::kBadUtf8 || verdict == Malformed::kTooDeep;
}

class MutatedRecords : public testing::TestWithParam<const simdjson::implementation*> {
protected:
    MutatedRecords() { simdjson::get_active_implementation() = GetParam(); }
    ~MutatedRecords() override { simdjson::get_active_implementation() = best_; }

private:
    const simdjson::implementation* const best_ = simdjson::get_active_implementation();
};

TEST_P(MutatedRecords, AreBrokenExactlyWhenTheyAreNoJsonWhateverIsRead) {
    std::mt19937_64 random(8259);
    const Schema few = reads_nothing_else();
    const Schema many = reads_much();
    JsonDecoder reads_few(few);
    JsonDecoder reads_many(many);
    BatchBuilder few_builder(few);
    BatchBuilder many_builder(many);
    simdjson::dom::parser dom;
    int intact = 0;
    for (int i = 0; i < 60'000; ++i) {
        const std::string record = mutated(random);
        few_builder.clear();
        many_builder.clear();
        const Malformed verdict = reads_few.decode_unpadded(record, few_builder);
        const Malformed verdict_of_many = reads_many.decode_unpadded(record, many_builder);
        const bool is_json = NaiveJson::is_valid(record) && simdjson::validate_utf8(record);
        ASSERT_EQ(is_broken(verdict), !is_json) << record;
        ASSERT_EQ(is_broken(verdict_of_many), !is_json) << record;
        if (!is_json) {
            ASSERT_EQ(verdict_of_many, verdict) << record;
        }
        intact += is_json ? 1 : 0;

        simdjson::dom::element document;
        const simdjson::error_code error = dom.parse(record).get(document);
        // DOM refuses numbers that no double or integer can hold.
        if (error != simdjson::NUMBER_ERROR) {
            ASSERT_EQ(is_broken(verdict), error != simdjson::SUCCESS) << record;
        }
        if (error == simdjson::SUCCESS) {
            ASSERT_EQ(verdict == Malformed::kNotAnObject, !document.is_object()) << record;
        }
    }
    // Otherwise the loop would compare refusals only.
    EXPECT_GT(intact, 5'000);
}

std::vector<const simdjson::implementation*> supported_implementations() {
    std::vector<const simdjson::implementation*> supported;
    for (const simdjson::implementation* implementation : simdjson::get_available_implementations()) {
        if (implementation->supported_by_runtime_system()) {
            supported.push_back(implementation);
        }
    }
    return supported;
}

INSTANTIATE_TEST_SUITE_P(JsonStrictness, MutatedRecords, testing::ValuesIn(supported_implementations()),
                         [](const auto& info) { return info.param->name(); });

}  // namespace
}  // namespace llmopt_stream
