// hosts, zones: what there is.
#include <CLI/App.hpp>
#include "cli/listing.hpp"
#include "cli/output/cells.hpp"

namespace umbra::cli {
namespace {

Cell hold_state(const v1::Host& host) {
  if (host.node().role() == v1::ROLE_EDGE) return "";
  if (!host.has_proof()) return {"unproven", Style::kWarn};
  return host.proof().proven() ? Cell("proven", Style::kGood) : Cell("refused", Style::kWarn);
}

std::vector<Cell> host_row(const v1::Host& host) {
  const bool edge = host.node().role() == v1::ROLE_EDGE;
  const auto& capacity = host.capacity();
  const auto unless_edge = [edge](Cell cell) { return edge ? Cell("") : cell; };
  return {host.node().name(),
          edge ? "edge" : "host",
          host.node().zone(),
          host_state(host),
          unless_edge(used_cell(capacity.cpus_used(), capacity.cpus())),
          unless_edge(bytes_cell(capacity.memory_free_bytes())),
          unless_edge(bytes_cell(capacity.memory_total_bytes())),
          unless_edge(count_cell(host.vms())),
          unless_edge(count_cell(host.shadows())),
          hold_state(host),
          host.proof().qemu_version(),
          age_cell(host.last_seen_unix_ms()),
          host.version()};
}

/// "libvirt-down" is what the table shows as "libvirt down", and "fenced" also who came back.
bool is_in_state(const v1::Host& host, const std::string& state) {
  const auto shown = host_state(host).text;
  return state == "libvirt-down" ? shown == "libvirt down" : shown.starts_with(state);
}

Listing<v1::Host> hosts() {
  return {{"NAME",
           {"ROLE", kLeft, 6},
           {"ZONE", kLeft, 3},
           "STATE",
           {"CPUS", kRight},
           {"FREE", kRight},
           {"MEMORY", kRight},
           {"VMS", kRight},
           {"SHADOWS", kRight, 4},
           {"HOLD", kLeft, 5},
           {"QEMU", kLeft, 7},
           {"SEEN", kLeft, 2},
           {"VERSION", kLeft, 8}},
          host_row,
          {{"zone", "ZONE", "Only of this zone",
            [](const v1::Host& host, const std::string& zone) { return host.node().zone() == zone; }},
           {"state", "up|down|fenced|libvirt-down", "Only those in this state", is_in_state}},
          "no host to show"};
}

std::vector<Cell> zone_row(const v1::Zone& zone) {
  return {zone.name(),
          health_cell(zone.health()),
          {fmt::format("{:.2f}", zone.heartbeat_health()), zone.heartbeat_health()},
          zone.set_by().empty() ? Cell("") : Cell(fmt::format("{:.2f}", zone.set_health()), zone.set_health()),
          zone.set_by(),
          {fmt::format("{}/{}", zone.hosts_up(), zone.hosts()), static_cast<double>(zone.hosts_up())},
          count_cell(zone.vms()),
          zone.reason()};
}

Listing<v1::Zone> zones() {
  return {{"NAME",
           {"HEALTH", kRight},
           {"HEARTBEATS", kRight, 1},
           {"SET", kRight},
           {"SET BY", kLeft, 2},
           {"HOSTS UP", kRight},
           {"VMS", kRight},
           {"REASON", kLeft, 3}},
          zone_row,
          {},
          "no zone is known"};
}

}  // namespace

void add_inventory_verbs(CLI::App& app, Action& action) {
  make_list(add_verb(app, "hosts", "List hosts and edges", "umbractl hosts --state down"), action,
            &v1::FleetClient::list_hosts, std::make_shared<v1::ListHostsRequest>(), &v1::ListHostsReply::mutable_hosts,
            hosts());
  make_list(add_verb(app, "zones", "List zones and their health", "umbractl zones --sort health"), action,
            &v1::FleetClient::list_zones, std::make_shared<v1::ListZonesRequest>(), &v1::ListZonesReply::mutable_zones,
            zones());
}

}  // namespace umbra::cli
