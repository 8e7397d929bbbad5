/// How messages travel between an agent and its gate: each behind its length, in four bytes of the network's order.
#pragma once

#include <google/protobuf/message_lite.h>

#include <optional>
#include <string>

#include "base/result.hpp"

namespace umbra::gate {

inline constexpr std::size_t kLongestFrame = 1U << 20;
inline constexpr std::size_t kFrameLength = 4;

inline std::string frame_of(const google::protobuf::MessageLite& message) {
  const auto length = static_cast<std::uint32_t>(message.ByteSizeLong());
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(length >> shift));
  message.AppendToString(&bytes);
  return bytes;
}

inline std::size_t frame_length(std::string_view bytes) {
  std::size_t length = 0;
  for (const char byte : bytes.substr(0, kFrameLength)) length = length << 8 | static_cast<unsigned char>(byte);
  return length;
}

/// Takes the first whole message from the front of `bytes`. @return whether there was one
/// @error kInvalid it is too long, or no such message
inline Result<bool> take_frame(std::string& bytes, google::protobuf::MessageLite& message) {
  if (bytes.size() < kFrameLength) return false;
  const auto length = frame_length(bytes);
  if (length > kLongestFrame) return fail(Errc::kInvalid, "a message of {} bytes", length);
  if (bytes.size() < kFrameLength + length) return false;
  const bool read = message.ParseFromArray(bytes.data() + kFrameLength, static_cast<int>(length));
  bytes.erase(0, kFrameLength + length);
  if (!read) return fail(Errc::kInvalid, "a message that cannot be read");
  return true;
}

}  // namespace umbra::gate
