#include "sink/arrow_table.hpp"

#include <array>
#include <cerrno>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

/// A column as Arrow wants it: bits for validity and booleans.
struct Column {
    TableColumn source;
    std::vector<std::shared_ptr<const Column>> children;
    std::size_t size = 0;
    std::vector<std::uint8_t> validity;
    std::vector<std::uint8_t> bits;
    std::size_t null_count = 0;
};

struct Table {
    std::vector<std::shared_ptr<const Column>> columns;
    std::size_t rows = 0;
};

std::vector<std::uint8_t> packed(const std::vector<std::uint8_t>& flags) {
    std::vector<std::uint8_t> bits((flags.size() + 7) / 8);
    for (std::size_t i = 0; i < flags.size(); ++i) {
        bits[i / 8] |= static_cast<std::uint8_t>((flags[i] != 0 ? 1U : 0U) << (i % 8));
    }
    return bits;
}

const char* format_of(const TableColumn& column) {
    static constexpr const char* kFormats[] = {"tsu:UTC", "l", "g", "b", "u", "+l", "+s"};
    static_assert(std::size(kFormats) == std::variant_size_v<decltype(TableColumn::data)>);
    return kFormats[column.data.index()];
}

// Every struct that is handed out owns what it points to by itself: consumers may move
// children out of their parent and release each in any order and thread.

template <typename Struct, typename Owned>
void release_owned(Struct* self) {
    delete static_cast<Owned*>(self->private_data);
    self->release = nullptr;
}

template <typename Struct>
void release_children(Struct& parent) {
    for (std::int64_t i = 0; i < parent.n_children; ++i) {
        if (parent.children[i]->release != nullptr) {
            parent.children[i]->release(parent.children[i]);
        }
    }
}

template <typename Struct>
struct Children {
    explicit Children(std::size_t count) : structs(count), pointers(count) {
        for (std::size_t i = 0; i < count; ++i) {
            pointers[i] = &structs[i];
        }
    }
    std::vector<Struct> structs;
    std::vector<Struct*> pointers;
    /// A struct array has one buffer, its validity.
    const void* no_buffer = nullptr;
};

template <typename Struct>
void release_parent(Struct* self) {
    release_children(*self);
    release_owned<Struct, Children<Struct>>(self);
}

template <typename Struct>
Children<Struct>& make_parent(Struct& out, std::size_t count) {
    auto* children = new Children<Struct>(count);
    out = Struct{};
    out.n_children = static_cast<std::int64_t>(count);
    out.children = children->pointers.data();
    out.release = release_parent<Struct>;
    out.private_data = children;
    return *children;
}

using SharedColumn = std::shared_ptr<const Column>;

/// What an exported column keeps alive, its exported children included.
template <typename Struct>
struct Owner {
    explicit Owner(const SharedColumn& owned) : column(owned), children(owned->children.size()) {}

    SharedColumn column;
    Children<Struct> children;
    std::array<const void*, 3> buffers{};
};

template <typename Struct>
void release_column(Struct* self) {
    release_children(*self);
    release_owned<Struct, Owner<Struct>>(self);
}

void export_schema(const SharedColumn& column, ArrowSchema& out) {
    auto* owner = new Owner<ArrowSchema>(column);
    out.private_data = owner;
    out.format = format_of(column->source);
    out.name = column->source.name.c_str();
    out.flags = column->source.nullable ? ARROW_FLAG_NULLABLE : 0;
    out.release = release_column<ArrowSchema>;
    out.n_children = static_cast<std::int64_t>(column->children.size());
    out.children = owner->children.pointers.data();
    for (std::size_t i = 0; i < column->children.size(); ++i) {
        export_schema(column->children[i], owner->children.structs[i]);
    }
}

void export_array(const SharedColumn& column, ArrowArray& out) {
    auto* owner = new Owner<ArrowArray>(column);
    out.length = static_cast<std::int64_t>(column->size);
    out.null_count = static_cast<std::int64_t>(column->null_count);
    out.n_buffers = 2;
    owner->buffers[0] = column->null_count == 0 ? nullptr : column->validity.data();
    std::visit(
        [&](const auto& data) {
            using Data = std::decay_t<decltype(data)>;
            if constexpr (std::is_same_v<Data, TableColumn::Bools>) {
                owner->buffers[1] = column->bits.data();
            } else if constexpr (std::is_same_v<Data, TableColumn::Texts>) {
                owner->buffers[1] = data.offsets.data();
                owner->buffers[2] = data.bytes.data();
                out.n_buffers = 3;
            } else if constexpr (std::is_same_v<Data, TableColumn::Lists>) {
                owner->buffers[1] = data.offsets.data();
            } else if constexpr (std::is_same_v<Data, TableColumn::Structs>) {
                out.n_buffers = 1;
            } else {
                owner->buffers[1] = data.values.data();
            }
        },
        column->source.data);
    out.buffers = owner->buffers.data();
    out.release = release_column<ArrowArray>;
    out.private_data = owner;
    out.n_children = static_cast<std::int64_t>(column->children.size());
    out.children = owner->children.pointers.data();
    for (std::size_t i = 0; i < column->children.size(); ++i) {
        export_array(column->children[i], owner->children.structs[i]);
    }
}

