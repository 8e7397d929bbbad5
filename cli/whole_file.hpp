/// Files that appear whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace umbra::cli {

/// Why write_whole_file() would fail, as far as can be told beforehand: so that nobody waits for work that is lost.
/// @error kInvalid a directory; kNotFound no such directory to write to; kDenied no permission
Result<void> check_writable(const std::string& name);

/// Writes a new file beside it and puts that in its place; what is there keeps its permissions, and a link stays one.
/// What is no regular file, such as /dev/stdout or a pipe, is written to as it is.
/// @error as check_writable(); kExhausted, kUnavailable when writing fails, and then nothing has changed
Result<void> write_whole_file(const std::string& name, std::string_view text);

}  // namespace umbra::cli
