/// What XML may be, before any parser sees it.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.hpp"

namespace umbra::virt {

/// A domain with a thousand disks is well below all of these.
struct XmlLimits {
  std::size_t bytes = 1024 * 1024;
  std::size_t depth = 64;  ///< parsers, printers and destructors of trees recurse once a level
  std::size_t elements = 20'000;
  std::size_t attributes = 60'000;
};

/// Which no XML may have.
constexpr bool is_control(unsigned char c) {
  return c < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

/// Reads the text once, without recursion or memory of its own. What passes is UTF-8 with balanced tags, has no DOCTYPE
/// (and so no entities but XML's five) and no control characters.
/// @error kInvalid, with line and column and the limit that is exceeded
Result<void> check_xml(std::string_view xml, const XmlLimits& limits = {});

}  // namespace umbra::virt
