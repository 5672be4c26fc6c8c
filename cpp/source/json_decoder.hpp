#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "record/batch_builder.hpp"
#include "record/schema.hpp"
#include "source/json_fields.hpp"
#include "source/json_layouts.hpp"

namespace simdjson::internal {
class dom_parser_implementation;
}

namespace llmopt_stream {

/// A longer record is Malformed::kTooLarge.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{1} << 20;

/// How many bytes behind a record must be readable (whatever they hold).
inline constexpr std::size_t kJsonPadding = 64;

/// Decodes the schema's fields of one JSON object, in one pass and whatever their order.
///
/// Strict: the whole document is checked (RFC 8259), so whether a record is accepted does
/// not depend on which of its fields the plan reads. Where a record breaks several rules,
/// a broken document is named before an unusable field, and the first such field before
/// later ones. Containers nest at most 32 deep, the record itself included.
///
/// Not thread-safe; one decoder per thread.
class JsonDecoder {
public:
    explicit JsonDecoder(const Schema& schema, std::size_t max_record_bytes = kMaxRecordBytes);
    ~JsonDecoder();
    JsonDecoder(JsonDecoder&&) noexcept;
    JsonDecoder& operator=(JsonDecoder&&) noexcept;

    /// Adds one record, accepted or rejected, to the batch and says which. The builder
    /// must be of the same schema; kJsonPadding bytes behind `record` must be readable.
    Malformed decode(std::string_view record, BatchBuilder& builder);

    /// Adds the record that `lines` begin with if it is laid out like a recent one, which is
    /// several times faster; what becomes of it is the same. Returns the bytes of the record,
    /// which "\n" or "\r\n" follow, or kUnexpected: then decode() it. `lines` must end with "\n"
    /// and kJsonPadding bytes behind them be readable.
    [[nodiscard]] std::size_t decode_expected(std::string_view lines, BatchBuilder& builder);
    static constexpr std::size_t kUnexpected = std::string_view::npos;

    /// decode() for a record in memory that ends with it (copies it).
    Malformed decode_unpadded(std::string_view record, BatchBuilder& builder);

    [[nodiscard]] std::size_t max_record_bytes() const noexcept { return max_record_bytes_; }

private:
    [[nodiscard]] Malformed index_tokens(std::string_view record);
    [[nodiscard]] Malformed read_document(std::string_view record, BatchBuilder& builder);

    JsonFields fields_;
    std::size_t max_record_bytes_;
    std::unique_ptr<simdjson::internal::dom_parser_implementation> tokenizer_;
    std::string padded_record_;
    std::string unescaped_;
    JsonLayouts layouts_;
    std::vector<JsonLayouts::Value> values_;
    std::uint64_t objects_ = 0;
};

}  // namespace llmopt_stream
