#include "source/ndjson_reader.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

constexpr std::size_t kLimit = 64;

Schema microseconds() {
    Schema schema;
    schema.time_path = "t";
    schema.time_unit = TimeUnit::kMicrosecond;
    return schema;
}

std::string event(int time) { return "{\"t\":" + std::to_string(time) + "}"; }

/// What a reader makes of an input, batches joined.
struct Records {
    std::vector<Timestamp> times;
    /// The bytes of all input records.
    std::vector<std::string> originals;
    std::array<std::uint64_t, kMalformedKinds> malformed{};
    std::size_t batches = 0;

    bool operator==(const Records& other) const {
        return times == other.times && originals == other.originals && malformed == other.malformed;
    }
    [[nodiscard]] std::uint64_t count(Malformed why) const {
        return malformed[static_cast<std::size_t>(why)];
    }
};

void append_batch(const NdjsonChunk* chunk, const NdjsonReader* reader, const BatchBuilder& builder,
                  Records& records) {
    const RecordBatch batch = builder.batch();
    ASSERT_GT(batch.input_records, 0U);
    ASSERT_LE(batch.input_records, NdjsonChunk::kMaxBatchRecords);
    records.times.insert(records.times.end(), batch.event_time.begin(), batch.event_time.end());
    for (std::size_t i = 0; i < batch.input_records; ++i) {
        records.originals.emplace_back(chunk != nullptr ? chunk->record(i) : reader->record(i));
    }
    for (std::size_t kind = 0; kind < kMalformedKinds; ++kind) {
        records.malformed[kind] += builder.malformed()[kind];
    }
    ++records.batches;
}

Records read_all(NdjsonReader& reader, std::size_t limit = kMaxRecordBytes) {
    JsonDecoder decoder(microseconds(), limit);
    BatchBuilder builder(microseconds());
    reader.set_keep_records(true);
    Records records;
    while (reader.next(decoder, builder)) {
        append_batch(nullptr, &reader, builder, records);
    }
    EXPECT_EQ(builder.batch().input_records, 0U);
    EXPECT_FALSE(reader.next(decoder, builder));
    return records;
}

Records read_memory(std::string_view bytes, std::size_t chunk_bytes = NdjsonReader::kDefaultChunkBytes,
                    std::size_t limit = kMaxRecordBytes) {
    NdjsonReader reader(std::make_unique<MemoryByteStream>(bytes), chunk_bytes, limit);
    return read_all(reader, limit);
}

