#include "record/dictionary_column.hpp"

namespace llmopt_stream {

template <typename Append>
Malformed DictionaryColumn::store(std::size_t field, Append append) {
    Part& part = parts_[field];
    if (part.is_set) {
        return Malformed::kDuplicateField;
    }
    part.is_set = true;
    part.encoded.clear();
    append(part.encoded);
    return Malformed::kNone;
}

Malformed DictionaryColumn::set_null(std::size_t field) { return store(field, key_encoding::append_null); }

Malformed DictionaryColumn::set(std::size_t field, bool value) {
    return store(field, [value](std::string& out) { key_encoding::append_bool(out, value); });
}

Malformed DictionaryColumn::set(std::size_t field, std::int64_t value) {
    return store(field, [value](std::string& out) { key_encoding::append_int(out, value); });
}

Malformed DictionaryColumn::set(std::size_t field, std::uint64_t value) {
    return store(field, [value](std::string& out) { key_encoding::append_uint(out, value); });
}

Malformed DictionaryColumn::set(std::size_t field, double value) {
    return store(field, [value](std::string& out) { key_encoding::append_double(out, value); });
}

Malformed DictionaryColumn::set(std::size_t field, std::string_view value) {
    if (parts_.size() == 1) {
        return set_only_text(value);
    }
    return store(field, [value](std::string& out) { key_encoding::append_text(out, value); });
}

Malformed DictionaryColumn::set_only_text(std::string_view value) {
    Part& part = parts_.front();
    if (part.is_set) {
        return Malformed::kDuplicateField;
    }
    part.is_set = true;
    recent_ = recent_texts_.find(value, dictionary_);
    if (recent_ == RecentTextKeys::kNone) {
        part.encoded.clear();
        key_encoding::append_text(part.encoded, value);
    }
    return Malformed::kNone;
}

std::uint32_t DictionaryColumn::intern() {
    if (parts_.size() == 1 && parts_.front().is_set) {
        const std::uint32_t code = dictionary_.intern(parts_.front().encoded);
        recent_texts_.remember(code, dictionary_);
        return code;
    }
    scratch_.clear();
    for (const Part& part : parts_) {
        if (part.is_set) {
            scratch_.append(part.encoded);
        } else {
            key_encoding::append_null(scratch_);
        }
    }
    return dictionary_.intern(scratch_);
}

}  // namespace llmopt_stream
