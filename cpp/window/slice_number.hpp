#pragma once

#include "record/int128.hpp"

namespace llmopt_stream {

/// Slices in time order are numbered by consecutive integers. With two slices in each slide
/// of 2 µs the time range has a few more of them than 64 bits can tell apart.
using SliceNumber = Int128;

/// Slices [first, end).
struct SliceRange {
    SliceNumber first;
    SliceNumber end;
};

}  // namespace llmopt_stream