class TemporaryFile {
public:
    explicit TemporaryFile(std::string_view bytes)
        : path_(std::filesystem::temp_directory_path() /
                ("ndjson_reader_test_" + std::to_string(getpid()) + ".ndjson")) {
        std::ofstream(path_, std::ios::binary) << bytes;
    }
    ~TemporaryFile() { std::filesystem::remove(path_); }
    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

TEST(NdjsonReader, ReadsAFile) {
    const std::string bytes = event(1) + "\n" + event(2) + "\n";
    const TemporaryFile file(bytes);
    NdjsonReader reader(file.path());
    EXPECT_EQ(reader.total_bytes(), bytes.size());
    EXPECT_EQ(reader.bytes_read(), 0U);
    EXPECT_EQ(read_all(reader).times, (std::vector<Timestamp>{1, 2}));
    EXPECT_EQ(reader.bytes_read(), bytes.size());
}

TEST(NdjsonReader, AnEmptyFileHasNoRecords) {
    const TemporaryFile file("");
    NdjsonReader reader(file.path());
    EXPECT_EQ(read_all(reader).batches, 0U);
    EXPECT_EQ(reader.total_bytes(), 0U);
}

void expect_refusal(const std::string& path, const std::string& reason) {
    try {
        NdjsonReader reader(path);
        FAIL() << path << " was opened";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
        EXPECT_EQ(error.what(), "FileSource: path '" + path + "': " + reason);
    }
}

TEST(NdjsonReader, WhatCannotBeOpenedIsAConfigurationError) {
    expect_refusal("/nonexistent/events.ndjson", "No such file or directory");
    expect_refusal("", "No such file or directory");
    expect_refusal("/", "Is a directory");
}

TEST(NdjsonReader, BlankLinesAndAByteOrderMarkAreNoRecords) {
    const Records records =
        read_memory("\xEF\xBB\xBF" + event(1) + "\r\n\n   \n\t\r\n" + event(2) + "\n\r\n" + event(3));
    EXPECT_EQ(records.times, (std::vector<Timestamp>{1, 2, 3}));
    EXPECT_EQ(records.originals, (std::vector<std::string>{event(1), event(2), event(3)}));
    EXPECT_TRUE(read_memory("").originals.empty());
    EXPECT_TRUE(read_memory("\n\n \n").originals.empty());
    EXPECT_TRUE(read_memory("\xEF\xBB\xBF").originals.empty());
}

TEST(NdjsonReader, AByteOrderMarkElsewhereIsMalformed) {
    const Records records = read_memory(event(1) + "\n\xEF\xBB\xBF" + event(2) + "\n\xEF\xBB\n");
    EXPECT_EQ(records.times, std::vector<Timestamp>{1});
    EXPECT_EQ(records.count(Malformed::kSyntax) + records.count(Malformed::kBadUtf8), 2U);
    EXPECT_EQ(read_memory("\xEF\xBB\xBF\xEF\xBB\xBF{}").count(Malformed::kSyntax), 1U);
}

TEST(NdjsonReader, MalformedRecordsKeepTheirPlaces) {
    const std::string bytes = event(1) + "\n{\"t\":}\n[]\n" + event(4) + "\n{}\n";
    NdjsonReader reader(std::make_unique<MemoryByteStream>(bytes));
    JsonDecoder decoder(microseconds());
    BatchBuilder builder(microseconds());
    reader.set_keep_records(true);
    ASSERT_TRUE(reader.next(decoder, builder));
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(batch.input_records, 5U);
    EXPECT_EQ(std::vector(batch.input_index.begin(), batch.input_index.end()),
              (std::vector<std::uint32_t>{0, 3}));
    EXPECT_EQ(reader.record(1), "{\"t\":}");
    EXPECT_EQ(reader.record(3), event(4));
    EXPECT_EQ(reader.record(4), "{}");
    EXPECT_EQ(reader.record(5), "");
}

TEST(NdjsonReader, ALineBeyondTheLimitIsOneRecord) {
    const auto padded_to = [](std::size_t size) {
        return event(7) + std::string(size - event(7).size(), ' ');
    };
    for (const char* end : {"\n", "\r\n", ""}) {
        EXPECT_EQ(read_memory(padded_to(kLimit) + end, 16, kLimit).times, std::vector<Timestamp>{7});
        EXPECT_EQ(read_memory("\xEF\xBB\xBF" + padded_to(kLimit) + end, 16, kLimit).times,
                  std::vector<Timestamp>{7});
        const Records records = read_memory(padded_to(kLimit + 1) + end, 16, kLimit);
        EXPECT_EQ(records.count(Malformed::kTooLarge), 1U);
        EXPECT_EQ(records.originals, std::vector<std::string>{""});
    }
    EXPECT_EQ(read_memory(std::string(kLimit + 1, ' '), 16, kLimit).count(Malformed::kTooLarge), 1U);
}

TEST(NdjsonReader, ALongLineIsNeverInMemoryAsAWhole) {
    /// 64 MiB without a newline, then a record.
    class LongLine final : public ByteStream {
    public:
        std::size_t read(std::span<char> into) override {
            const std::string_view record = "\n{\"t\":1}";
            if (left_ == 0) {
                const std::size_t bytes = record.substr(sent_).copy(into.data(), into.size());
                sent_ += bytes;
                return bytes;
            }
            const std::size_t bytes = std::min(left_, into.size());
            std::fill_n(into.data(), bytes, 'x');
            left_ -= bytes;
            return bytes;
        }

    private:
        std::size_t left_ = std::size_t{64} << 20;
        std::size_t sent_ = 0;
    };
    NdjsonReader reader(std::make_unique<LongLine>());
    const Records records = read_all(reader);
    EXPECT_EQ(records.times, std::vector<Timestamp>{1});
    EXPECT_EQ(records.count(Malformed::kTooLarge), 1U);
    EXPECT_EQ(records.originals, (std::vector<std::string>{"", event(1)}));
}

TEST(NdjsonReader, CuttingTheInputElsewhereChangesNothing) {
    const std::string too_long(kLimit + 20, 'x');
    const std::string bytes = "\xEF\xBB\xBF" + event(1) + "\n" + event(22) + "\r\n\n" + too_long + "\n" +
                              event(333) + "\n  \r\n{\"t\":\n" + std::string(kLimit, ' ') + "\n" +
                              std::string(kLimit + 1, ' ') + "\n" + event(4) +
                              std::string(kLimit - event(4).size(), ' ') + "\r\n[1]\n" + too_long;
    const Records whole = read_memory(bytes, 1 << 20, kLimit);
    EXPECT_EQ(whole.times, (std::vector<Timestamp>{1, 22, 333, 4}));
    EXPECT_EQ(whole.count(Malformed::kTooLarge), 3U);
    EXPECT_EQ(whole.count(Malformed::kSyntax), 1U);
    EXPECT_EQ(whole.count(Malformed::kNotAnObject), 1U);
    for (std::size_t chunk_bytes = 1; chunk_bytes <= bytes.size() + 1; ++chunk_bytes) {
        EXPECT_TRUE(read_memory(bytes, chunk_bytes, kLimit) == whole) << chunk_bytes;
    }
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        const std::string_view prefix = std::string_view(bytes).substr(0, size);
        EXPECT_TRUE(read_memory(prefix, 7, kLimit) == read_memory(prefix, 1 << 20, kLimit)) << size;
    }
}

