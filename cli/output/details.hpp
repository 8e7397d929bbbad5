/// One thing of the fleet, a line for each of its properties.
#pragma once

#include <string>
#include <vector>

#include "cli/output/table.hpp"

namespace umbra::cli {

class Details {
 public:
  /// Left out when there is nothing to say: an empty cell.
  void add(const char* key, Cell value);
  /// "key:   value", the values below each other.
  std::string render(bool colour) const;

 private:
  std::vector<std::pair<std::string, Cell>> lines_;
};

}  // namespace umbra::cli
