#include "cli/output/details.hpp"

#include <algorithm>

namespace umbra::cli {

void Details::add(const char* key, Cell value) {
  if (!value.text.empty()) lines_.emplace_back(key, std::move(value));
}

std::string Details::render(bool colour) const {
  std::size_t width = 0;
  for (const auto& [key, value] : lines_) width = std::max(width, key.size());
  std::string out;
  for (const auto& [key, value] : lines_)
    out += fmt::format("{:<{}}{}\n", key + ":", width + 3, styled(printable(value.text), value.style, colour));
  return out;
}

}  // namespace umbra::cli
