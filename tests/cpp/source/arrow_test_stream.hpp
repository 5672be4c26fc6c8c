#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "record/arrow_c_data.hpp"

namespace llmopt_stream::arrow_test {

/// A column or struct as a producer would lay it out, field and array in one.
struct Node {
    std::string name;
    std::string format;
    std::int64_t length = 0;
    std::int64_t offset = 0;
    /// Empty stands for a null buffer.
    std::vector<std::optional<std::string>> buffers;
    std::vector<Node> children;
    std::shared_ptr<Node> dictionary;
};

inline std::string bits(const std::vector<bool>& flags) {
    std::string out((flags.size() + 7) / 8, '\0');
    for (std::size_t i = 0; i < flags.size(); ++i) {
        out[i / 8] = static_cast<char>(out[i / 8] | (flags[i] ? 1 << (i % 8) : 0));
    }
    return out;
}

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
    std::string out(values.size() * sizeof(T), '\0');
    if (!values.empty()) {
        std::memcpy(out.data(), values.data(), out.size());
    }
    return out;
}

inline std::optional<std::string> validity(const std::vector<bool>& valid) {
    return valid.empty() ? std::nullopt : std::optional(bits(valid));
}

template <typename T>
Node numbers(std::string name, std::string format, const std::vector<T>& values,
             const std::vector<bool>& valid = {}) {
    return {std::move(name),
            std::move(format),
            static_cast<std::int64_t>(values.size()),
            0,
            {validity(valid), bytes_of(values)},
            {},
            nullptr};
}

inline Node booleans(std::string name, const std::vector<bool>& values, const std::vector<bool>& valid = {}) {
    return {std::move(name),
            "b",
            static_cast<std::int64_t>(values.size()),
            0,
            {validity(valid), bits(values)},
            {},
            nullptr};
}

using Texts = std::vector<std::optional<std::string>>;

template <typename Offset = std::int32_t>
Node texts(std::string name, const Texts& values) {
    std::vector<Offset> offsets{0};
    std::vector<bool> valid;
    std::string bytes;
    for (const auto& value : values) {
        valid.push_back(value.has_value());
        bytes += value.value_or("");
        offsets.push_back(static_cast<Offset>(bytes.size()));
    }
    return {std::move(name),
            sizeof(Offset) == 4 ? "u" : "U",
            static_cast<std::int64_t>(values.size()),
            0,
            {validity(valid), bytes_of(offsets), bytes},
            {},
            nullptr};
}

/// Long texts go to two data buffers in turn.
inline Node text_views(std::string name, const Texts& values) {
    std::string views;
    std::vector<bool> valid;
    std::string data[2];
    int turn = 0;
    for (const auto& value : values) {
        const std::string text = value.value_or("");
        valid.push_back(value.has_value());
        std::string view(16, '\0');
        const auto size = static_cast<std::int32_t>(text.size());
        std::memcpy(view.data(), &size, 4);
        std::memcpy(view.data() + 4, text.data(),
                    std::min<std::size_t>(text.size(), text.size() <= 12 ? 12 : 4));
        if (text.size() > 12) {
            const auto begin = static_cast<std::int32_t>(data[turn].size());
            std::memcpy(view.data() + 8, &turn, 4);
            std::memcpy(view.data() + 12, &begin, 4);
            data[turn] += text;
            turn = 1 - turn;
        }
        views += view;
    }
    const std::vector<std::int64_t> sizes{static_cast<std::int64_t>(data[0].size()),
                                          static_cast<std::int64_t>(data[1].size())};
    return {std::move(name),
            "vu",
            static_cast<std::int64_t>(values.size()),
            0,
            {validity(valid), views, data[0], data[1], bytes_of(sizes)},
            {},
            nullptr};
}

inline Node nulls(std::string name, std::int64_t length) {
    return {std::move(name), "n", length, 0, {}, {}, nullptr};
}

inline Node structs(std::string name, std::vector<Node> children, const std::vector<bool>& valid = {}) {
    const std::int64_t length = children.empty() ? 0 : children.front().length;
    return {std::move(name), "+s", length, 0, {validity(valid)}, std::move(children), nullptr};
}

