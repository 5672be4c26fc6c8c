#include "aggregate/result_column.hpp"

namespace llmopt_stream {
namespace {

template <typename T>
void append_all(std::vector<T>& to, const std::vector<T>& from) {
    to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

void ResultColumn::append(const ResultColumn& from, std::size_t pane) {
    switch (type) {
        case ResultType::kFloat64: float64.push_back(from.float64[pane]); break;
        case ResultType::kInt64: int64.push_back(from.int64[pane]); break;
        case ResultType::kNested: nested.push_back(from.nested[pane]); break;
    }
    present.push_back(from.present[pane]);
}

void ResultColumn::append(const ResultColumn& from) {
    append_all(float64, from.float64);
    append_all(int64, from.int64);
    append_all(nested, from.nested);
    append_all(present, from.present);
}

void ResultColumn::shrink(std::size_t size) {
    if (present.size() <= size) {
        return;
    }
    switch (type) {
        case ResultType::kFloat64: float64.resize(size); break;
        case ResultType::kInt64: int64.resize(size); break;
        case ResultType::kNested: nested.resize(size); break;
    }
    present.resize(size);
}

void ResultColumn::encode(std::size_t pane, ByteWriter& out) const {
    out.write(present[pane]);
    switch (type) {
        case ResultType::kFloat64: out.write(float64[pane]); break;
        case ResultType::kInt64: out.write(int64[pane]); break;
        case ResultType::kNested: nested[pane].encode(out); break;
    }
}

void ResultColumn::decode(ByteReader& in) {
    present.push_back(in.read<std::uint8_t>());
    switch (type) {
        case ResultType::kFloat64: float64.push_back(in.read<double>()); break;
        case ResultType::kInt64: int64.push_back(in.read<std::int64_t>()); break;
        case ResultType::kNested: nested.push_back(ResultValue::decode(in)); break;
    }
}

}  // namespace llmopt_stream
