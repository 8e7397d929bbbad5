/// Forecasts of the VMs' CPU demand, learned step by step as their histories grow.
#pragma once

#include "controller/brain/growth.hpp"
#include "controller/brain/settings.hpp"
#include "controller/inventory/inventory.hpp"
#include "forecast/forecast.hpp"
#include "forecast/series_forecaster.hpp"

namespace umbra::controller {

/// Each VM has a forecaster of its own, which is shown every step of its history once. What it knows is stored now and
/// then, so that a controller that starts goes on from there. A VM without a past is expected to go through its day as
/// VMs of its size, zone, application profile and account do. Steps are counted from the Unix epoch for all, so that
/// forecasts of several VMs look back at the same moments and their paths may be added.
class Demand {
 public:
  Demand(TelemetryStore& telemetry, const BrainSettings& settings) : telemetry_(telemetry), settings_(settings) {}

  static constexpr std::string_view kMetric = "cpu";  ///< of the telemetry
  using ZoneOf = std::function<std::string(const std::string& host)>;

  /// The end of what may be known at `now`: a step counts as over a little later, since samples take their time.
  UnixMillis end_at(UnixMillis now) const;
  Milliseconds step() const { return settings_.forecast_step; }

  /// Shows due forecasters what they have not seen, for about `budget`, those longest due first, so that many VMs do
  /// not hold up the controller; the rest keep their last forecast until the next call.
  void refresh(const std::map<std::string, VmRecord>& vms, const ZoneOf& zone_of, UnixMillis now, Milliseconds budget);
  /// The VM's history changed behind its end: learn it anew.
  void history_changed(const std::string& vm_uuid);

  /// Over the brain's window. Cores; null when nothing is known of it.
  std::shared_ptr<const forecast::Forecast> of(const std::string& vm_uuid) const;

  struct Look {
    forecast::Forecast forecast;                 ///< cores
    std::vector<std::vector<double>> quantiles;  ///< per step, one for each level asked for
    std::size_t learned = 0;                     ///< steps of history behind it
    double growth_probability = 0;               ///< that it grows in a way that its forecasts did not expect
  };
  /// Demand that grows in a way that its forecasts did not expect.
  struct Growth : GrowthWatch::Found {
    v1::Scope scope = v1::SCOPE_VM;
    std::string name;  ///< of an account or a zone; a VM's uuid
  };
  /// Those found since the last call; each once, until its growth is over or expected.
  std::vector<Growth> take_growing() { return std::exchange(growing_, {}); }
  /// That the VMs of an account or a zone grow together in such a way; 0 where that is not watched.
  double growth_probability(v1::Scope scope, const std::string& name) const;

  /// Over any horizon. Costs milliseconds.
  /// @param begin of the first step, at most a few steps away from the end of what was learned
  /// @param levels ascending, each in (0, 1)
  /// @return nothing when nothing is known of the VM
  std::optional<Look> look(const VmRecord& record, UnixMillis begin, std::size_t steps, std::span<const double> levels);

 private:
  struct Track {
    forecast::SeriesForecaster series;
    UnixMillis end = 0;           ///< of what it was shown
    UnixMillis saved = 0;         ///< its end when it was stored last
    forecast::Profile profile{};  ///< as of then
    GrowthWatch growth{};
    std::optional<VmStep> last{};  ///< until it is added up
    std::shared_ptr<const forecast::Forecast> forecast{};
  };

  /// From what is stored; from nothing when that is none, or of other steps, or cannot be read.
  Track begin(const VmRecord& record, const std::map<std::string, VmRecord>& vms, const ZoneOf& zone_of,
              UnixMillis end);
  void save(const VmRecord& record, Track& track);
  /// @return false when more is to be shown
  Result<bool> show(const std::string& vm_uuid, Track& track, UnixMillis end);
  void compare(const std::string& vm_uuid, Track& track, double came);
  void watch_groups(const std::map<std::string, VmRecord>& vms, const ZoneOf& zone_of, UnixMillis at);

  TelemetryStore& telemetry_;
  const BrainSettings& settings_;
  std::map<std::string, Track> tracks_;
  std::map<std::pair<v1::Scope, std::string>, GrowthWatch> groups_;
  UnixMillis added_up_ = 0;  ///< the end of the last step that was shown to `groups_`
  std::vector<Growth> growing_;
};

}  // namespace umbra::controller
