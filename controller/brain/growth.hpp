/// Growth of CPU demand that its forecasts did not expect: of a VM, or of all VMs of an account or a zone.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "forecast/emergence.hpp"
#include "forecast/forecast.hpp"

namespace umbra::controller {

/// Watches one series of demand, and says once of each growth that it is there.
class GrowthWatch {
 public:
  struct Found {
    double probability = 0;
    UnixMillis since = 0;
  };
  /// What came in the step that begins at `at`, and what was expected of it; steps that were left out only pass.
  /// @return growth that was not told of yet, nor since it was over or expected
  std::optional<Found> observe(UnixMillis at, Milliseconds step, double mean, double spread, double came);
  double probability() const { return emergence_.evidence().probability; }

 private:
  forecast::Emergence emergence_{};
  UnixMillis first_ = 0;  ///< the step that `emergence_` saw first
  bool told_ = false;
};

/// How far the first step may be from its mean: from its first decile to its last.
double spread_of(const forecast::Forecast& forecast);

/// What a VM used in a step, and the forecast that begins with that step.
struct VmStep {
  UnixMillis at = 0;
  double came = 0;
  std::shared_ptr<const forecast::Forecast> expected{};  ///< null: of a newcomer, nothing
};

/// The VMs of a group in one step, added up: what they used, and, future by future, what was expected of them.
class GroupStep {
 public:
  /// @param step nothing where it is not known what the VM used, or should have: it is left out of both sums
  void add(const VmStep* step);
  /// Shows the sums to a watch, but not those of a single VM, whose own watch is enough, nor of newcomers alone.
  std::optional<GrowthWatch::Found> show(GrowthWatch& watch, UnixMillis at, Milliseconds step) const;

 private:
  std::size_t vms_ = 0;
  double came_ = 0, expected_ = 0;
  std::vector<double> futures_;
};

}  // namespace umbra::controller
