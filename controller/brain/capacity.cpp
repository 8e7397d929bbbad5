#include "controller/brain/capacity.hpp"

#include <fmt/chrono.h>

#include <algorithm>

#include "controller/words.hpp"

namespace umbra::controller {
namespace {

/// Sampled probabilities this near, and demands this near in cores, are not told apart.
constexpr double kAboutEqual = 0.03;
constexpr double kAboutEqualCores = 0.05;

/// The window from now lies within the forecast, which begins with the step that is not over yet.
Milliseconds whole(const forecast::Forecast& demand, Milliseconds window) {
  return window + demand.step();
}

std::vector<const VmPicture*> without(std::span<const VmPicture* const> vms, const VmPicture* gone) {
  std::vector<const VmPicture*> rest(vms.begin(), vms.end());
  std::erase(rest, gone);
  return rest;
}

/// "2026-05-01 14:05"
std::string minute_of(UnixMillis at) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(static_cast<std::time_t>(at / 1000)));
}

struct Choice {
  const VmPicture* vm;
  double left;   ///< probability of a shortage once it has gone
  double cores;  ///< what it takes with it: the median of its peak
};

bool better(const Choice& a, const Choice& b) {
  if (std::abs(a.left - b.left) > kAboutEqual) return a.left < b.left;
  if (a.vm->shadow.has_value() != b.vm->shadow.has_value()) return a.vm->shadow.has_value();
  if (std::abs(a.cores - b.cores) > kAboutEqualCores) return a.cores > b.cores;
  if (a.vm->memory != b.vm->memory) return a.vm->memory < b.vm->memory;
  return a.vm->name < b.vm->name;
}

}  // namespace

forecast::Forecast joint_demand(std::span<const VmPicture* const> vms) {
  std::vector<forecast::Forecast> parts;
  for (const auto* vm : vms)
    if (vm->demand) parts.push_back(*vm->demand);
  return forecast::sum(parts);
}

double shortage(const forecast::Forecast& demand, double cpus, Milliseconds window) {
  if (demand.empty() || cpus <= 0) return 0;
  return demand.exceedance(cpus, whole(demand, window));
}

std::map<std::string, v1::Cause> capacity_causes(const HostPicture& host, std::span<const VmPicture* const> vms,
                                                 const BrainSettings& settings) {
  std::map<std::string, v1::Cause> causes;
  std::vector<const VmPicture*> staying(vms.begin(), vms.end());
  auto demand = joint_demand(staying);
  double probability = shortage(demand, host.cpus, settings.window);
  while (probability >= settings.staged) {
    std::optional<Choice> best;
    for (const auto* vm : staying) {
      if (!vm->demand || !vm->running || !vm->refusal.empty()) continue;
      const Choice choice{vm, shortage(joint_demand(without(staying, vm)), host.cpus, settings.window),
                          vm->demand->peak_quantile(whole(*vm->demand, settings.window), 0.5)};
      if (choice.left < probability && (!best || better(choice, *best))) best = choice;
    }
    if (!best) break;
    auto& cause = causes[best->vm->uuid];
    cause.set_name(std::string(kCapacity));
    cause.set_probability(probability);
    cause.set_detail(
        fmt::format("{}: {:.0f} % that demand exceeds its {:.3g} cores within {} min (90 % sure to stay below {:.2f}); "
                    "without {} {:.0f} %. Forecast of {} UTC, see umbractl forecast {}",
                    host.name, 100 * probability, host.cpus,
                    std::chrono::duration_cast<std::chrono::minutes>(settings.window).count(),
                    demand.peak_quantile(whole(demand, settings.window), 0.9), best->vm->name, 100 * best->left,
                    minute_of(demand.start()), host.name));
    cause.set_forecast_of(host.name);
    cause.set_forecast_begins_unix_ms(demand.start());
    staying = without(staying, best->vm);
    demand = joint_demand(staying);
    probability = best->left;
  }
  return causes;
}

}  // namespace umbra::controller
