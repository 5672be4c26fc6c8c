#include "expression/label_test.hpp"

#include <algorithm>
#include <utility>

#include "record/key.hpp"

namespace llmopt_stream {

using key_encoding::kind_of;
using key_encoding::ScalarKind;

LabelTest LabelTest::compares(Comparison comparison, std::string encoded) {
    LabelTest test(Kind::kCompares);
    test.comparison_ = comparison;
    test.scalars_.push_back(std::move(encoded));
    return test;
}

LabelTest LabelTest::is_in(std::vector<std::string> encoded) {
    LabelTest test(Kind::kIsIn);
    test.scalars_ = std::move(encoded);
    std::sort(test.scalars_.begin(), test.scalars_.end());
    return test;
}

Truth LabelTest::operator()(std::string_view encoded) const {
    const ScalarKind kind = kind_of(encoded);
    if (kind_ == Kind::kIsNull) {
        return truth_of(kind == ScalarKind::kNull);
    }
    const ScalarKind about = kind_ == Kind::kIsTrue ? ScalarKind::kBool
                             : scalars_.empty()     ? kind
                                                    : kind_of(scalars_.front());
    if (kind == ScalarKind::kNull || kind != about) {
        return Truth::kUnknown;
    }
    bool holds = false;
    if (kind_ == Kind::kIsTrue) {
        holds = key_encoding::is_true(encoded);
    } else if (kind_ == Kind::kIsIn) {
        holds = std::binary_search(scalars_.begin(), scalars_.end(), encoded, std::less<>());
    } else {
        with_comparison(comparison_, [&](const auto& compares) {
            holds = compares(encoded, std::string_view(scalars_.front()));
        });
    }
    return truth_of(holds);
}

}  // namespace llmopt_stream
