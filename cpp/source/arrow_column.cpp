#include "source/arrow_column.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxListed = 30;

std::string_view name_of(const ArrowSchema& field) { return field.name == nullptr ? "" : field.name; }

bool is_struct(const ArrowSchema& field) {
    return field.dictionary == nullptr && parse_arrow_format(field.format).kind == ArrowKind::kStruct;
}

std::size_t child_count(const ArrowSchema& field) {
    return field.children == nullptr || field.n_children < 0 ? 0 : static_cast<std::size_t>(field.n_children);
}

/// Throws Error(kConfiguration) if two children have the name: which one was meant?
std::optional<std::size_t> find_child(const ArrowSchema& parent, std::string_view name) {
    std::optional<std::size_t> found;
    for (std::size_t child = 0; child < child_count(parent); ++child) {
        if (parent.children[child] != nullptr && name_of(*parent.children[child]) == name) {
            if (found) {
                throw Error(ErrorKind::kConfiguration,
                            "field '" + std::string(name) + "': two columns have this name");
            }
            found = child;
        }
    }
    return found;
}

bool find_path(const ArrowSchema& parent, std::string_view path, std::vector<std::size_t>& steps) {
    if (const std::optional<std::size_t> child = find_child(parent, path)) {
        steps.push_back(*child);
        return true;
    }
    for (std::size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1)) {
        const std::optional<std::size_t> child = find_child(parent, path.substr(0, dot));
        if (child && is_struct(*parent.children[*child])) {
            steps.push_back(*child);
            if (find_path(*parent.children[*child], path.substr(dot + 1), steps)) {
                return true;
            }
            steps.pop_back();
        }
    }
    return false;
}

void list_paths(const ArrowSchema& parent, const std::string& prefix, int depth,
                std::vector<std::string>& out) {
    for (std::size_t child = 0; child < child_count(parent); ++child) {
        if (parent.children[child] == nullptr) {
            continue;
        }
        const ArrowSchema& field = *parent.children[child];
        const std::string path = prefix + std::string(name_of(field));
        if (is_struct(field) && depth < kMaxDepth) {
            list_paths(field, path + ".", depth + 1, out);
        } else {
            out.push_back(path);
        }
    }
}

/// Levenshtein's distance.
std::size_t edits_between(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

[[noreturn]] void no_such_column(const ArrowSchema& root, const std::string& path) {
    std::vector<std::string> known;
    list_paths(root, "", 0, known);
    std::string message = "field '" + path + "': no such column; there are: ";
    // Of short names nothing would be left of what was asked for.
    std::size_t nearest = std::min(std::max<std::size_t>(2, path.size() / 4) + 1, path.size());
    const std::string* suggestion = nullptr;
    for (std::size_t i = 0; i < known.size(); ++i) {
        if (i < kMaxListed) {
            message += (i == 0 ? "" : ", ") + known[i];
        } else if (i == kMaxListed) {
            message += ", … (" + std::to_string(known.size()) + " in all)";
        }
        if (path.size() < 256 && known[i].size() < 256) {
            if (const std::size_t edits = edits_between(path, known[i]); edits < nearest) {
                nearest = edits;
                suggestion = &known[i];
            }
        }
    }
    if (known.empty()) {
        message += "none";
    }
    if (suggestion != nullptr) {
        message += "; did you mean '" + *suggestion + "'?";
    }
    throw Error(ErrorKind::kConfiguration, message);
}

bool all_set(const std::uint8_t* bits, std::size_t first, std::size_t size) {
    const std::size_t end = first + size;
    std::size_t bit = first;
    for (; bit < end && bit % 8 != 0; ++bit) {
        if (((bits[bit / 8] >> (bit % 8)) & 1) == 0) {
            return false;
        }
    }
    for (; bit + 64 <= end; bit += 64) {
        std::uint64_t word = 0;
        std::memcpy(&word, bits + bit / 8, sizeof(word));
        if (word != ~std::uint64_t{0}) {
            return false;
        }
    }
    for (; bit < end; ++bit) {
        if (((bits[bit / 8] >> (bit % 8)) & 1) == 0) {
            return false;
        }
    }
    return true;
}

/// Adds a level's nulls to the view; `scratch` takes the union from the second level on.
void add_nulls(ArrowColumnView& view, const ArrowArray& array, std::size_t first,
               std::vector<std::uint8_t>& scratch) {
    if (array.null_count == 0 || array.n_buffers < 1 || array.buffers[0] == nullptr) {
        return;
    }
    const auto* bits = static_cast<const std::uint8_t*>(array.buffers[0]);
    if (all_set(bits, first, view.size)) {
        return;
    }
    if (view.validity == nullptr) {
        view.validity = bits;
        view.validity_first = first;
        return;
    }
    const ArrowColumnView level{.size = view.size, .validity = bits, .validity_first = first};
    std::vector<std::uint8_t> both((view.size + 7) / 8);
    for (std::size_t row = 0; row < view.size; ++row) {
        if (view.is_valid(row) && level.is_valid(row)) {
            both[row / 8] |= static_cast<std::uint8_t>(1U << (row % 8));
        }
    }
    scratch.swap(both);
    view.validity = scratch.data();
    view.validity_first = 0;
}

/// The place in the buffers of `array` where its row `first` is; false if there is none.
bool locate(const ArrowArray& array, std::size_t first, std::size_t size, std::size_t& place) {
    constexpr auto kLimit = std::uint64_t{1} << 62;
    if (array.length < 0 || array.offset < 0 || static_cast<std::uint64_t>(array.offset) > kLimit ||
        (array.n_buffers > 0 && array.buffers == nullptr)) {
        return false;
    }
    const auto length = static_cast<std::size_t>(array.length);
    place = static_cast<std::size_t>(array.offset) + first;
    return first <= length && size <= length - first;
}

template <typename Index>
void read_indices(const ArrowColumn& column, const ArrowColumnView& view, ArrowRows rows, std::size_t limit,
                  std::uint32_t* out) {
    bool outside = false;
    const auto visit = [&](std::size_t k, std::size_t row) {
        const auto index = load_at<Index>(view.data(), view.first + row);
        // A negative index becomes a huge one.
        outside |= static_cast<std::uint64_t>(index) >= limit;
        out[k] = static_cast<std::uint32_t>(index);  // NOLINT(bugprone-signed-char-misuse)
    };
    for_each_row(view, rows, visit, [&](std::size_t k) { out[k] = ArrowRows::kNull; });
    if (outside) {
        column.corrupt("an index lies outside its dictionary");
    }
}

}  // namespace

