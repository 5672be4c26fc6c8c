#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/result_value.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

enum class ResultType : std::uint8_t { kFloat64, kInt64, kNested };

/// Results of one statistic, pane by pane. Exactly one of the three value vectors is
/// filled, as `type` says; where `present` is 0 the value means null.
struct ResultColumn {
    std::string name;
    ResultType type = ResultType::kFloat64;
    /// Of nested results, one that has everything that results can have: what type the column has where its
    /// own values do not say.
    ResultValue example{};
    std::vector<double> float64{};
    std::vector<std::int64_t> int64{};
    std::vector<ResultValue> nested{};
    std::vector<std::uint8_t> present{};

    [[nodiscard]] std::size_t size() const noexcept { return present.size(); }
    /// The same column without its values.
    [[nodiscard]] ResultColumn without_values() const { return {name, type, example}; }
    /// Keeps the memory.
    void clear() noexcept {
        float64.clear();
        int64.clear();
        nested.clear();
        present.clear();
    }
    void append(double value) {
        float64.push_back(value);
        present.push_back(1);
    }
    void append(std::int64_t value) {
        int64.push_back(value);
        present.push_back(1);
    }
    void append(ResultValue value) {
        present.push_back(value.is_null() ? 0 : 1);
        nested.push_back(std::move(value));
    }
    void append_null() {
        switch (type) {
            case ResultType::kFloat64: float64.push_back(0); break;
            case ResultType::kInt64: int64.push_back(0); break;
            case ResultType::kNested: nested.emplace_back(); break;
        }
        present.push_back(0);
    }
    /// One value of a column of the same type.
    void append(const ResultColumn& from, std::size_t pane);
    /// All values of a column of the same type.
    void append(const ResultColumn& from);
    /// Back to the first `size` results.
    void shrink(std::size_t size);

    void encode(std::size_t pane, ByteWriter& out) const;
    /// Appends what encode() wrote.
    void decode(ByteReader& in);
};

}  // namespace llmopt_stream
