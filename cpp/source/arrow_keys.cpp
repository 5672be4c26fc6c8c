#include "source/arrow_keys.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include <simdjson.h>

#include "record/iso8601.hpp"
#include "record/key.hpp"
#include "source/arrow_decimal.hpp"
#include "source/arrow_number.hpp"
#include "source/arrow_text.hpp"
#include "source/arrow_times.hpp"

namespace llmopt_stream {
namespace {

constexpr std::uint32_t kNotSeen = kUnusableKey - 1;

void append_number(std::string& out, std::int64_t value) { key_encoding::append_int(out, value); }
void append_number(std::string& out, std::uint64_t value) { key_encoding::append_uint(out, value); }
void append_number(std::string& out, double value) { key_encoding::append_double(out, value); }

}  // namespace

/// One call of read(): interns keys on first sight.
class ArrowKeyColumn::Reading {
public:
    Reading(RecentKeys& recent, KeyDictionary& dictionary) : recent_(recent), dictionary_(dictionary) {}

    std::uint32_t null() {
        if (!null_) {
            null_ = intern(key_encoding::append_null);
        }
        return *null_;
    }
    std::uint32_t boolean(bool value) {
        std::optional<std::uint32_t>& key = booleans_[value ? 1 : 0];
        if (!key) {
            key = intern([value](std::string& out) { key_encoding::append_bool(out, value); });
        }
        return *key;
    }
    template <typename Number>
    std::uint32_t number(Number value) {
        return recent_.find(std::bit_cast<std::uint64_t>(value),
                            [&] { return intern([value](std::string& out) { append_number(out, value); }); });
    }
    std::uint32_t time_text(Timestamp time, ArrowKind kind) {
        return recent_.find(std::bit_cast<std::uint64_t>(time), [&] {
            const std::string text =
                kind == ArrowKind::kTimestamp ? format_iso8601(time) : format_iso8601_date(time);
            return intern([&text](std::string& out) { key_encoding::append_text(out, text); });
        });
    }
    [[gnu::always_inline]] std::uint32_t text(const ArrowText& text) {
        return recent_.find(text, [this](std::string_view unseen) { return intern_text(unseen); });
    }
    [[nodiscard]] bool all_usable() const noexcept { return all_usable_; }

    /// store(k, key) for each chosen row.
    template <typename Store>
    void read(const ArrowColumn& column, const ArrowColumnView& view, ArrowRows rows, Store store) {
        const ArrowType type = column.type();
        const auto null_row = [&](std::size_t k) { store(k, null()); };
        if (type.kind == ArrowKind::kNull) {
            for (std::size_t k = 0; k < rows.size; ++k) {
                null_row(k);
            }
        } else if (is_text(type.kind)) {
            with_arrow_texts(column, view, [&](const auto& texts) {
                const auto visit = [&](std::size_t k, std::size_t row)
                                       __attribute__((always_inline)) { store(k, text(texts(row))); };
                for_each_row(view, rows, visit, null_row);
            });
        } else if (is_time(type.kind)) {
            const auto visit = [&](std::size_t k, std::size_t row) {
                const std::optional<Timestamp> time = arrow_time_at(type, view, row);
                store(k, time ? time_text(*time, type.kind) : null());
            };
            for_each_row(view, rows, visit, null_row);
        } else if (type.kind == ArrowKind::kBool) {
            const auto* bits = static_cast<const std::uint8_t*>(view.data());
            const auto visit = [&](std::size_t k, std::size_t row) {
                const std::size_t bit = view.first + row;
                store(k, boolean(((bits[bit / 8] >> (bit % 8)) & 1) != 0));
            };
            for_each_row(view, rows, visit, null_row);
        } else if (is_decimal(type.kind)) {
            const auto visit = [&](std::size_t k, std::size_t row) {
                store(k, number(to_float64(load_arrow_decimal(type, view, row))));
            };
            for_each_row(view, rows, visit, null_row);
        } else {
            with_arrow_numbers(type.kind, view, [&](const auto& load) {
                for_each_row(
                    view, rows, [&](std::size_t k, std::size_t row) { store(k, number(load(row))); },
                    null_row);
            });
        }
    }

private:
    [[gnu::noinline]] std::uint32_t intern_text(std::string_view text) {
        if (!simdjson::validate_utf8(text.data(), text.size())) {
            all_usable_ = false;
            return kUnusableKey;
        }
        return intern([text](std::string& out) { key_encoding::append_text(out, text); });
    }

    template <typename Append>
    [[gnu::noinline]] std::uint32_t intern(Append append) {
        encoded_.clear();
        append(encoded_);
        return dictionary_.intern(encoded_);
    }

