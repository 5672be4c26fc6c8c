#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "expression/comparison.hpp"
#include "expression/truth.hpp"

namespace llmopt_stream {

/// Something that is true or false of a scalar, encoded as a key of one field. Of null, and of scalars of
/// another kind than it is about, it is unknown; only is_null() is known of everything.
class LabelTest {
public:
    /// Whether it is null.
    [[nodiscard]] static LabelTest is_null() { return LabelTest(Kind::kIsNull); }
    /// Whether it is true.
    [[nodiscard]] static LabelTest is_true() { return LabelTest(Kind::kIsTrue); }
    /// How it compares with a scalar of its kind; text by code point.
    [[nodiscard]] static LabelTest compares(Comparison comparison, std::string encoded);
    /// Whether it is one of these, which are of one kind. Without any, it is about every kind.
    [[nodiscard]] static LabelTest is_in(std::vector<std::string> encoded);

    [[nodiscard]] Truth operator()(std::string_view encoded) const;

private:
    enum class Kind : std::uint8_t { kIsNull, kIsTrue, kCompares, kIsIn };

    explicit LabelTest(Kind kind) : kind_(kind) {}

    Kind kind_;
    Comparison comparison_ = Comparison::kEqual;
    /// What it is compared with: sorted.
    std::vector<std::string> scalars_;
};

}  // namespace llmopt_stream
