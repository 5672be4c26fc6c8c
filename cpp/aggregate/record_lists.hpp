#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// Every record of a key and window, so that something can be computed of all of them together. Records are
/// kept as bytes: their time and place in the input, and labels.
///
/// Of more than `limit` records only the number is kept, so that memory is bounded whatever comes.
class RecordLists : public Metric {
public:
    struct Record {
        Timestamp time = 0;
        std::uint64_t position = 0;
        /// Encoded.
        std::vector<std::string_view> labels;
    };

    /// `columns` are the label columns to be kept.
    RecordLists(std::vector<std::size_t> columns, std::uint64_t limit)
        : columns_(std::move(columns)), limit_(limit) {}

    [[nodiscard]] std::size_t state_bytes() const noexcept override;
    void create(std::byte* state) const noexcept override;
    void destroy(std::byte* state, SizeClassPool& pool) const noexcept override;
    /// No record is skipped.
    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const override;
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const override;
    void encode(const std::byte* state, ByteWriter& out) const override;
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const override;

    /// Only whole batches say where in the input their records are.
    [[nodiscard]] bool in_one_thread() const noexcept override { return true; }

protected:
    [[nodiscard]] std::size_t labels() const noexcept { return columns_.size(); }
    [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }
    /// How many records there are; beyond the limit, none of them is there.
    [[nodiscard]] std::uint64_t count(const std::byte* state) const noexcept;
    /// In the order of their times; of equal times, in the order of arrival. Labels point into the state.
    [[nodiscard]] std::vector<Record> records(const std::byte* state) const;

private:
    void append(std::byte* state, std::string_view bytes, std::uint64_t records, SizeClassPool& pool) const;
    /// Reads the record at the beginning of the bytes, and takes it off them.
    [[nodiscard]] Record take_record(std::string_view& bytes) const;

    std::vector<std::size_t> columns_;
    std::uint64_t limit_;
};

}  // namespace llmopt_stream
