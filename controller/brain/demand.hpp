/// Forecasts of the VMs' CPU demand, made anew when a step of their history is over.
#pragma once

#include "controller/brain/settings.hpp"
#include "controller/inventory/inventory.hpp"
#include "forecast/forecaster.hpp"

namespace umbra::controller {

class Demand {
 public:
  Demand(TelemetryStore& telemetry, const BrainSettings& settings) : telemetry_(telemetry), settings_(settings) {}

  /// Makes due forecasts for at most `budget`, those longest due first, so that many VMs do not hold up the controller;
  /// the rest keep their last one until the next call.
  void refresh(const Inventory& inventory, UnixMillis now, Milliseconds budget);
  /// The VM's history changed behind its end: forecast it anew.
  void history_changed(const std::string& vm_uuid) { made_.erase(vm_uuid); }
  /// Cores; null when nothing is known of it.
  std::shared_ptr<const forecast::Forecast> of(const std::string& vm_uuid) const;

 private:
  struct Made {
    UnixMillis end = 0;  ///< of the history it was made from
    std::shared_ptr<const forecast::Forecast> forecast{};
  };
  Result<forecast::Forecast> make(const VmRecord& record, UnixMillis end);

  TelemetryStore& telemetry_;
  const BrainSettings& settings_;
  std::map<std::string, Made> made_;
};

}  // namespace umbra::controller
