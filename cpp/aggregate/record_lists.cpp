#include "aggregate/record_lists.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "aggregate/state_part.hpp"

namespace llmopt_stream {
namespace {

struct State {
    char* bytes = nullptr;
    std::uint64_t size = 0;
    std::uint64_t capacity = 0;
    std::uint64_t count = 0;
};

/// Seven bits to a byte, the lowest first; all but the last have the eighth bit set.
void write_varint(std::string& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        out.push_back(static_cast<char>(value | 0x80));
    }
    out.push_back(static_cast<char>(value));
}

std::string_view take_bytes(std::string_view& bytes, std::size_t size) {
    if (bytes.size() < size) {
        ByteReader::corrupt("a record ends too early");
    }
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
}

std::uint64_t take_varint(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const auto byte = static_cast<std::uint8_t>(take_bytes(bytes, 1).front());
        value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    ByteReader::corrupt("a length that cannot be");
}

template <typename T>
T take_fixed(std::string_view& bytes) {
    T value;
    std::memcpy(&value, take_bytes(bytes, sizeof(T)).data(), sizeof(T));
    return value;
}

template <typename T>
void write_fixed(std::string& out, T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out.append(bytes, sizeof(T));
}

void forget_records(State& state, SizeClassPool& pool) noexcept {
    if (state.bytes != nullptr) {
        pool.release(state.bytes, state.capacity);
    }
    state.bytes = nullptr;
    state.size = state.capacity = 0;
}

}  // namespace

std::size_t RecordLists::state_bytes() const noexcept { return sizeof(State); }

void RecordLists::create(std::byte* state) const noexcept { store_part(state, State{}); }

void RecordLists::destroy(std::byte* at, SizeClassPool& pool) const noexcept {
    auto state = load_part<State>(at);
    forget_records(state, pool);
}

void RecordLists::append(std::byte* at, std::string_view bytes, std::uint64_t records,
                         SizeClassPool& pool) const {
    auto state = load_part<State>(at);
    state.count += records;
    if (state.count > limit_) {
        forget_records(state, pool);
        store_part(at, state);
        return;
    }
    if (state.size + bytes.size() > state.capacity) {
        const std::size_t capacity = SizeClassPool::block_bytes(
            std::max(state.size + bytes.size(), state.capacity + state.capacity / 2));
        auto* const grown = static_cast<char*>(pool.allocate(capacity));
        if (state.bytes != nullptr) {
            std::memcpy(grown, state.bytes, state.size);
            pool.release(state.bytes, state.capacity);
        }
        state.bytes = grown;
        state.capacity = capacity;
    }
    if (!bytes.empty()) {
        std::memcpy(state.bytes + state.size, bytes.data(), bytes.size());
    }
    state.size += bytes.size();
    store_part(at, state);
}

std::uint64_t RecordLists::add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                               std::size_t first, SizeClassPool& pool) const {
    std::string bytes;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t record = first + i;
        bytes.clear();
        write_fixed(bytes, batch.time_of(record));
        write_varint(bytes, batch.position_of(record));
        for (const std::size_t column : columns_) {
            const LabelColumn& labels = batch.labels[column];
            const std::string_view label = labels.values->key(labels.code[record]);
            write_varint(bytes, label.size());
            bytes += label;
        }
        append(rows[i] + offset, bytes, 1, pool);
    }
    return 0;
}

void RecordLists::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    const auto other = load_part<State>(from);
    append(into, {other.bytes, other.size}, other.count, pool);
}

std::uint64_t RecordLists::count(const std::byte* state) const noexcept {
    return load_part<State>(state).count;
}

RecordLists::Record RecordLists::take_record(std::string_view& bytes) const {
    Record record;
    record.time = take_fixed<Timestamp>(bytes);
    record.position = take_varint(bytes);
    for (std::size_t label = 0; label < columns_.size(); ++label) {
        record.labels.push_back(take_bytes(bytes, take_varint(bytes)));
    }
    return record;
}

std::vector<RecordLists::Record> RecordLists::records(const std::byte* at) const {
    const auto state = load_part<State>(at);
    std::string_view bytes{state.bytes, state.size};
    std::vector<Record> records;
    while (!bytes.empty()) {
        records.push_back(take_record(bytes));
    }
    std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
        return std::pair(a.time, a.position) < std::pair(b.time, b.position);
    });
    return records;
}

void RecordLists::encode(const std::byte* at, ByteWriter& out) const {
    const auto state = load_part<State>(at);
    out.write(state.count);
    out.write_bytes({state.bytes, state.size});
}

void RecordLists::decode(std::byte* at, ByteReader& in, SizeClassPool& pool) const {
    const auto count = in.read<std::uint64_t>();
    const std::string_view bytes = in.read_bytes();
    std::uint64_t records = 0;
    for (std::string_view rest = bytes; !rest.empty(); ++records) {
        static_cast<void>(take_record(rest));
    }
    if (records != (count > limit_ ? 0 : count)) {
        ByteReader::corrupt("a list of records that is not whole");
    }
    append(at, bytes, count, pool);
}

}  // namespace llmopt_stream
