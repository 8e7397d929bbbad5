#include "base/digest.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

namespace umbra {

std::string sha256(std::string_view octets) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(octets.data()), octets.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string hex(std::string_view octets) {
  std::string text;
  for (const char each : octets) text += fmt::format("{:02x}", static_cast<unsigned char>(each));
  return text;
}

}  // namespace umbra