inline Node dictionary_encoded(Node indices, Node values) {
    indices.dictionary = std::make_shared<Node>(std::move(values));
    return indices;
}

inline Node sliced(Node node, std::int64_t offset, std::int64_t length) {
    node.offset = offset;
    node.length = length;
    return node;
}

inline Node table(std::vector<Node> columns) { return structs("", std::move(columns)); }

/// Arrays and schemas that were handed out and not yet released.
inline int live_structs = 0;

template <typename Struct>
void release_tree(Struct* self) {
    for (std::int64_t i = 0; i < self->n_children; ++i) {
        if (self->children[i]->release != nullptr) {
            self->children[i]->release(self->children[i]);
        }
        delete self->children[i];
    }
    delete[] self->children;
    if (self->dictionary != nullptr) {
        self->dictionary->release(self->dictionary);
        delete self->dictionary;
    }
    if constexpr (std::is_same_v<Struct, ArrowArray>) {
        for (std::int64_t i = 0; i < self->n_buffers; ++i) {
            delete[] static_cast<const char*>(self->buffers[i]);
        }
        delete[] self->buffers;
    }
    self->release = nullptr;
    --live_structs;
}

template <typename Struct>
void fill_tree(const Node& node, Struct& out) {
    out = Struct{};
    out.n_children = static_cast<std::int64_t>(node.children.size());
    out.children = new Struct*[node.children.size()];
    for (std::size_t i = 0; i < node.children.size(); ++i) {
        out.children[i] = new Struct;
        fill_tree(node.children[i], *out.children[i]);
    }
    if (node.dictionary != nullptr) {
        out.dictionary = new Struct;
        fill_tree(*node.dictionary, *out.dictionary);
    }
    if constexpr (std::is_same_v<Struct, ArrowArray>) {
        out.length = node.length;
        out.offset = node.offset;
        out.null_count = -1;
        out.n_buffers = static_cast<std::int64_t>(node.buffers.size());
        out.buffers = new const void*[node.buffers.size()];
        for (std::size_t i = 0; i < node.buffers.size(); ++i) {
            // Allocated to the byte, so that a sanitizer sees every read beyond the end.
            char* copy = node.buffers[i] ? new char[node.buffers[i]->size()] : nullptr;
            if (copy != nullptr) {
                std::memcpy(copy, node.buffers[i]->data(), node.buffers[i]->size());
            }
            out.buffers[i] = copy;
        }
    } else {
        out.format = node.format.c_str();
        out.name = node.name.c_str();
    }
    out.release = release_tree<Struct>;
    ++live_structs;
}

struct StreamState {
    std::vector<Node> tables;
    std::string error;
    std::size_t next = 0;
};

/// A stream of tables with the schema of the first, which then fails if there is an error.
/// Its schemas must not outlive it.
inline ArrowArrayStream stream_of(std::vector<Node> tables, std::string error = "") {
    ArrowArrayStream stream{};
    stream.private_data = new StreamState{std::move(tables), std::move(error)};
    stream.get_schema = [](ArrowArrayStream* self, ArrowSchema* out) {
        fill_tree(static_cast<StreamState*>(self->private_data)->tables.front(), *out);
        return 0;
    };
    stream.get_next = [](ArrowArrayStream* self, ArrowArray* out) {
        auto& state = *static_cast<StreamState*>(self->private_data);
        *out = ArrowArray{};
        if (state.next < state.tables.size()) {
            fill_tree(state.tables[state.next++], *out);
            return 0;
        }
        return state.error.empty() ? 0 : EIO;
    };
    stream.get_last_error = [](ArrowArrayStream* self) {
        return static_cast<StreamState*>(self->private_data)->error.c_str();
    };
    stream.release = [](ArrowArrayStream* self) {
        delete static_cast<StreamState*>(self->private_data);
        self->release = nullptr;
        --live_structs;
    };
    ++live_structs;
    return stream;
}

}  // namespace llmopt_stream::arrow_test