struct Stream {
    Table table;
    bool is_done = false;
};

int get_schema(ArrowArrayStream* self, ArrowSchema* out) {
    const Table& table = static_cast<Stream*>(self->private_data)->table;
    OwnedArrowSchema schema;
    try {
        Children<ArrowSchema>& children = make_parent(*schema.receive(), table.columns.size());
        schema->format = "+s";
        schema->name = "";
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
            export_schema(table.columns[i], children.structs[i]);
        }
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    *out = std::exchange(*schema.get(), ArrowSchema{});
    return 0;
}

int get_next(ArrowArrayStream* self, ArrowArray* out) {
    auto& stream = *static_cast<Stream*>(self->private_data);
    *out = ArrowArray{};
    if (stream.is_done) {
        return 0;
    }
    OwnedArrowArray array;
    try {
        Children<ArrowArray>& children = make_parent(*array.receive(), stream.table.columns.size());
        array->length = static_cast<std::int64_t>(stream.table.rows);
        array->n_buffers = 1;
        array->buffers = &children.no_buffer;
        for (std::size_t i = 0; i < stream.table.columns.size(); ++i) {
            export_array(stream.table.columns[i], children.structs[i]);
        }
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    stream.is_done = true;
    *out = std::exchange(*array.get(), ArrowArray{});
    return 0;
}

/// Only memory can run out, and its code says so.
const char* get_last_error(ArrowArrayStream*) { return nullptr; }

Column to_column(TableColumn&& source, std::size_t rows) {
    if (source.size() != rows || (!source.valid.empty() && source.valid.size() != rows)) {
        throw Error(ErrorKind::kPipeline, "table column '" + source.name +
                                              "': " + std::to_string(source.size()) +
                                              " values in a table of " + std::to_string(rows) + " rows");
    }
    Column column;
    for (const std::uint8_t valid : source.valid) {
        column.null_count += valid == 0 ? 1 : 0;
    }
    if (column.null_count > 0 && !source.nullable) {
        throw Error(ErrorKind::kPipeline,
                    "table column '" + source.name + "': has nulls but is not nullable");
    }
    column.size = rows;
    column.validity = packed(source.valid);
    if (const auto* booleans = std::get_if<TableColumn::Bools>(&source.data)) {
        column.bits = packed(booleans->values);
    }
    const auto take_children = [&](std::vector<TableColumn>& children, std::size_t size) {
        for (TableColumn& child : children) {
            column.children.push_back(std::make_shared<const Column>(to_column(std::move(child), size)));
        }
    };
    if (auto* const lists = std::get_if<TableColumn::Lists>(&source.data)) {
        take_children(lists->items, static_cast<std::size_t>(lists->offsets.back()));
    } else if (auto* const structs = std::get_if<TableColumn::Structs>(&source.data)) {
        take_children(structs->fields, rows);
    }
    column.source = std::move(source);
    return column;
}

}  // namespace

void TableColumn::Texts::append(std::string_view text) {
    if (text.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) - bytes.size()) {
        throw Error(ErrorKind::kPipeline, "a text column of a result table would pass 2 GiB");
    }
    bytes.append(text);
    offsets.push_back(static_cast<std::int32_t>(bytes.size()));
}

void TableColumn::Lists::end(std::size_t items_so_far) {
    if (items_so_far > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        throw Error(ErrorKind::kPipeline, "the lists of a result table would have more than 2^31 items");
    }
    offsets.push_back(static_cast<std::int32_t>(items_so_far));
}

std::size_t TableColumn::size() const noexcept {
    return std::visit(
        [](const auto& data) -> std::size_t {
            using Data = std::decay_t<decltype(data)>;
            if constexpr (std::is_same_v<Data, Texts> || std::is_same_v<Data, Lists>) {
                return data.offsets.empty() ? 0 : data.offsets.size() - 1;
            } else if constexpr (std::is_same_v<Data, Structs>) {
                return data.size;
            } else {
                return data.values.size();
            }
        },
        data);
}

void export_table(TableColumns&& columns, ArrowArrayStream* out) {
    auto stream = std::make_unique<Stream>();
    stream->table.rows = columns.empty() ? 0 : columns.front().size();
    for (TableColumn& column : columns) {
        stream->table.columns.push_back(
            std::make_shared<const Column>(to_column(std::move(column), stream->table.rows)));
    }
    columns.clear();
    *out = ArrowArrayStream{.get_schema = get_schema,
                            .get_next = get_next,
                            .get_last_error = get_last_error,
                            .release = release_owned<ArrowArrayStream, Stream>,
                            .private_data = stream.release()};
}

}  // namespace llmopt_stream
