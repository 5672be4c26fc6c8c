#include "window/pane.hpp"

#include <utility>

namespace llmopt_stream {
namespace {

template <typename T>
void append_all(std::vector<T>& to, const std::vector<T>& from) {
    to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

void PaneTable::append(PaneTable&& later) {
    if (size() == 0) {
        *this = std::move(later);
        return;
    }
    append_all(fired_at, later.fired_at);
    append_all(start, later.start);
    append_all(end, later.end);
    append_all(timing, later.timing);
    append_all(index, later.index);
    append_all(is_last, later.is_last);
    for (const std::uint64_t key_end : later.key_ends) {
        key_ends.push_back(key_bytes.size() + key_end);
    }
    key_bytes += later.key_bytes;
    for (const std::uint64_t replaces_end : later.replaces_ends) {
        replaces_ends.push_back(replaces.size() + replaces_end);
    }
    append_all(replaces, later.replaces);
    for (std::size_t column = 0; column < results.size(); ++column) {
        results[column].append(later.results[column]);
    }
}

void PaneTable::encode(ByteWriter& out) const {
    out.write<std::uint64_t>(size());
    for (std::size_t pane = 0; pane < size(); ++pane) {
        out.write(fired_at[pane]);
        out.write(start[pane]);
        out.write(end[pane]);
        out.write(static_cast<std::uint8_t>(timing[pane]));
        out.write(index[pane]);
        out.write(is_last[pane]);
        out.write_bytes(key(pane));
        const std::uint64_t first = pane == 0 ? 0 : replaces_ends[pane - 1];
        out.write<std::uint64_t>(replaces_ends[pane] - first);
        for (std::uint64_t at = first; at < replaces_ends[pane]; ++at) {
            out.write(replaces[at].start);
            out.write(replaces[at].end);
        }
        for (const ResultColumn& column : results) {
            column.encode(pane, out);
        }
    }
}

void PaneTable::decode(ByteReader& in) {
    const std::uint64_t panes = in.read_count(1);
    for (std::uint64_t pane = 0; pane < panes; ++pane) {
        const auto position = in.read<std::uint64_t>();
        const auto from = in.read<Timestamp>();
        const Interval window{from, in.read<Timestamp>()};
        const auto raw_timing = in.read<std::uint8_t>();
        if (raw_timing > static_cast<std::uint8_t>(PaneTiming::kLate)) {
            ByteReader::corrupt("an unknown pane timing");
        }
        const auto pane_index = in.read<std::uint32_t>();
        const bool last = in.read<std::uint8_t>() != 0;
        const std::string_view encoded_key = in.read_bytes();
        std::vector<Interval> superseded(in.read_count(2 * sizeof(Timestamp)));
        for (Interval& interval : superseded) {
            interval.start = in.read<Timestamp>();
            interval.end = in.read<Timestamp>();
        }
        append(encoded_key, window, position, static_cast<PaneTiming>(raw_timing), pane_index, last,
               superseded);
        for (ResultColumn& column : results) {
            column.decode(in);
        }
    }
}

}  // namespace llmopt_stream
