#include "controller/brain/causes.hpp"

#include <algorithm>
#include <cmath>

#include "controller/words.hpp"

namespace umbra::controller {
namespace {

v1::Cause cause(std::string_view name, double probability, std::string detail) {
  v1::Cause cause;
  cause.set_name(std::string(name));
  cause.set_probability(probability);
  cause.set_detail(std::move(detail));
  return cause;
}

std::string when(const v1::Maintenance& window, UnixMillis now) {
  if (now >= window.begins_unix_ms()) return "is going on";
  return fmt::format("begins in {} min", (window.begins_unix_ms() - now) / 60'000);
}

}  // namespace

double noisy_or(std::span<const v1::Cause> causes) {
  double none = 1;
  for (const auto& cause : causes) none *= 1 - std::clamp(cause.probability(), 0.0, 1.0);
  return 1 - none;
}

double maintenance_probability(const v1::Maintenance& window, UnixMillis now, const BrainSettings& settings) {
  if (now >= window.ends_unix_ms()) return 0;
  const auto ahead = static_cast<double>(window.begins_unix_ms() - now);
  const auto lead = static_cast<double>(settings.maintenance_lead.count());
  const auto notice = static_cast<double>(settings.maintenance_notice.count());
  if (ahead <= lead) return 1;
  if (ahead >= notice) return 0;
  return (notice - ahead) / (notice - lead);
}

std::vector<v1::Cause> location_causes(const Picture& picture, const HostPicture& host, const BrainSettings& settings) {
  std::vector<v1::Cause> causes;
  // The health given for a zone is read as the probability that it serves throughout the window.
  const auto zone = picture.zones.find(host.zone);
  if (zone != picture.zones.end() && zone->second.health < 1)
    causes.push_back(
        cause(kZoneHealth, 1 - zone->second.health,
              fmt::format("zone {}: health {:.2f}, {}", host.zone, zone->second.health, zone->second.detail)));

  // Overlapping windows are one cause, not independent ones: the most pressing counts.
  const v1::Maintenance* pressing = nullptr;
  double most = 0;
  for (const auto& window : picture.maintenance) {
    if (window.host_or_zone() != host.name && window.host_or_zone() != host.zone) continue;
    const double probability = maintenance_probability(window, picture.now, settings);
    if (probability <= most) continue;
    most = probability;
    pressing = &window;
  }
  if (pressing != nullptr)
    causes.push_back(
        cause(kMaintenance, most,
              fmt::format("maintenance {} of {} {}{}{}", pressing->id(), pressing->host_or_zone(),
                          when(*pressing, picture.now), pressing->reason().empty() ? "" : ": ", pressing->reason())));
  return causes;
}

double HeartbeatHealth::update(double share, std::chrono::steady_clock::time_point now) {
  const double half_lives = std::chrono::duration<double>(now - at_) / std::chrono::duration<double>(half_life_);
  at_ = now;
  health_ = share <= health_ ? share : share - (share - health_) * std::exp2(-half_lives);
  if (share - health_ < 0.005) health_ = share;  // what nobody would tell apart shall not stay a cause for ever
  return health_;
}

}  // namespace umbra::controller
