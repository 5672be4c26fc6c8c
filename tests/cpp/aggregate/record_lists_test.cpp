#include "aggregate/record_lists.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "record/error.hpp"
#include "record/key.hpp"
#include "record/key_dictionary.hpp"

namespace llmopt_stream {
namespace {

/// Shows what it keeps.
class ShownLists final : public RecordLists {
public:
    using RecordLists::count;
    using RecordLists::RecordLists;

    void make_result_columns(std::vector<ResultColumn>&) const override {}
    void append_results(const std::byte*, const Interval&, std::span<ResultColumn>) const override {}

    /// "time#position: value, value, 'label'; …"
    [[nodiscard]] std::string text(const std::byte* state) const {
        std::ostringstream out;
        for (const Record& record : records(state)) {
            out << (out.tellp() > 0 ? "; " : "") << record.time << '#' << record.position << ':';
            for (std::size_t value = 0; value < record.values.size(); ++value) {
                out << ' ';
                if (record.present[value] == 0) {
                    out << "none";
                } else if (fields().types[value] == FieldType::kInt64) {
                    out << static_cast<std::int64_t>(record.values[value]);
                } else {
                    out << std::bit_cast<double>(record.values[value]);
                }
            }
            for (const std::string_view label : record.labels) {
                const KeyValue decoded = key_encoding::decode(label).front();
                out << ' ' << (decoded.index() == 0 ? "null" : std::get<std::string>(decoded));
            }
        }
        return out.str();
    }
};

const RecordLists::Fields kFields{{0, 1}, {FieldType::kFloat64, FieldType::kInt64}, {0}};

class State {
public:
    explicit State(const ShownLists& lists) : lists_(lists) { lists_.create(bytes()); }
    ~State() {
        lists_.destroy(bytes(), pool_);
        EXPECT_EQ(pool_.allocated_bytes(), 0U);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    /// A record at this time; numbers that are not finite are none.
    void add(Timestamp time, double number, std::int64_t integer = 0, const std::string& label = "") {
        KeyDictionary labels;
        std::string encoded;
        if (label.empty()) {
            key_encoding::append_null(encoded);
        } else {
            key_encoding::append_text(encoded, label);
        }
        labels.intern(encoded);
        const std::uint32_t only = 0;
        const std::uint8_t present = integer != 0 ? 1 : 0;
        RecordBatch batch;
        batch.size = 1;
        batch.event_time = {&time, 1};
        batch.values = {{FieldType::kFloat64, {&number, 1}, {}, {}},
                        {FieldType::kInt64, {}, {&integer, 1}, {&present, 1}}};
        batch.labels = {{{&only, 1}, &labels}};
        batch.first_position = position_++;
        std::byte* const row = bytes();
        EXPECT_EQ(lists_.add({&row, 1}, 0, batch, 0, pool_), 0U);
    }
    void merge(const State& from) { lists_.merge(bytes(), from.bytes(), pool_); }
    [[nodiscard]] std::string encoded() const {
        ByteWriter out;
        lists_.encode(bytes(), out);
        return out.bytes();
    }
    void decode(const std::string& bytes_of) {
        ByteReader in(bytes_of);
        lists_.decode(bytes(), in, pool_);
    }
    [[nodiscard]] std::string text() const { return lists_.text(bytes()); }
    [[nodiscard]] std::uint64_t count() const { return lists_.count(bytes()); }
    [[nodiscard]] std::size_t memory() const { return pool_.allocated_bytes(); }

private:
    std::byte* bytes() { return reinterpret_cast<std::byte*>(words_); }
    [[nodiscard]] const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(words_); }

    const ShownLists& lists_;
    SizeClassPool pool_;
    std::uint64_t words_[4] = {};
    static inline std::uint64_t position_ = 0;

public:
    static void begin_input() { position_ = 0; }
};

TEST(RecordLists, KeepsRecordsByTimeAndThoseOfOneTimeAsTheyCame) {
    State::begin_input();
    const ShownLists lists(kFields, 10);
    State state(lists);
    EXPECT_EQ(state.text(), "");
    state.add(5, 1.5, 7, "x");
    state.add(-3, std::numeric_limits<double>::quiet_NaN(), 0);
    state.add(5, std::numeric_limits<double>::infinity(), -1, "longer");
    EXPECT_EQ(state.text(), "-3#1: none none null; 5#0: 1.5 7 x; 5#2: none -1 longer");
    EXPECT_EQ(state.count(), 3U);
}

TEST(RecordLists, MergedInAnyOrderTheyAreTheSame) {
    State::begin_input();
    const ShownLists lists(kFields, 10);
    State first(lists);
    State second(lists);
    first.add(1, 1, 1);
    second.add(1, 2, 2);
    first.add(1, 3, 3);
    State merged(lists);
    merged.merge(second);
    merged.merge(first);
    EXPECT_EQ(merged.text(), "1#0: 1 1 null; 1#1: 2 2 null; 1#2: 3 3 null");
    first.merge(second);
    EXPECT_EQ(first.text(), merged.text());
    EXPECT_EQ(second.text(), "1#1: 2 2 null");
}

TEST(RecordLists, BeyondTheLimitOnlyTheNumberIsKept) {
    const ShownLists lists(kFields, 3);
    State state(lists);
    for (int record = 0; record < 3; ++record) {
        state.add(record, 1, 1, std::string(1'000, 'x'));
    }
    EXPECT_GE(state.memory(), 3'000U);
    EXPECT_NE(state.text(), "");
    State other(lists);
    other.add(9, 1, 1);
    other.merge(state);
    state.add(4, 1, 1);
    for (const State* over : {&state, &other}) {
        EXPECT_EQ(over->count(), 4U);
        EXPECT_EQ(over->text(), "");
        EXPECT_EQ(over->memory(), 0U);
    }
    state.add(4, 1, 1);
    EXPECT_EQ(state.count(), 5U);
    State restored(lists);
    restored.decode(state.encoded());
    EXPECT_EQ(restored.count(), 5U);
    EXPECT_EQ(restored.text(), "");
}

TEST(RecordLists, DecodeRestoresExactlyAndRefusesWhatIsNotWhole) {
    State::begin_input();
    const ShownLists lists(kFields, 10);
    State state(lists);
    state.add(5, 0.1, 7, "x");
    state.add(4, -0.0, std::numeric_limits<std::int64_t>::min());
    const std::string encoded = state.encoded();
    State restored(lists);
    restored.decode(encoded);
    EXPECT_EQ(restored.text(), state.text());
    EXPECT_EQ(restored.encoded(), encoded);
    for (std::size_t size = 0; size < encoded.size(); ++size) {
        State cut(lists);
        EXPECT_THROW(cut.decode(encoded.substr(0, size)), Error) << size;
        EXPECT_EQ(cut.count(), 0U);
    }
    std::string wrong = encoded;
    wrong[0] = 3;  // the count
    State miscounted(lists);
    EXPECT_THROW(miscounted.decode(wrong), Error);
}

TEST(RecordLists, WithoutValuesTheBytesAreTheSameForEveryType) {
    std::string encoded[2];
    for (const FieldType type : {FieldType::kFloat64, FieldType::kInt64}) {
        State::begin_input();
        const ShownLists lists({{0, 1}, {FieldType::kFloat64, type}, {0}}, 10);
        State state(lists);
        state.add(1, 2.5);
        encoded[type == FieldType::kInt64 ? 1 : 0] = state.encoded();
    }
    EXPECT_EQ(encoded[0], encoded[1]);
}

}  // namespace
}  // namespace llmopt_stream
