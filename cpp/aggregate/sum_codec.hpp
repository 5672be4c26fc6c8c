#pragma once

#include <cmath>

#include "aggregate/compensated_sum.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

inline void encode_sum(const CompensatedSum& sum, ByteWriter& out) {
    out.write(sum.raw_parts().hi);
    out.write(sum.raw_parts().lo);
}

/// Throws Error(kCheckpoint) on what no sum can be.
[[nodiscard]] inline CompensatedSum decode_sum(ByteReader& in) {
    DoubleDouble parts;
    parts.hi = in.read<double>();
    parts.lo = in.read<double>();
    // An infinite sum has a low part that means nothing.
    if (std::isnan(parts.hi) || (std::isfinite(parts.hi) && std::isnan(parts.lo))) {
        ByteReader::corrupt("a sum is not a number");
    }
    return CompensatedSum(parts);
}

}  // namespace llmopt_stream
