#include "source/json_layouts.hpp"

#include <simdjson.h>

#include <algorithm>

#include "source/json_text_scan.hpp"

namespace llmopt_stream {
namespace {

using json_scan::Scalar;

static_assert(JsonLayouts::kReadahead >= JsonTextBlock::kBytes);

constexpr std::uint32_t kMissesBeforePause = 16;
constexpr std::uint32_t kMaxMisses = 32;
constexpr std::uint32_t kLongestPause = 1024;

/// The end of the scalar that starts at `at` in a well-formed record.
const char* end_of_scalar(const char* at) {
    return *at == '"' ? scan_json_text(at + 1).end + 1 : json_scan::skip_literal_or_number(at);
}

}  // namespace

const char* JsonLayouts::match(const char* record) {
    wants_to_learn_ = false;
    if (pause_ != 0) {
        --pause_;
        return nullptr;
    }
    const char* const end = match_pieces(record);
    if (end != nullptr) {
        misses_ -= misses_ != 0 ? 1 : 0;
        next_pause_ = kFirstPause;
        return end;
    }
    wants_to_learn_ = true;
    misses_ = std::min(misses_ + 1, kMaxMisses);
    if (misses_ > kMissesBeforePause) {
        pause_ = next_pause_;
        next_pause_ = std::min(2 * next_pause_, kLongestPause);
    }
    return nullptr;
}

const char* JsonLayouts::match_pieces(const char* at) {
    reading_count_ = 0;
    if (pieces_.empty()) {
        return nullptr;
    }
    // No piece and no scalar has a line end, so nothing is read beyond the record's line.
    const Piece* const pieces = pieces_.data();
    const Piece* piece = pieces;
    while (at != nullptr) {
        piece = pieces + piece->next;
        while (!piece->fits(at)) {
            if (piece->alternative == kNone) {
                return nullptr;
            }
            piece = pieces + piece->alternative;
        }
        at += piece->size;
        if (piece->then == Then::kEnd) {
            return at;
        }
        if (piece->then != Then::kPiece) {
            at = *at == '"' ? read_text(*piece, at + 1) : read_value(*piece, at);
        }
    }
    return nullptr;
}

inline const char* JsonLayouts::read_value(const Piece& piece, const char* at) {
    if (piece.then == Then::kUnreadValue) {
        return json_scan::skip_literal_or_number(at);
    }
    Reading& reading = readings_.data()[reading_count_++];
    reading.field = piece.field;
    return json_scan::read_literal_or_number(at, reading.scalar);
}

inline const char* JsonLayouts::read_text(const Piece& piece, const char* at) {
    const JsonText text = scan_json_text(at);
    if (text.end == nullptr) {
        return nullptr;
    }
    const std::string_view content(at, static_cast<std::size_t>(text.end - at));
    const bool is_read = piece.then == Then::kReadValue;
    if (text.has_non_ascii && !simdjson::validate_utf8(content.data(), content.size())) {
        return nullptr;
    }
    if (text.has_escapes && (is_read || !json_scan::unescape(content, unescaped_))) {
        return nullptr;
    }
    if (is_read) {
        Reading& reading = readings_.data()[reading_count_++];
        reading.field = piece.field;
        reading.scalar.kind = Scalar::Kind::kText;
        reading.scalar.text = content;
    }
    return text.end + 1;
}

void JsonLayouts::learn(std::string_view record, std::span<const Value> values) {
    if (values.size() > kMaxValues || record.find_first_of("\r\n") != std::string_view::npos) {
        return;
    }
    const std::size_t pieces_needed = record.size() / Piece::kMaxBytes + values.size() + 2;
    if (pieces_needed > kMaxPieces) {
        return;
    }
    if (pieces_.empty() || pieces_.size() + pieces_needed > kMaxPieces) {
        pieces_.assign(1, Piece());
        // Fits nowhere: what was learned in part leads back here.
        pieces_.front().words.front() = 1;
    }
    readings_.resize(std::max(readings_.size(), values.size()));

    Index at = 0;
    std::size_t end = 0;
    for (const Value& value : values) {
        const bool is_read = value.field != nullptr && !value.field->targets.empty();
        if (!add_between(at, record.substr(end, value.begin - end),
                         is_read ? Then::kReadValue : Then::kUnreadValue, value.field)) {
            return;
        }
        end = static_cast<std::size_t>(end_of_scalar(record.data() + value.begin) - record.data());
    }
    add_between(at, record.substr(end), Then::kEnd, nullptr);
}

bool JsonLayouts::add_between(Index& at, std::string_view bytes, Then then, const JsonFields::Field* field) {
    for (; bytes.size() > Piece::kMaxBytes; bytes.remove_prefix(Piece::kMaxBytes)) {
        if (!add_piece(at, bytes.substr(0, Piece::kMaxBytes), Then::kPiece, nullptr)) {
            return false;
        }
    }
    return add_piece(at, bytes, then, field);
}

/// Moves `at` on to the piece; false if too many others may stand in its place.
bool JsonLayouts::add_piece(Index& at, std::string_view bytes, Then then, const JsonFields::Field* field) {
    Piece added;
    std::memcpy(added.words.data(), bytes.data(), bytes.size());
    std::memset(added.masks.data(), 0xFF, bytes.size());
    added.size = static_cast<std::uint32_t>(bytes.size());
    added.then = then;
    added.field = field;

    Index* link = &pieces_[at].next;
    for (std::size_t i = 0; i < kMaxAlternatives; ++i) {
        if (*link == kNone) {
            *link = static_cast<Index>(pieces_.size());
            at = *link;
            pieces_.push_back(added);
            return true;
        }
        Piece& piece = pieces_[*link];
        if (piece.words == added.words && piece.size == added.size && piece.then == then) {
            at = *link;
            return true;
        }
        link = &piece.alternative;
    }
    return false;
}

}  // namespace llmopt_stream
