/// Values of the fleet's vocabulary as people and metrics read them.
#pragma once

#include <string_view>

#include "umbra/v1/fleet.pb.h"

namespace umbra {

inline std::string_view outcome_name(v1::Outcome outcome) {
  switch (outcome) {
    case v1::OUTCOME_MOVED:
      return "moved";
    case v1::OUTCOME_ABORTED:
      return "aborted";
    case v1::OUTCOME_REFUSED:
      return "refused";
    case v1::OUTCOME_UNDECIDED:
      return "undecided";
    default:
      return "not known";
  }
}

}  // namespace umbra
