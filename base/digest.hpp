/// Digests, and octets in words.
#pragma once

#include <string>
#include <string_view>

namespace umbra {

/// 32 octets.
std::string sha256(std::string_view octets);
/// "00ff"
std::string hex(std::string_view octets);

}  // namespace umbra