    RecentKeys& recent_;
    KeyDictionary& dictionary_;
    std::string encoded_;
    std::optional<std::uint32_t> null_;
    std::optional<std::uint32_t> booleans_[2];
    bool all_usable_ = true;
};

bool ArrowKeyColumn::has_scalars() const noexcept {
    const ArrowKind kind = column_.type().kind;
    return kind != ArrowKind::kOther && kind != ArrowKind::kStruct;
}

bool ArrowKeyColumn::read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                          KeyDictionary& dictionary, std::uint32_t* out) {
    recent_.begin(dictionary);
    Reading reading(recent_, dictionary);
    const ArrowColumnView view = column_.view(top, first, size, validity_);
    if (!column_.is_dictionary()) {
        reading.read(column_, view, rows, [out](std::size_t k, std::uint32_t key) { out[k] = key; });
        return reading.all_usable();
    }

    const ArrowColumnView values = column_.dictionary(view);
    column_.dictionary_rows(view, rows, values.size, rows_);
    for (const std::uint32_t entry : entries_seen_) {
        entry_keys_[entry] = kNotSeen;
    }
    entries_seen_.clear();
    if (entry_keys_.size() < values.size) {
        entry_keys_.resize(values.size, kNotSeen);
    }
    for (std::size_t k = 0; k < rows.size; ++k) {
        const std::uint32_t entry = rows_[k];
        if (entry != ArrowRows::kNull && entry_keys_[entry] == kNotSeen) {
            entry_keys_[entry] = kUnusableKey;
            entries_seen_.push_back(entry);
        }
    }
    const auto store = [this](std::size_t k, std::uint32_t key) { entry_keys_[entries_seen_[k]] = key; };
    reading.read(column_, values, {.size = entries_seen_.size(), .rows = entries_seen_.data()}, store);
    for (std::size_t k = 0; k < rows.size; ++k) {
        const std::uint32_t entry = rows_[k];
        out[k] = entry == ArrowRows::kNull ? reading.null() : entry_keys_[entry];
    }
    return reading.all_usable();
}

void KeyPairs::combine(std::uint32_t* left, std::uint32_t left_count, const std::uint32_t* right,
                       std::uint32_t right_count, std::size_t size, std::vector<std::uint32_t>& examples) {
    constexpr std::uint32_t kFree = std::numeric_limits<std::uint32_t>::max();
    examples.clear();
    const auto add = [&examples](std::size_t row) {
        examples.push_back(static_cast<std::uint32_t>(row));
        return static_cast<std::uint32_t>(examples.size() - 1);
    };

    // As many entries as rows at most, so that clearing the table costs less than the rows.
    if (std::uint64_t{left_count} * right_count <= std::max<std::uint64_t>(size, 64)) {
        direct_.assign(std::size_t{left_count} * right_count, kFree);
        for (std::size_t i = 0; i < size; ++i) {
            std::uint32_t& number = direct_[std::size_t{left[i]} * right_count + right[i]];
            if (number == kFree) {
                number = add(i);
            }
            left[i] = number;
        }
        return;
    }

    const std::size_t slots = std::bit_ceil(2 * size);
    const int shift = 64 - std::countr_zero(slots);
    table_.assign(slots, {0, kFree});
    for (std::size_t i = 0; i < size; ++i) {
        const std::uint64_t pair = std::uint64_t{left[i]} << 32 | right[i];
        std::size_t at = (pair ^ pair >> 29) * 0x9E3779B97F4A7C15ULL >> shift;
        while (table_[at].number != kFree && table_[at].pair != pair) {
            at = (at + 1) & (slots - 1);
        }
        if (table_[at].number == kFree) {
            table_[at] = {pair, add(i)};
        }
        left[i] = table_[at].number;
    }
}

ArrowKeys::ArrowKeys(const ArrowSchema& root, const Schema& schema) {
    fields_.reserve(schema.key_paths.size());
    for (const std::string& path : schema.key_paths) {
        ArrowKeyColumn column(root, path);
        if (!column.has_scalars() || is_decimal(column.column().type().kind)) {
            column.column().refuse("a key is text, a number, a boolean, a date or a timestamp");
        }
        fields_.push_back({std::move(column), {}, {}});
    }
}

bool ArrowKeys::read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                     KeyDictionary& dictionary, std::uint32_t* out) {
    dictionary.clear_if_large(rows.size);
    if (rows.size == 0) {
        return true;
    }
    if (fields_.empty()) {
        std::fill_n(out, rows.size, dictionary.intern({}));
        return true;
    }
    if (fields_.size() == 1) {
        return fields_.front().column.read(top, first, size, rows, dictionary, out);
    }
    return read_tuples(top, first, size, rows, dictionary, out);
}

bool ArrowKeys::read_tuples(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                            KeyDictionary& dictionary, std::uint32_t* out) {
    bool all_usable = true;
    for (Field& field : fields_) {
        if (field.keys.size() < rows.size) {
            field.keys.resize(rows.size);
        }
        field.dictionary.clear();
        all_usable &= field.column.read(top, first, size, rows, field.dictionary, field.keys.data());
    }
    if (!all_usable) {
        // The key after the last one stands for the unusable ones until the end.
        for (Field& field : fields_) {
            std::replace(field.keys.begin(), field.keys.begin() + static_cast<std::ptrdiff_t>(rows.size),
                         kUnusableKey, field.dictionary.size());
        }
    }

    std::copy_n(fields_.front().keys.begin(), rows.size, out);
    std::uint32_t count = fields_.front().dictionary.size() + 1;
    for (std::size_t i = 1; i < fields_.size(); ++i) {
        pairs_.combine(out, count, fields_[i].keys.data(), fields_[i].dictionary.size() + 1, rows.size,
                       examples_);
        count = static_cast<std::uint32_t>(examples_.size());
    }

    std::string encoded;
    for (std::uint32_t& example : examples_) {
        encoded.clear();
        bool is_usable = true;
        for (const Field& field : fields_) {
            const std::uint32_t key = field.keys[example];
            is_usable &= key != field.dictionary.size();
            if (is_usable) {
                encoded.append(field.dictionary.key(key));
            }
        }
        example = is_usable ? dictionary.intern(encoded) : kUnusableKey;
    }
    for (std::size_t k = 0; k < rows.size; ++k) {
        out[k] = examples_[out[k]];
    }
    return all_usable;
}

}  // namespace llmopt_stream
