#pragma once

#include <string>
#include <vector>

#include "aggregate/result_value.hpp"
#include "sink/arrow_table.hpp"

namespace llmopt_stream {

/// Values of any kind as one column. Its type is the one that holds them all and `example`, which is no
/// value: integers among floats become floats, other mixed scalars text, so do integers beyond int64, and a
/// struct has every field that any value has, in the order in which they first appear.
[[nodiscard]] TableColumn nested_column(std::string name, const std::vector<ResultValue>& values,
                                        const ResultValue& example);

}  // namespace llmopt_stream
