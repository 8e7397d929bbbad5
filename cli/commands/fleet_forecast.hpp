/// Forecasts by the controller, of what is in the fleet.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "cli/command.hpp"

namespace umbra::cli {

struct FleetForecastWish {
  std::string name;  ///< of a VM, host, account or zone
  std::string of;    ///< which of these; empty: whichever it is
  Milliseconds horizon{};
  Milliseconds window{};   ///< in which the capacity may be exceeded; 0: the whole horizon
  Milliseconds history{};  ///< in the picture
  double interval = 0.95;
  std::vector<double> quantiles;  ///< columns of their own
  std::optional<double> capacity;
  std::string svg;  ///< file; empty for no picture
};

Outcome forecast_fleet(const Context& context, const FleetForecastWish& wish);

}  // namespace umbra::cli
