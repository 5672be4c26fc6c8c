#include "sink/arrow_table.hpp"

#include <gtest/gtest.h>

#include "record/error.hpp"
#include "source/arrow_reader.hpp"

namespace llmopt_stream {
namespace {

TableColumn::Texts texts(std::initializer_list<const char*> values) {
    TableColumn::Texts out;
    for (const char* value : values) {
        out.append(value);
    }
    return out;
}

TableColumns columns_of_each_type() {
    return {{"window_start", TableColumn::Timestamps{{10, 20, 30}}, {}, false},
            {"count", TableColumn::Int64s{{1, 2, 3}}, {1, 0, 1}},
            {"sum", TableColumn::Float64s{{0.5, 1.5, 2.5}}, {}},
            {"is_last", TableColumn::Bools{{1, 0, 1}}, {1, 1, 0}},
            {"data.model", texts({"a", "", "ccc"}), {1, 0, 1}}};
}

TEST(ArrowTable, WhatIsExportedReadsBackTheSame) {
    ArrowArrayStream stream{};
    export_table(columns_of_each_type(), &stream);
    Schema schema;
    schema.time_path = "window_start";
    schema.key_paths = {"data.model", "is_last"};
    schema.values = {{"count"}, {"sum"}};
    ArrowReader reader(&stream, schema);
    EXPECT_EQ(reader.value_types(),
              (std::vector<std::optional<FieldType>>{FieldType::kInt64, FieldType::kFloat64}));
    RecordBatch batch;
    ASSERT_TRUE(reader.next(batch));
    ASSERT_EQ(batch.size, 3U);
    EXPECT_EQ((std::vector<Timestamp>{batch.event_time.begin(), batch.event_time.end()}),
              (std::vector<Timestamp>{10, 20, 30}));
    const auto key = [&](std::size_t row) { return key_encoding::decode(batch.keys->key(batch.key[row])); };
    EXPECT_EQ(key(0), (std::vector<KeyValue>{std::string("a"), true}));
    EXPECT_EQ(key(1), (std::vector<KeyValue>{std::monostate{}, false}));
    EXPECT_EQ(key(2), (std::vector<KeyValue>{std::string("ccc"), std::monostate{}}));
    EXPECT_EQ((std::vector<std::uint8_t>{batch.values[0].present.begin(), batch.values[0].present.end()}),
              (std::vector<std::uint8_t>{1, 0, 1}));
    EXPECT_EQ(batch.values[0].int64[2], 3);
    EXPECT_EQ(batch.values[1].float64[2], 2.5);
    EXPECT_FALSE(reader.next(batch));
}

TEST(ArrowTable, TheSchemaTellsTypesNamesAndNullability) {
    OwnedArrowStream stream;
    export_table(columns_of_each_type(), stream.receive());
    OwnedArrowSchema schema;
    ASSERT_EQ(stream->get_schema(stream.get(), schema.receive()), 0);
    ASSERT_EQ(schema->n_children, 5);
    EXPECT_STREQ(schema->format, "+s");
    const char* formats[] = {"tsu:UTC", "l", "g", "b", "u"};
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_STREQ(schema->children[i]->format, formats[i]);
        EXPECT_EQ(schema->children[i]->flags, i == 0 ? 0 : ARROW_FLAG_NULLABLE);
    }
    EXPECT_STREQ(schema->children[4]->name, "data.model");
}

TEST(ArrowTable, ChildrenOutliveStreamSchemaAndParent) {
    OwnedArrowArray text;
    OwnedArrowSchema field;
    {
        OwnedArrowStream stream;
        export_table(columns_of_each_type(), stream.receive());
        OwnedArrowSchema schema;
        OwnedArrowArray array;
        ASSERT_EQ(stream->get_schema(stream.get(), schema.receive()), 0);
        ASSERT_EQ(stream->get_next(stream.get(), array.receive()), 0);
        field = OwnedArrowSchema(schema->children[4]);
        text = OwnedArrowArray(array->children[4]);
        EXPECT_EQ(array->children[4]->release, nullptr);
    }
    EXPECT_STREQ(field->name, "data.model");
    EXPECT_EQ(text->length, 3);
    EXPECT_EQ(text->null_count, 1);
    EXPECT_EQ(static_cast<const std::uint8_t*>(text->buffers[0])[0], 0b101);
    EXPECT_EQ(static_cast<const std::int32_t*>(text->buffers[1])[3], 4);
    EXPECT_EQ(std::string_view(static_cast<const char*>(text->buffers[2]), 4), "accc");
}

TEST(ArrowTable, MovesTheDataInsteadOfCopyingIt) {
    TableColumns columns{{"x", TableColumn::Float64s{std::vector<double>(100, 1.0)}, {}}};
    const void* data = std::get<TableColumn::Float64s>(columns[0].data).values.data();
    OwnedArrowStream stream;
    export_table(std::move(columns), stream.receive());
    OwnedArrowArray array;
    ASSERT_EQ(stream->get_next(stream.get(), array.receive()), 0);
    EXPECT_EQ(array->children[0]->buffers[1], data);
    ASSERT_EQ(stream->get_next(stream.get(), array.receive()), 0);
    EXPECT_FALSE(array);
}

TEST(ArrowTable, ATableWithoutRowsStillHasItsSchema) {
    ArrowArrayStream stream{};
    export_table({{"ts", TableColumn::Timestamps{}, {}}, {"k", TableColumn::Texts{}, {}}}, &stream);
    Schema schema;
    schema.time_path = "ts";
    schema.key_paths = {"k"};
    ArrowReader reader(&stream, schema);
    RecordBatch batch;
    EXPECT_FALSE(reader.next(batch));
}

TEST(ArrowTable, RefusesColumnsOfDifferentLengthsAndNullsThatTheSchemaDenies) {
    ArrowArrayStream stream{};
    EXPECT_THROW(
        export_table({{"a", TableColumn::Int64s{{1, 2}}, {}}, {"b", TableColumn::Int64s{{1}}, {}}}, &stream),
        Error);
    EXPECT_THROW(export_table({{"a", TableColumn::Int64s{{1, 2}}, {1}}}, &stream), Error);
    EXPECT_THROW(export_table({{"a", TableColumn::Int64s{{1, 2}}, {1, 0}, false}}, &stream), Error);
    EXPECT_EQ(stream.release, nullptr);
}

}  // namespace
}  // namespace llmopt_stream