ArrowColumn::ArrowColumn(const ArrowSchema& root, const std::string& path) : path_(path) {
    std::vector<std::size_t> children;
    if (!find_path(root, path, children)) {
        no_such_column(root, path);
    }
    const ArrowSchema* field = &root;
    for (const std::size_t child : children) {
        steps_.push_back({child, field->n_children});
        field = field->children[child];
    }
    type_name_ = arrow_type_name(*field);
    is_dictionary_ = field->dictionary != nullptr;
    if (is_dictionary_) {
        index_kind_ = parse_arrow_format(field->format).kind;
        // A dictionary of dictionaries is no type that a field can use.
        type_ = field->dictionary->dictionary == nullptr ? parse_arrow_format(field->dictionary->format)
                                                         : ArrowType{};
        if (!is_integer(index_kind_)) {
            type_ = ArrowType{};
        }
    } else {
        type_ = parse_arrow_format(field->format);
    }
}

void ArrowColumn::refuse(const std::string& expected) const {
    throw Error(ErrorKind::kConfiguration,
                "field '" + path_ + "': the column is " + type_name_ + "; " + expected);
}

void ArrowColumn::corrupt(const char* what) const {
    throw Error(ErrorKind::kPipeline, "Arrow stream: field '" + path_ + "': " + what);
}

void ArrowColumn::check_leaf(const ArrowArray& array, ArrowKind kind, std::size_t size) const {
    if (kind == ArrowKind::kNull) {
        return;
    }
    const std::int64_t buffers = is_text(kind) ? 3 : 2;
    const bool has_all =
        kind == ArrowKind::kTextView ? array.n_buffers >= buffers : array.n_buffers == buffers;
    if (!has_all || array.buffers == nullptr) {
        corrupt("the array has a wrong number of buffers");
    }
    if (size > 0 && array.buffers[1] == nullptr) {
        corrupt("the array has no data");
    }
}

ArrowColumnView ArrowColumn::view(const ArrowArray& top, std::size_t first, std::size_t size,
                                  std::vector<std::uint8_t>& validity) const {
    ArrowColumnView view{.size = size};
    const ArrowArray* array = &top;
    std::size_t place = 0;
    for (const Step& step : steps_) {
        if (!locate(*array, first, size, place)) {
            corrupt("an array is shorter than its struct says");
        }
        if (array->n_children != step.children || array->children == nullptr ||
            array->children[step.child] == nullptr) {
            corrupt("the array has not the children of its schema");
        }
        add_nulls(view, *array, place, validity);
        array = array->children[step.child];
        first = place;
    }
    if (!locate(*array, first, size, place)) {
        corrupt("an array is shorter than its struct says");
    }
    const ArrowKind kind = is_dictionary_ ? index_kind_ : type_.kind;
    check_leaf(*array, kind, size);
    if (kind != ArrowKind::kNull) {
        add_nulls(view, *array, place, validity);
    }
    if (is_dictionary_ && array->dictionary == nullptr) {
        corrupt("the array has no dictionary");
    }
    view.array = array;
    view.first = place;
    return view;
}

ArrowColumnView ArrowColumn::dictionary(const ArrowColumnView& indices) const {
    const ArrowArray& values = *indices.array->dictionary;
    ArrowColumnView view{.array = &values};
    if (!locate(values, 0, 0, view.first) || static_cast<std::uint64_t>(values.length) >= ArrowRows::kNull) {
        corrupt("the dictionary has no usable length");
    }
    view.size = static_cast<std::size_t>(values.length);
    check_leaf(values, type_.kind, view.size);
    if (type_.kind != ArrowKind::kNull) {
        std::vector<std::uint8_t> unused;
        add_nulls(view, values, view.first, unused);
    }
    return view;
}

void ArrowColumn::dictionary_rows(const ArrowColumnView& indices, ArrowRows rows, std::size_t dictionary_size,
                                  std::vector<std::uint32_t>& out) const {
    if (out.size() < rows.size) {
        out.resize(rows.size);
    }
    const auto read = [&]<typename Index>(Index) {
        read_indices<Index>(*this, indices, rows, dictionary_size, out.data());
    };
    switch (index_kind_) {
        case ArrowKind::kInt8: return read(std::int8_t{});
        case ArrowKind::kUint8: return read(std::uint8_t{});
        case ArrowKind::kInt16: return read(std::int16_t{});
        case ArrowKind::kUint16: return read(std::uint16_t{});
        case ArrowKind::kInt32: return read(std::int32_t{});
        case ArrowKind::kUint32: return read(std::uint32_t{});
        case ArrowKind::kInt64: return read(std::int64_t{});
        default: return read(std::uint64_t{});
    }
}

}  // namespace llmopt_stream
