#pragma once

#include <string>
#include <string_view>

/// Snapshots are framed: magic, format version, the plan they belong to, the body, and a
/// checksum over all of it. A reader refuses what is cut short, altered, of a newer format or
/// of another plan, before it looks at the body.
namespace llmopt_stream::snapshot_frame {

/// `plan` is any text that is equal exactly for plans that can read each other's state.
[[nodiscard]] std::string seal(std::string_view plan, std::string_view body);

/// The body. Throws Error(kCheckpoint) that says what is wrong.
[[nodiscard]] std::string open(std::string_view plan, std::string_view framed);

}  // namespace llmopt_stream::snapshot_frame
