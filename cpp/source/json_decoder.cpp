#include "source/json_decoder.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstring>

#include "record/error.hpp"
#include "source/json_field_setter.hpp"
#include "source/json_scan.hpp"

namespace llmopt_stream {
namespace {

using json_scan::Scalar;

static_assert(kJsonPadding >= simdjson::SIMDJSON_PADDING);

constexpr int kMaxDepth = 32;
constexpr std::size_t kInitialTokenCapacity = std::size_t{1} << 14;

/// Where a token starts. A method that reads tokens takes the next one and returns the one
/// behind what it has read, in registers: a member that every token moves on costs more
/// than all the checks. It returns null once the document is broken, for the reason in broken_.
using Token = const std::uint32_t*;

/// One pass over the tokens of a document: checks all of them and hands the fields that
/// are read to the builder. Lists the scalars of arrays and objects in `values`, unless null.
///
/// simdjson's index has the position of every bracket, colon and comma, of every opening
/// quote and of every other token's first byte. It has proved that the text is UTF-8, that
/// strings end and that they have no raw control characters. Bounds: the caller has seen
/// that the last token closes the kind of bracket that the first one opens. No method
/// accepts such a token but as the end of a container, so it is enough to look for the end
/// of the tokens wherever an inner container has ended.
class DocumentWalk {
public:
    DocumentWalk(std::string_view json, Token end, JsonFields& fields, std::uint64_t& objects,
                 std::string& unescaped, BatchBuilder& builder, std::vector<JsonLayouts::Value>* values)
        : json_(json.data()),
          end_(end),
          has_escapes_(std::memchr(json.data(), '\\', json.size()) != nullptr),
          fields_(fields),
          objects_(objects),
          unescaped_(unescaped),
          setter_(builder),
          values_(values) {}

    [[nodiscard]] Malformed read_record(Token first) {
        const bool is_object = json_[*first] == '{';
        if (json_[*(end_ - 1)] != (is_object ? '}' : ']')) {
            return Malformed::kSyntax;
        }
        const Token next =
            is_object ? read_object<kNames>(first + 1, &fields_.root(), 1) : read_array(first + 1, 1);
        return verdict(next, is_object ? setter_.unusable() : Malformed::kNotAnObject);
    }

    /// A document of one token, with a byte after it that ends a number.
    [[nodiscard]] Malformed read_scalar(Token scalar) {
        return verdict(read_value(scalar, nullptr, nullptr, 0), Malformed::kNotAnObject);
    }

private:
    [[nodiscard]] Malformed verdict(Token next, Malformed if_intact) const {
        if (next == nullptr) {
            return broken_;
        }
        return next == end_ ? if_intact : Malformed::kSyntax;
    }

    Token fail(Malformed why) {
        broken_ = why;
        return nullptr;
    }

    /// The content of the string that a token starts.
    [[nodiscard]] std::string_view string_at(Token quote) const {
        // Only white space lies between the end of a string and the next token.
        std::uint32_t end = quote[1] - 1;
        while (json_[end] != '"') {
            --end;
        }
        return {json_ + *quote + 1, end - *quote - 1};
    }

    [[nodiscard]] bool is_escaped(std::string_view text) const {
        return has_escapes_ && std::memchr(text.data(), '\\', text.size()) != nullptr;
    }

    /// `field` is what the value is read for, or null; `level` says what to read inside.
    Token read_value(Token at, JsonFields::Field* field, JsonFields::Level* level, int depth) {
        if (values_ != nullptr) [[unlikely]] {
            list_scalar(at, field);
        }
        switch (json_[*at]) {
            case '"': return read_string(at, field) ? at + 1 : fail(Malformed::kSyntax);
            case '{':
            case '[': return read_container(at, field, level, depth);
            default: return read_literal_or_number(json_ + *at, field) ? at + 1 : fail(Malformed::kSyntax);
        }
    }

    [[gnu::noinline, gnu::cold]] void list_scalar(Token at, const JsonFields::Field* field) {
        const bool is_scalar = json_[*at] != '{' && json_[*at] != '[';
        if (is_scalar && values_->size() <= JsonLayouts::kMaxValues) {
            values_->push_back({*at, field});
        }
    }

