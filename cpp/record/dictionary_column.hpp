#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "record/key.hpp"
#include "record/key_dictionary.hpp"
#include "record/recent_text_keys.hpp"
#include "record/schema.hpp"

namespace llmopt_stream {

/// A column of a batch under construction: for each record a tuple of scalars, as an index into a
/// dictionary. The key of records is one, and a field alone is another.
class DictionaryColumn {
public:
    explicit DictionaryColumn(std::size_t fields) : parts_(fields) {}

    /// Forgets all records, keeps the memory, and what the dictionary has as long as that is not much.
    void clear() noexcept {
        if (dictionary_.clear_if_large(codes_.size())) {
            recent_texts_.clear();
        }
    }
    /// Makes room for so many records.
    void reserve(std::size_t records) { codes_.resize(records); }

    void begin_record() noexcept {
        recent_ = RecentTextKeys::kNone;
        for (Part& part : parts_) {
            part.is_set = false;
        }
    }
    /// Setting a field twice is Malformed::kDuplicateField.
    [[nodiscard]] Malformed set_null(std::size_t field);
    [[nodiscard]] Malformed set(std::size_t field, bool value);
    [[nodiscard]] Malformed set(std::size_t field, std::int64_t value);
    [[nodiscard]] Malformed set(std::size_t field, std::uint64_t value);
    [[nodiscard]] Malformed set(std::size_t field, double value);
    [[nodiscard]] Malformed set(std::size_t field, std::string_view value);
    /// Fields that are not set are null. There is room for the record.
    void end_record(std::size_t record) {
        codes_[record] = recent_ != RecentTextKeys::kNone ? recent_ : intern();
    }

    /// Those of the first `records`.
    [[nodiscard]] std::span<const std::uint32_t> codes(std::size_t records) const noexcept {
        return {codes_.data(), records};
    }
    [[nodiscard]] const KeyDictionary& dictionary() const noexcept { return dictionary_; }

private:
    struct Part {
        bool is_set = false;
        std::string encoded;
    };

    template <typename Append>
    Malformed store(std::size_t field, Append append);
    Malformed set_only_text(std::string_view value);
    [[nodiscard]] std::uint32_t intern();

    // The record under construction.
    std::vector<Part> parts_;
    std::string scratch_;
    /// The tuple if its only field has a text that was seen before.
    std::uint32_t recent_ = RecentTextKeys::kNone;

    // The batch.
    std::vector<std::uint32_t> codes_;
    KeyDictionary dictionary_;
    RecentTextKeys recent_texts_;
};

}  // namespace llmopt_stream
