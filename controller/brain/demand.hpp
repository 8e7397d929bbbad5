/// Forecasts of the VMs' CPU demand, learned step by step as their histories grow.
#pragma once

#include "controller/brain/settings.hpp"
#include "controller/inventory/inventory.hpp"
#include "forecast/forecast.hpp"
#include "forecast/series_forecaster.hpp"

namespace umbra::controller {

/// Each VM has a forecaster of its own, which is shown every step of its history once. Steps are counted from the Unix
/// epoch for all, so that forecasts of several VMs look back at the same moments and their paths may be added.
class Demand {
 public:
  Demand(TelemetryStore& telemetry, const BrainSettings& settings) : telemetry_(telemetry), settings_(settings) {}

  /// The end of what may be known at `now`: a step counts as over a little later, since samples take their time.
  UnixMillis end_at(UnixMillis now) const;
  Milliseconds step() const { return settings_.forecast_step; }

  /// Shows due forecasters what they have not seen, for about `budget`, those longest due first, so that many VMs do
  /// not hold up the controller; the rest keep their last forecast until the next call.
  void refresh(const Inventory& inventory, UnixMillis now, Milliseconds budget);
  /// The VM's history changed behind its end: learn it anew.
  void history_changed(const std::string& vm_uuid) { tracks_.erase(vm_uuid); }

  /// Over the brain's window. Cores; null when nothing is known of it.
  std::shared_ptr<const forecast::Forecast> of(const std::string& vm_uuid) const;

  struct Look {
    forecast::Forecast forecast;                 ///< cores
    std::vector<std::vector<double>> quantiles;  ///< per step, one for each level asked for
    std::size_t learned = 0;                     ///< steps of history behind it
  };
  /// Over any horizon. Costs milliseconds.
  /// @param begin of the first step, at most a few steps away from the end of what was learned
  /// @param levels ascending, each in (0, 1)
  /// @return nothing when nothing is known of the VM
  std::optional<Look> look(const VmRecord& record, UnixMillis begin, std::size_t steps, std::span<const double> levels);

 private:
  struct Track {
    forecast::SeriesForecaster series;
    UnixMillis end = 0;  ///< of what it was shown
    std::shared_ptr<const forecast::Forecast> forecast{};
  };

  Track begin(UnixMillis end) const;
  /// @return false when more is to be shown
  Result<bool> show(const std::string& vm_uuid, Track& track, UnixMillis end);

  TelemetryStore& telemetry_;
  const BrainSettings& settings_;
  std::map<std::string, Track> tracks_;
};

}  // namespace umbra::controller
