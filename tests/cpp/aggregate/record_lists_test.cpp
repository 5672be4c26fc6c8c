#include "aggregate/record_lists.hpp"

#include <gtest/gtest.h>

#include <limits>
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

    /// "time#position first second; …"
    [[nodiscard]] std::string text(const std::byte* state) const {
        std::string text;
        for (const Record& record : records(state)) {
            text += (text.empty() ? "" : "; ") + std::to_string(record.time) + "#" +
                    std::to_string(record.position);
            for (const std::string_view label : record.labels) {
                text += " " + key_encoding::text_of(label);
            }
        }
        return text;
    }
};

const std::vector<std::size_t> kColumns{1, 0};

class State {
public:
    explicit State(const ShownLists& lists) : lists_(lists) { lists_.create(bytes()); }
    ~State() {
        lists_.destroy(bytes(), pool_);
        EXPECT_EQ(pool_.allocated_bytes(), 0U);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    /// A record at this time with these in its label columns.
    void add(Timestamp time, const KeyValue& first = {}, const KeyValue& second = {}) {
        const std::uint32_t only = 0;
        KeyDictionary labels[2];
        RecordBatch batch;
        batch.size = 1;
        batch.event_time = {&time, 1};
        for (std::size_t column = 0; column < 2; ++column) {
            std::string encoded;
            key_encoding::append(encoded, column == 0 ? first : second);
            labels[column].intern(encoded);
            batch.labels.push_back({{&only, 1}, &labels[column]});
        }
        batch.first_position = position++;
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
    static inline std::uint64_t position = 0;

public:
    static void begin_input() { position = 0; }
};

TEST(RecordLists, KeepsRecordsByTimeAndThoseOfOneTimeAsTheyCame) {
    State::begin_input();
    const ShownLists lists(kColumns, 10);
    State state(lists);
    EXPECT_EQ(state.text(), "");
    state.add(5, 1.5, "x");
    state.add(-3);
    state.add(5, std::int64_t{7}, true);
    EXPECT_EQ(state.text(), "-3#1 (null) (null); 5#0 ('x') (1.500000); 5#2 (true) (7)");
    EXPECT_EQ(state.count(), 3U);
}

TEST(RecordLists, MergedInAnyOrderTheyAreTheSame) {
    State::begin_input();
    const ShownLists lists({0}, 10);
    State first(lists);
    State second(lists);
    first.add(1, "a");
    second.add(1, "b");
    first.add(1, "c");
    State merged(lists);
    merged.merge(second);
    merged.merge(first);
    EXPECT_EQ(merged.text(), "1#0 ('a'); 1#1 ('b'); 1#2 ('c')");
    first.merge(second);
    EXPECT_EQ(first.text(), merged.text());
    EXPECT_EQ(second.text(), "1#1 ('b')");
}

TEST(RecordLists, BeyondTheLimitOnlyTheNumberIsKept) {
    const ShownLists lists(kColumns, 3);
    State state(lists);
    for (int record = 0; record < 3; ++record) {
        state.add(record, std::string(1'000, 'x'));
    }
    EXPECT_GE(state.memory(), 3'000U);
    EXPECT_NE(state.text(), "");
    State other(lists);
    other.add(9);
    other.merge(state);
    state.add(4);
    for (const State* over : {&state, &other}) {
        EXPECT_EQ(over->count(), 4U);
        EXPECT_EQ(over->text(), "");
        EXPECT_EQ(over->memory(), 0U);
    }
    state.add(4);
    EXPECT_EQ(state.count(), 5U);
    State restored(lists);
    restored.decode(state.encoded());
    EXPECT_EQ(restored.count(), 5U);
    EXPECT_EQ(restored.text(), "");
}

TEST(RecordLists, DecodeRestoresExactlyAndRefusesWhatIsNotWhole) {
    State::begin_input();
    const ShownLists lists(kColumns, 10);
    State state(lists);
    state.add(5, 0.1, "x");
    state.add(4, std::numeric_limits<std::int64_t>::min(), std::string(300, 'y'));
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

}  // namespace
}  // namespace llmopt_stream
