/// Text from outside – certificate names, events, VM names, messages of peers, libvirt and QEMU, files – made harmless
/// for logs, terminals and files.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace umbra {

/// What a text begins with. `length` is 0 for bytes that are no well-formed UTF-8 (RFC 3629).
struct CodePoint {
  char32_t point = 0;
  std::size_t length = 0;
};
CodePoint decode_utf8(std::string_view text);

/// Does this character steer its reader instead of showing something? C0, DEL and C1 control characters, line and
/// paragraph separators, marks that turn the direction of text, characters of no width that hide between others, and
/// code points that are no characters.
bool is_steering(char32_t point);

/// One line that shows what it holds: steering characters as "\n", "\x1b" or "\u{202e}", bytes that are no UTF-8 as
/// "\xff". A syslog priority ("<0>") at its start, which journald would obey, begins with "\x3c" instead.
/// Printing it again changes nothing.
std::string printable(std::string_view text);
/// The same, at most `most` characters long; what is missing shows as "…".
std::string printable(std::string_view text, std::size_t most);

/// Well-formed UTF-8: each byte that belongs to no character becomes U+FFFD.
std::string valid_utf8(std::string_view text);
/// The same, at most `most` characters long; what is missing shows as "…".
std::string limited(std::string_view text, std::size_t most);

}  // namespace umbra