TEST(NdjsonReader, AReadOfAnyLengthIsEnough) {
    /// Hands out its bytes in two pieces.
    class TwoPieces final : public ByteStream {
    public:
        TwoPieces(std::string_view bytes, std::size_t cut)
            : pieces_{bytes.substr(0, cut), bytes.substr(cut)} {}
        std::size_t read(std::span<char> into) override {
            std::string_view& piece = pieces_[pieces_[0].empty() ? 1 : 0];
            const std::size_t bytes = piece.copy(into.data(), into.size());
            piece.remove_prefix(bytes);
            return bytes;
        }

    private:
        std::string_view pieces_[2];
    };
    const std::string bytes = "\xEF\xBB\xBF" + event(1) + "\r\n" + event(2) + "\n\n" + event(3);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        NdjsonReader reader(std::make_unique<TwoPieces>(bytes, cut));
        EXPECT_EQ(read_all(reader).times, (std::vector<Timestamp>{1, 2, 3})) << cut;
    }
}

TEST(NdjsonReader, APipeWithoutBytesYetGivesAnEmptyBatchAndLosesNothing) {
    /// Has one byte after each time that it had nothing.
    class SlowPipe final : public ByteStream {
    public:
        explicit SlowPipe(std::string_view bytes) : rest_(bytes) {}
        bool wait() override { return ready_ = !ready_; }
        std::size_t read(std::span<char> into) override {
            const std::size_t bytes = rest_.copy(into.data(), 1);
            rest_.remove_prefix(bytes);
            return bytes;
        }

    private:
        std::string_view rest_;
        bool ready_ = false;
    };
    const std::string bytes =
        "\xEF\xBB\xBF" + event(1) + "\r\n" + std::string(kLimit + 20, 'x') + "\n" + event(2);
    NdjsonReader reader(std::make_unique<SlowPipe>(bytes), 16, kLimit);
    JsonDecoder decoder(microseconds(), kLimit);
    BatchBuilder builder(microseconds());
    std::vector<Timestamp> times;
    std::uint64_t input_records = 0;
    std::size_t empty = 0;
    while (reader.next(decoder, builder)) {
        const RecordBatch batch = builder.batch();
        times.insert(times.end(), batch.event_time.begin(), batch.event_time.end());
        input_records += batch.input_records;
        empty += batch.input_records == 0 ? 1 : 0;
    }
    EXPECT_EQ(times, (std::vector<Timestamp>{1, 2}));
    EXPECT_EQ(input_records, 3U);
    EXPECT_EQ(empty, bytes.size());
}