    Token read_container(Token at, JsonFields::Field* field, JsonFields::Level* level, int depth) {
        if (depth == kMaxDepth) {
            return fail(Malformed::kTooDeep);
        }
        if (field != nullptr) {
            setter_.assign_container(*field);
        }
        Token next = nullptr;
        if (json_[*at] == '[') {
            next = read_array(at + 1, depth + 1);
        } else if (level != nullptr || has_escapes_) {
            next = read_object<kNames>(at + 1, level, depth + 1);
        } else {
            next = read_object<kNoNames>(at + 1, nullptr, depth + 1);
        }
        return next == end_ ? fail(Malformed::kSyntax) : next;
    }

    bool read_literal_or_number(const char* at, JsonFields::Field* field) {
        if (field == nullptr) {
            return json_scan::skip_literal_or_number(at) != nullptr;
        }
        Scalar scalar;
        if (json_scan::read_literal_or_number(at, scalar) == nullptr) {
            return false;
        }
        setter_.assign(*field, scalar);
        return true;
    }

    bool read_string(Token at, JsonFields::Field* field) {
        if (field == nullptr && !has_escapes_) {
            return true;
        }
        Scalar text;
        text.kind = Scalar::Kind::kText;
        text.text = string_at(at);
        if (is_escaped(text.text)) {
            if (!json_scan::unescape(text.text, unescaped_)) {
                return false;
            }
            text.text = unescaped_;
        }
        if (field != nullptr) {
            setter_.assign(*field, text);
        }
        return true;
    }

    /// Names need not be looked at if none is read and none can be escaped.
    enum Names : bool { kNoNames, kNames };

    template <Names kWithNames>
    Token read_object(Token at, JsonFields::Level* level, int depth) {
        if (json_[*at] == '}') {
            return at + 1;
        }
        const std::uint64_t object = level != nullptr ? ++objects_ : 0;
        for (;;) {
            if (json_[at[0]] != '"' || json_[at[1]] != ':') {
                return fail(Malformed::kSyntax);
            }
            JsonFields::Field* field = nullptr;
            if constexpr (kWithNames == kNames) {
                if (!find_field(at, level, field)) {
                    return fail(Malformed::kSyntax);
                }
            }
            at += 2;
            if (field == nullptr) {
                at = read_value(at, nullptr, nullptr, depth);
            } else {
                if (field->seen_in_object == object) {
                    setter_.note(Malformed::kDuplicateField);
                }
                field->seen_in_object = object;
                const bool has_inner = field->level != JsonFields::kNoLevel;
                at = read_value(at, field, has_inner ? &fields_.level(field->level) : nullptr, depth);
            }
            if (at == nullptr) {
                return nullptr;
            }
            const char separator = json_[*at++];
            if (separator == '}') {
                return at;
            }
            if (separator != ',') {
                return fail(Malformed::kSyntax);
            }
        }
    }

    /// Null in `field` if it is not read; false if the name has a bad escape.
    bool find_field(Token at, JsonFields::Level* level, JsonFields::Field*& field) {
        std::string_view name = string_at(at);
        if (is_escaped(name)) {
            if (!json_scan::unescape(name, unescaped_)) {
                return false;
            }
            const std::size_t name_bytes = unescaped_.size();
            unescaped_.append(JsonFields::kNamePadding, '\0');
            name = {unescaped_.data(), name_bytes};
        }
        if (level != nullptr) {
            field = JsonFields::find(*level, name);
        }
        return true;
    }

    Token read_array(Token at, int depth) {
        if (json_[*at] == ']') {
            return at + 1;
        }
        for (;;) {
            at = read_value(at, nullptr, nullptr, depth);
            if (at == nullptr) {
                return nullptr;
            }
            const char separator = json_[*at++];
            if (separator == ']') {
                return at;
            }
            if (separator != ',') {
                return fail(Malformed::kSyntax);
            }
        }
    }

