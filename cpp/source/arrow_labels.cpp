#include "source/arrow_labels.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "record/key.hpp"

namespace llmopt_stream {

LabelColumn ArrowLabels::read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                              Buffers& buffers) {
    if (buffers.codes.size() < rows.size) {
        buffers.codes.resize(rows.size);
    }
    const std::span codes = std::span(buffers.codes).first(rows.size);
    KeyDictionary& dictionary = buffers.dictionary;
    dictionary.clear();
    std::string encoded_null;
    key_encoding::append_null(encoded_null);
    if (!column_.has_scalars()) {
        std::fill(codes.begin(), codes.end(), dictionary.intern(encoded_null));
        return {codes, &dictionary};
    }
    if (!column_.read(top, first, size, rows, dictionary, codes.data())) {
        std::replace(codes.begin(), codes.end(), kUnusableKey, dictionary.intern(encoded_null));
    }
    // Infinities and NaN are null.
    label_of_entry_.resize(dictionary.size());
    std::iota(label_of_entry_.begin(), label_of_entry_.end(), std::uint32_t{0});
    bool all_finite = true;
    for (std::uint32_t entry = 0; entry < label_of_entry_.size(); ++entry) {
        if (key_encoding::is_not_finite(dictionary.key(entry))) {
            label_of_entry_[entry] = dictionary.intern(encoded_null);
            all_finite = false;
        }
    }
    if (!all_finite) {
        for (std::uint32_t& code : codes) {
            code = label_of_entry_[code];
        }
    }
    return {codes, &dictionary};
}

}  // namespace llmopt_stream