TEST(NdjsonReader, ABatchHasAtMostAsManyRecordsAsAskedFor) {
    const std::string bytes = event(1) + "\n[]\n" + event(2) + "\n" + event(3);
    NdjsonReader reader(std::make_unique<MemoryByteStream>(bytes));
    JsonDecoder decoder(microseconds());
    BatchBuilder builder(microseconds());
    ASSERT_TRUE(reader.next(decoder, builder, 2));
    EXPECT_EQ(builder.input_records(), 2U);
    ASSERT_TRUE(reader.next(decoder, builder, 1));
    EXPECT_EQ(builder.batch().event_time[0], 2);
    ASSERT_TRUE(reader.next(decoder, builder));
    EXPECT_EQ(builder.input_records(), 1U);
}

TEST(NdjsonReader, ABatchIsBoundedHoweverShortTheLinesAre) {
    std::string bytes;
    for (std::size_t i = 0; i < 2 * NdjsonChunk::kMaxBatchRecords + 1; ++i) {
        bytes += "{}\n";
    }
    const Records records = read_memory(bytes, bytes.size());
    EXPECT_EQ(records.count(Malformed::kTimeMissing), 2 * NdjsonChunk::kMaxBatchRecords + 1);
    EXPECT_EQ(records.batches, 3U);
}

TEST(NdjsonReader, RecordsAreOnlyKeptWhenAskedFor) {
    const std::string bytes = event(1);
    NdjsonReader reader(std::make_unique<MemoryByteStream>(bytes));
    JsonDecoder decoder(microseconds());
    BatchBuilder builder(microseconds());
    ASSERT_TRUE(reader.next(decoder, builder));
    EXPECT_EQ(reader.record(0), "");
}

TEST(NdjsonReader, ChunksMayBeDecodedApartFromReading) {
    std::string bytes;
    for (int i = 0; i < 100; ++i) {
        bytes += event(i) + "\n";
    }
    NdjsonReader reader(std::make_unique<MemoryByteStream>(bytes), 64);
    std::vector<NdjsonChunk> chunks(1);
    while (reader.read_chunk(chunks.back())) {
        chunks.back().set_keep_records(true);
        chunks.emplace_back();
    }
    EXPECT_GT(chunks.size(), 10U);
    JsonDecoder decoder(microseconds());
    BatchBuilder builder(microseconds());
    Records records;
    for (NdjsonChunk& chunk : chunks) {
        while (chunk.decode(decoder, builder)) {
            append_batch(&chunk, nullptr, builder, records);
        }
    }
    EXPECT_TRUE(records == read_memory(bytes));
}

TEST(NdjsonReader, GoesOnAtAnOffsetWithTheRecordsThatWereNotTaken) {
    const std::string long_line = "{\"t\":1,\"x\":\"" + std::string(2 * kLimit, 'y') + "\"}";
    const std::string input = "\xEF\xBB\xBF" + event(1) + "\r\n\n" + event(2) + "\n" + long_line + "\n\n" +
                              event(3) + "\n" + long_line + "\n" + event(4);
    for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{50}, std::size_t{1} << 12}) {
        NdjsonReader whole(std::make_unique<MemoryByteStream>(input), chunk, kLimit);
        const Records expected = read_all(whole, kLimit);
        ASSERT_EQ(expected.times.size(), 4U);
        ASSERT_EQ(expected.originals.size(), 6U);
        for (std::size_t taken = 0; taken <= expected.originals.size(); ++taken) {
            NdjsonReader first(std::make_unique<MemoryByteStream>(input), chunk, kLimit);
            JsonDecoder decoder(microseconds(), kLimit);
            BatchBuilder builder(microseconds());
            std::size_t times = 0;
            for (std::size_t record = 0; record < taken; ++record) {
                ASSERT_TRUE(first.next(decoder, builder, 1));
                times += builder.batch().size;
            }
            NdjsonReader rest(std::make_unique<MemoryByteStream>(input), chunk, kLimit);
            rest.seek(first.offset());
            const Records left = read_all(rest, kLimit);
            EXPECT_EQ(left.times,
                      std::vector<Timestamp>(expected.times.begin() + static_cast<std::ptrdiff_t>(times),
                                             expected.times.end()))
                << "chunk " << chunk << ", taken " << taken;
            EXPECT_EQ(left.originals.size(), expected.originals.size() - taken);
        }
        NdjsonReader beyond(std::make_unique<MemoryByteStream>(input), chunk, kLimit);
        EXPECT_THROW(beyond.seek(input.size() + 1), Error);
    }
}

}  // namespace
}  // namespace llmopt_stream
