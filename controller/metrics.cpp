#include "controller/metrics.hpp"

#include <map>

#include "controller/words.hpp"
#include "metrics/families.hpp"

namespace umbra::controller {
namespace {

constexpr double kSecond = 1000;

void add_nodes(metrics::Families& families, const Inventory& inventory) {
  std::map<std::pair<std::string, bool>, int> nodes{{{"host", true}, 0}, {{"host", false}, 0}};
  for (const auto& [name, node] : inventory.nodes()) ++nodes[{node.is_host() ? "host" : "edge", node.up}];
  for (const auto& [what, count] : nodes)
    families.gauge("umbra_nodes", "Hosts and edges", count,
                   {{"role", what.first}, {"state", what.second ? "up" : "down"}});
  for (const auto& [name, node] : inventory.nodes()) {
    families.gauge("umbra_node_up", "1: the node reports", node.up ? 1 : 0, {{"node", name}});
    if (node.credentials.not_after_unix_ms() != 0)
      families.gauge("umbra_node_certificate_expiry_timestamp_seconds", "When the node's certificate ends",
                     static_cast<double>(node.credentials.not_after_unix_ms()) / kSecond, {{"node", name}});
  }
}

void add_vms(metrics::Families& families, const Inventory& inventory) {
  std::map<std::string_view, int> states{{"running", 0}}, phases{{"warm", 0}, {"hot", 0}};
  int moving = 0, refused = 0;
  for (const auto& [uuid, record] : inventory.vms()) {
    ++states[state_name(record.vm.state())];
    moving += record.moving() ? 1 : 0;
    refused += record.refusal().empty() ? 0 : 1;
    if (record.shadow)
      ++phases[record.shadow->phase() == v1::SHADOW_PHASE_HOT    ? "hot"
               : record.shadow->phase() == v1::SHADOW_PHASE_WARM ? "warm"
                                                                 : "other"];
  }
  for (const auto& [state, count] : states)
    families.gauge("umbra_fleet_vms", "VMs of the fleet, by state", count, {{"state", state}});
  for (const auto& [phase, count] : phases)
    families.gauge("umbra_fleet_shadows", "Shadows of the fleet, by phase", count, {{"phase", phase}});
  families.gauge("umbra_fleet_vms_moving", "VMs that are being moved", moving)
      .gauge("umbra_fleet_vms_refused", "VMs that cannot have a shadow; umbractl vms says why", refused);
}

double size_of(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : static_cast<double>(size);
}

}  // namespace

std::vector<prometheus::MetricFamily> describe(const Core& core, const std::filesystem::path& state_dir,
                                               UnixMillis certificate_until) {
  metrics::Families families;
  families.gauge("umbra_build_info", "The controller's version; always 1", 1, {{"version", UMBRA_VERSION}})
      .gauge("umbra_certificate_expiry_timestamp_seconds", "When the controller's certificate ends",
             static_cast<double>(certificate_until) / kSecond);
  add_nodes(families, core.inventory);
  add_vms(families, core.inventory);
  for (const auto& [name, zone] : core.zones.picture())
    families.gauge("umbra_zone_health", "0 (dead) to 1 (fine)", zone.health, {{"zone", name}});
  for (const auto& [what, count] : core.pilot.decided())
    families.counter("umbra_decisions_total", "Decisions of the controller, by what was decided and the first cause",
                     static_cast<double>(count), {{"decision", what.first}, {"cause", what.second}});
  for (const auto* file : {"state.db", "telemetry.db"})
    families.gauge("umbra_store_bytes", "Size of the controller's databases", size_of(state_dir / file),
                   {{"file", file}});
  return families.take();
}

}  // namespace umbra::controller
