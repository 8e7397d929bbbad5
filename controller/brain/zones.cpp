#include "controller/brain/zones.hpp"

#include <algorithm>
#include <cmath>

namespace umbra::controller {
namespace {

/// A host that has been silent for so long was taken away; it says nothing of its zone any more.
constexpr auto kForgotten = std::chrono::hours(1);

}  // namespace

Result<void> Zones::load() {
  UMBRA_TRY(auto words, store_.zones());
  for (auto& word : words) state(word.zone).word = word;
  return {};
}

Zones::State& Zones::state(const std::string& zone) {
  const auto known = zones_.find(zone);
  if (known != zones_.end()) return known->second;
  return zones_.emplace(zone, State{{zone, 1, "", ""}, HeartbeatHealth(recovery_)}).first->second;
}

Result<void> Zones::set(const ZoneWord& word) {
  if (word.zone.empty() || !std::isfinite(word.health) || word.health < 0 || word.health > 1)
    return fail({Errc::kInvalid, fmt::format("health {} of zone '{}' is not within 0 and 1", word.health, word.zone),
                 "0 is dead, 1 is fine"});
  UMBRA_CHECK(store_.save_zone(word));
  state(word.zone).word = word;
  return {};
}

void Zones::look(const Inventory& inventory, TimePoint now, UnixMillis wall) {
  for (auto& [name, zone] : zones_) zone.hosts = zone.hosts_up = 0;
  std::map<std::string, unsigned> counted;
  for (const auto& [name, node] : inventory.nodes()) {
    if (!node.is_host()) continue;
    auto& zone = state(node.node.zone());
    ++zone.hosts;
    zone.hosts_up += node.up;
    const bool forgotten = !node.up && wall - node.last_seen > Milliseconds(kForgotten).count();
    counted[node.node.zone()] += !forgotten && (node.heard || inventory.settled());
  }
  for (auto& [name, zone] : zones_) {
    const double share = counted[name] == 0 ? 1.0 : static_cast<double>(zone.hosts_up) / counted[name];
    zone.heartbeat_health = zone.heartbeat.update(std::min(1.0, share), now);
  }
}

std::map<std::string, ZonePicture> Zones::picture() const {
  std::map<std::string, ZonePicture> picture;
  for (const auto& [name, zone] : zones_) {
    auto& seen = picture[name];
    seen.health = std::min(zone.word.health, zone.heartbeat_health);
    if (zone.heartbeat_health < zone.word.health)
      seen.detail = fmt::format("{} of its {} hosts are up, or were not lately", zone.hosts_up, zone.hosts);
    else
      seen.detail =
          fmt::format("{}, says {}", zone.word.reason.empty() ? "no reason given" : zone.word.reason, zone.word.set_by);
  }
  return picture;
}

std::vector<v1::Zone> Zones::list(const Inventory& inventory) const {
  std::map<std::string, unsigned> vms;
  for (const auto& [uuid, vm] : inventory.vms())
    if (const auto* host = inventory.node(vm.host)) ++vms[host->node.zone()];
  const auto seen = picture();
  std::vector<v1::Zone> zones;
  for (const auto& [name, zone] : zones_) {
    auto& listed = zones.emplace_back();
    listed.set_name(name);
    listed.set_health(seen.at(name).health);
    listed.set_heartbeat_health(zone.heartbeat_health);
    listed.set_set_health(zone.word.health);
    listed.set_set_by(zone.word.set_by);
    listed.set_reason(zone.heartbeat_health < zone.word.health ? seen.at(name).detail : zone.word.reason);
    listed.set_hosts(zone.hosts);
    listed.set_hosts_up(zone.hosts_up);
    listed.set_vms(vms[name]);
  }
  return zones;
}

}  // namespace umbra::controller
