/// Texts that nodes and people send: of limited length, and such that nothing in them steers who reads them.
#pragma once

#include <google/protobuf/message.h>

#include "base/result.hpp"

namespace umbra::controller {

/// Characters of a text (`text`, `detail`, `reason`, `refusal`, `why`) and of any other string.
inline constexpr std::size_t kMostText = 2'000;
inline constexpr std::size_t kMostName = 255;

/// What a node reports: each string in the message, however deep, becomes printable() and is cut with a mark.
/// Definitions
/// (`xml`) are left alone, they have limits of their own.
void tidy(google::protobuf::Message& message);

/// What a person or program asks: nothing is cut silently. @error kInvalid naming the field that is too long
Result<void> check_texts(const google::protobuf::Message& request);

}  // namespace umbra::controller
