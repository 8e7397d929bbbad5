/// How messages travel between an agent and its gate: each behind its length, in four bytes of the network's order, as
/// on the fleet's wire.
#pragma once

#include <google/protobuf/message_lite.h>

#include <optional>
#include <string>

#include "base/result.hpp"
#include "rpc/connection.hpp"

namespace umbra::gate {

inline constexpr std::size_t kLongestFrame = 1U << 20;

inline std::string frame_of(const google::protobuf::MessageLite& message) {
  const auto length = static_cast<std::uint32_t>(message.ByteSizeLong());
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(length >> shift));
  message.AppendToString(&bytes);
  return bytes;
}

/// Takes the first whole message from the front of `bytes`. @return whether there was one
/// @error kInvalid it is too long, or no such message
inline Result<bool> take_frame(std::string& bytes, google::protobuf::MessageLite& message) {
  if (bytes.size() < rpc::kLengthBytes) return false;
  const auto length = rpc::read_length(bytes.data());
  if (length > kLongestFrame) return fail(Errc::kInvalid, "a message of {} bytes", length);
  if (bytes.size() < rpc::kLengthBytes + length) return false;
  const bool read = message.ParseFromArray(bytes.data() + rpc::kLengthBytes, static_cast<int>(length));
  bytes.erase(0, rpc::kLengthBytes + length);
  if (!read) return fail(Errc::kInvalid, "a message that cannot be read");
  return true;
}

}  // namespace umbra::gate
