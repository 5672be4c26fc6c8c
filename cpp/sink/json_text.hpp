#pragma once

#include <string>
#include <string_view>

/// Appends to JSON text, as Python's json module writes it with ensure_ascii=False and without spaces.
namespace llmopt_stream::json_text {

/// Quoted and escaped. Requires valid UTF-8.
void append_string(std::string& out, std::string_view text);
/// The shortest decimal number that reads back as the same; null for one that is not finite.
void append_number(std::string& out, double number);

}  // namespace llmopt_stream::json_text
