#pragma once

namespace llmopt_stream {

// NOLINTBEGIN(modernize-use-using): no other declaration can be marked as an extension
__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;
// NOLINTEND(modernize-use-using)

}  // namespace llmopt_stream