    const char* const json_;
    const Token end_;
    const bool has_escapes_;
    JsonFields& fields_;
    /// How many objects were entered that have fields to read, in all documents.
    std::uint64_t& objects_;
    std::string& unescaped_;
    JsonFieldSetter setter_;
    std::vector<JsonLayouts::Value>* const values_;
    Malformed broken_ = Malformed::kNone;
};

}  // namespace

JsonDecoder::JsonDecoder(const Schema& schema, std::size_t max_record_bytes)
    : fields_(schema), max_record_bytes_(max_record_bytes) {
    // Only the tokenizer (simdjson's first stage, chosen for the processor at hand) is used: the
    // walk over its index checks all of a document, which On-Demand does not, for less than DOM costs.
    if (simdjson::get_active_implementation()->create_dom_parser_implementation(
            std::min(kInitialTokenCapacity, max_record_bytes), kMaxDepth, tokenizer_) != simdjson::SUCCESS) {
        throw Error(ErrorKind::kPipeline, "JSON decoder: out of memory");
    }
}

JsonDecoder::~JsonDecoder() = default;
JsonDecoder::JsonDecoder(JsonDecoder&&) noexcept = default;
JsonDecoder& JsonDecoder::operator=(JsonDecoder&&) noexcept = default;

Malformed JsonDecoder::decode(std::string_view record, BatchBuilder& builder) {
    builder.begin_record();
    Malformed malformed = index_tokens(record);
    if (malformed == Malformed::kNone) {
        malformed = read_document(record, builder);
    }
    if (malformed != Malformed::kNone) {
        builder.reject(malformed);
        return malformed;
    }
    if (layouts_.wants_to_learn()) {
        layouts_.learn(record, values_);
    }
    return builder.end_record();
}

std::size_t JsonDecoder::decode_expected(std::string_view lines, BatchBuilder& builder) {
    const char* const end = layouts_.match(lines.data());
    if (end == nullptr || (*end != '\n' && (*end != '\r' || end[1] != '\n'))) {
        return kUnexpected;
    }
    const auto record_bytes = static_cast<std::size_t>(end - lines.data());
    if (record_bytes > max_record_bytes_) {
        return kUnexpected;
    }
    builder.begin_record();
    JsonFieldSetter setter(builder);
    for (const JsonLayouts::Reading& reading : layouts_.readings()) {
        setter.assign(*reading.field, reading.scalar);
    }
    if (setter.unusable() == Malformed::kNone) {
        static_cast<void>(builder.end_record());
    } else {
        builder.reject(setter.unusable());
    }
    return record_bytes;
}

Malformed JsonDecoder::decode_unpadded(std::string_view record, BatchBuilder& builder) {
    // No more than what decode() needs to see that a record is too large.
    padded_record_.assign(record.substr(0, max_record_bytes_ + 1));
    const std::size_t record_bytes = padded_record_.size();
    padded_record_.append(kJsonPadding, ' ');
    return decode({padded_record_.data(), record_bytes}, builder);
}

Malformed JsonDecoder::index_tokens(std::string_view record) {
    if (record.size() > max_record_bytes_) {
        return Malformed::kTooLarge;
    }
    if (record.size() > tokenizer_->capacity() &&
        tokenizer_->set_capacity(std::min(std::max(record.size(), 2 * tokenizer_->capacity()),
                                          max_record_bytes_)) != simdjson::SUCCESS) {
        throw Error(ErrorKind::kPipeline, "JSON decoder: out of memory");
    }
    const simdjson::error_code error = tokenizer_->stage1(
        reinterpret_cast<const std::uint8_t*>(record.data()), record.size(), simdjson::stage1_mode::regular);
    switch (error) {
        case simdjson::SUCCESS: return Malformed::kNone;
        case simdjson::UTF8_ERROR: return Malformed::kBadUtf8;
        default: return Malformed::kSyntax;
    }
}

Malformed JsonDecoder::read_document(std::string_view record, BatchBuilder& builder) {
    values_.clear();
    std::vector<JsonLayouts::Value>* const values = layouts_.wants_to_learn() ? &values_ : nullptr;
    const Token tokens = tokenizer_->structural_indexes.get();
    const Token end = tokens + tokenizer_->n_structural_indexes;
    const char first = record[*tokens];
    if (first == '{' || first == '[') {
        return DocumentWalk(record, end, fields_, objects_, unescaped_, builder, values).read_record(tokens);
    }
    if (end - tokens != 1) {
        return Malformed::kSyntax;
    }
    // A scalar may end with the document; its scan needs a byte that ends it.
    const std::string scalar = std::string(record.substr(*tokens)) + std::string(kJsonPadding, ' ');
    const std::uint32_t token_and_end[] = {0, static_cast<std::uint32_t>(scalar.size())};
    return DocumentWalk(scalar, token_and_end + 1, fields_, objects_, unescaped_, builder, nullptr)
        .read_scalar(token_and_end);
}

}  // namespace llmopt_stream
