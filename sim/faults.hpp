/// What may go wrong.
#pragma once

#include <string>
#include <vector>

#include "sim/world.hpp"

namespace umbra::sim {

struct Fault {
  std::string name;
  std::function<bool(const Moment&)> possible_at;
  std::function<Verdict(World&, const Moment&)> strike;
};

/// Every fault by its name; host1 is the source, host2 the standby. Appended to alone: seeds name them by number.
const std::vector<Fault>& faults();
/// @return null for none of that name
const Fault* fault(std::string_view name);

}  // namespace umbra::sim
