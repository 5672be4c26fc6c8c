#include "sink/pane_export.hpp"

#include <gtest/gtest.h>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

/// A table of one pane per key.
PaneTable panes_of(const std::vector<std::vector<KeyValue>>& keys) {
    PaneTable panes;
    panes.results.push_back({"count", ResultType::kInt64});
    panes.results.push_back({"p99", ResultType::kFloat64});
    for (std::size_t pane = 0; pane < keys.size(); ++pane) {
        std::string encoded;
        for (const KeyValue& value : keys[pane]) {
            key_encoding::append(encoded, value);
        }
        panes.append(encoded, {0, 10}, pane, pane == 0 ? PaneTiming::kOnTime : PaneTiming::kLate,
                     static_cast<std::uint32_t>(pane), false);
        panes.results[0].append(std::int64_t{7});
        panes.results[1].append_null();
    }
    return panes;
}

template <typename Data>
const Data& data_of(const TableColumns& columns, std::size_t column) {
    return std::get<Data>(columns.at(column).data);
}

TEST(PaneExport, ColumnsAreWindowKeysResultsAndPane) {
    const TableColumns columns = pane_columns(panes_of({{std::string("a")}, {std::monostate{}}}), {"model"});
    std::vector<std::string> names;
    for (const TableColumn& column : columns) {
        names.push_back(column.name);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"window_start", "window_end", "model", "count", "p99",
                                               "pane_timing", "pane_index"}));
    EXPECT_EQ(data_of<TableColumn::Timestamps>(columns, 1).values, (std::vector<Timestamp>{10, 10}));
    EXPECT_EQ(data_of<TableColumn::Texts>(columns, 2).bytes, "a");
    EXPECT_EQ(columns[2].valid, (std::vector<std::uint8_t>{1, 0}));
    EXPECT_EQ(data_of<TableColumn::Int64s>(columns, 3).values, (std::vector<std::int64_t>{7, 7}));
    EXPECT_EQ(columns[4].valid, (std::vector<std::uint8_t>{0, 0}));
    EXPECT_EQ(data_of<TableColumn::Texts>(columns, 5).bytes, "on_timelate");
}

TEST(PaneExport, KeyColumnHasTheTypeOfItsValues) {
    const auto column = [](std::vector<std::vector<KeyValue>> keys) {
        return pane_columns(panes_of(keys), {"k"})[2];
    };
    EXPECT_EQ(std::get<TableColumn::Bools>(column({{true}, {false}, {std::monostate{}}}).data).values,
              (std::vector<std::uint8_t>{1, 0, 0}));
    EXPECT_EQ(std::get<TableColumn::Int64s>(column({{std::int64_t{5}}, {std::monostate{}}}).data).values,
              (std::vector<std::int64_t>{5, 0}));
    EXPECT_EQ(std::get<TableColumn::Float64s>(column({{std::int64_t{5}}, {0.5}}).data).values,
              (std::vector<double>{5, 0.5}));
    EXPECT_EQ(
        std::get<TableColumn::Texts>(column({{std::int64_t{5}}, {std::string("x")}, {true}, {0.5}}).data)
            .bytes,
        "5xtrue0.5");
    EXPECT_EQ(std::get<TableColumn::Texts>(column({{std::numeric_limits<std::uint64_t>::max()}}).data).bytes,
              "18446744073709551615");
    EXPECT_EQ(column({{std::monostate{}}}).valid, (std::vector<std::uint8_t>{0}));
}

TEST(PaneTable, DecodeRestoresWhatEncodeWroteAndAppendJoins) {
    PaneTable panes = panes_of({{std::string("a")}, {std::int64_t{2}}});
    panes.append("b", {5, 15}, 9, PaneTiming::kEarly, 3, true, std::vector<Interval>{{5, 10}, {12, 15}});
    panes.results[0].append_null();
    panes.results[1].append(1.5);
    ByteWriter out;
    panes.encode(out);
    PaneTable restored = panes_of({});
    ByteReader in(out.bytes());
    restored.decode(in);
    EXPECT_EQ(in.remaining(), 0U);
    PaneTable twice = panes;
    twice.append(std::move(restored));
    ASSERT_EQ(twice.size(), 6U);
    EXPECT_EQ(twice.key(5), "b");
    EXPECT_EQ(twice.replaces_ends, (std::vector<std::uint64_t>{0, 0, 2, 2, 2, 4}));
    EXPECT_EQ(twice.replaces[3], (Interval{12, 15}));
    EXPECT_EQ(twice.results[1].float64[5], 1.5);
    EXPECT_STREQ(timing_name(twice.timing[5]), "early");
}

}  // namespace
}  // namespace llmopt_stream
