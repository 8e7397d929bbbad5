// hosts, vms, zones, shadows: what there is.
#include <CLI/App.hpp>
#include "base/units.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

constexpr auto kRight = Table::Align::kRight;

UnixMillis now() {
  return SystemClock().unix_ms();
}

std::string bytes(std::uint64_t count) {
  return to_string(Bytes{count});
}
std::string rate(double per_second) {
  return per_second > 0 ? to_string(BytesPerSecond{static_cast<std::uint64_t>(per_second)}) : "";
}
std::string used_of(double used, double all) {
  return fmt::format("{:.1f}/{:g}", used, all);
}

Cell probability(double value) {
  return {percent(value), value >= 0.5 ? Style::kBad : value >= 0.2 ? Style::kWarn : Style::kPlain};
}
Cell health(double value) {
  return {fmt::format("{:.2f}", value), value < 0.5 ? Style::kBad : value < 0.9 ? Style::kWarn : Style::kGood};
}

Cell host_state(const v1::Host& host) {
  if (host.has_fence()) return {host.up() ? "fenced, back" : "fenced", Style::kWarn};
  if (!host.up()) return {"down", Style::kBad};
  const bool edge = host.node().role() == v1::ROLE_EDGE;
  if (!edge && !host.hypervisor_up()) return {"libvirt down", Style::kBad};
  return {"up", Style::kGood};
}
Cell hold_state(const v1::Host& host) {
  if (host.node().role() == v1::ROLE_EDGE) return "";
  if (!host.has_proof()) return {"unproven", Style::kWarn};
  return host.proof().proven() ? Cell("proven", Style::kGood) : Cell("refused", Style::kWarn);
}
Cell vm_state(v1::VmState state) {
  const auto style = state == v1::VM_STATE_RUNNING   ? Style::kGood
                     : state == v1::VM_STATE_CRASHED ? Style::kBad
                     : state == v1::VM_STATE_UNKNOWN ? Style::kWarn
                                                     : Style::kPlain;
  return {word(state), style};
}
Cell shadow_phase(v1::ShadowPhase phase) {
  const bool ready = phase == v1::SHADOW_PHASE_WARM || phase == v1::SHADOW_PHASE_HOT;
  return {word(phase), ready ? Style::kGood : Style::kPlain};
}

Table hosts_table(const v1::ListHostsReply& reply) {
  Table table({"NAME",
               "ROLE",
               "ZONE",
               "STATE",
               {"CPUS", kRight},
               {"FREE", kRight},
               {"MEMORY", kRight},
               {"VMS", kRight},
               {"SHADOWS", kRight},
               "HOLD",
               "QEMU",
               "SEEN",
               "VERSION"});
  for (const auto& host : reply.hosts()) {
    const bool edge = host.node().role() == v1::ROLE_EDGE;
    const auto& capacity = host.capacity();
    table.add({host.node().name(), edge ? "edge" : "host", host.node().zone(), host_state(host),
               edge ? "" : used_of(capacity.cpus_used(), capacity.cpus()),
               edge ? "" : bytes(capacity.memory_free_bytes()), edge ? "" : bytes(capacity.memory_total_bytes()),
               edge ? "" : std::to_string(host.vms()), edge ? "" : std::to_string(host.shadows()), hold_state(host),
               host.proof().qemu_version(), age(host.last_seen_unix_ms(), now()), host.version()});
  }
  return table;
}

/// Of a VM in an unknown state the last sample is from when its host was last heard.
bool is_measured(const v1::VmView& view) {
  return view.has_last_sample() && view.vm().state() != v1::VM_STATE_UNKNOWN;
}

Table vms_table(const v1::ListVmsReply& reply) {
  Table table({"NAME",
               "STATE",
               "HOST",
               "ZONE",
               "ADDRESS",
               {"VCPUS", kRight},
               {"CPU", kRight},
               {"MEMORY", kRight},
               {"MOVE", kRight},
               "TIER",
               "SHADOW ON",
               "SHADOW IS"});
  for (const auto& view : reply.vms()) {
    const auto& vm = view.vm();
    const bool shadowed = view.has_shadow();
    table.add({vm.name(), vm_state(vm.state()), view.host(), view.zone(),
               fmt::format("{}", fmt::join(vm.addresses(), ",")), std::to_string(vm.vcpus()),
               is_measured(view) ? fmt::format("{:.2f}", view.last_sample().cpus_used()) : "", bytes(vm.memory_bytes()),
               probability(view.migration_probability()), word(view.tier()) + (view.pinned() ? " (pinned)" : ""),
               shadowed ? view.shadow().standby() : "",
               shadowed ? shadow_phase(view.shadow().phase())
                        : Cell(vm.refusal().empty() ? "" : "refused: " + vm.refusal())});
  }
  return table;
}

Table zones_table(const v1::ListZonesReply& reply) {
  Table table({"NAME",
               {"HEALTH", kRight},
               {"HEARTBEATS", kRight},
               {"SET", kRight},
               "SET BY",
               {"HOSTS UP", kRight},
               {"VMS", kRight},
               "REASON"});
  for (const auto& zone : reply.zones())
    table.add({zone.name(), health(zone.health()), fmt::format("{:.2f}", zone.heartbeat_health()),
               zone.set_by().empty() ? "" : fmt::format("{:.2f}", zone.set_health()), zone.set_by(),
               fmt::format("{}/{}", zone.hosts_up(), zone.hosts()), std::to_string(zone.vms()), zone.reason()});
  return table;
}

Table shadows_table(const v1::ListShadowsReply& reply) {
  Table table({"VM",
               "FROM",
               "TO",
               "TIER",
               "IS",
               {"MEMORY", kRight},
               {"TO SEND", kRight},
               {"DIRTY", kRight},
               "REFRESHED",
               {"EVERY", kRight},
               {"TOOK", kRight},
               "DETAIL"});
  for (const auto& shadow : reply.shadows())
    table.add({shadow.vm_name(), shadow.source(), shadow.standby(), word(shadow.tier()), shadow_phase(shadow.phase()),
               bytes(shadow.total_bytes()), bytes(shadow.remaining_bytes()), rate(shadow.dirty_bytes_per_second()),
               age(shadow.refreshed_at_unix_ms(), now()), span(static_cast<double>(shadow.refresh_interval_ms())),
               shadow.refreshes() > 0 ? span(static_cast<double>(shadow.last_refresh_ms())) : "", shadow.detail()});
  return table;
}

/// Shows a list as the user wants it.
template <class Reply>
std::function<ExitCode(const Reply&)> shower(const Context& context, Table (*tabulate)(const Reply&),
                                             const char* none) {
  return [json = context.json(), colour = context.colour, tabulate, none](const Reply& reply) {
    if (json) {
      print(serialize(to_json(reply)) + "\n");
    } else {
      const auto table = tabulate(reply);
      print(table.empty() ? fmt::format("{}\n", none) : table.render(colour));
    }
    return ExitCode::kOk;
  };
}

}  // namespace

void add_inventory_verbs(CLI::App& app, Action& action) {
  add_verb(app, "hosts", "List hosts and edges", "umbractl hosts").callback([&action] {
    action = [](const Context& context) {
      return ask(context, &v1::FleetClient::list_hosts, v1::ListHostsRequest{},
                 shower(context, &hosts_table, "no host has registered yet"));
    };
  });

  auto vms = std::make_shared<v1::ListVmsRequest>();
  auto& vms_verb = add_verb(app, "vms", "List virtual machines and how likely each is to move",
                            "umbractl vms -o json | jq '.vms[].vm.name'");
  add_argument(vms_verb, "VM", "Only this one (name or uuid)", [vms](const std::string& name) {
    vms->set_vm(name);
  })->required(false);
  vms_verb.alias("list");  // as virsh has it
  vms_verb.add_flag_callback(
      "--all", [] {}, "Also those that are shut off, which are listed anyway");
  vms_verb.callback([&action, vms] {
    action = [vms](const Context& context) {
      return ask(context, &v1::FleetClient::list_vms, *vms, shower(context, &vms_table, "no VM is known"));
    };
  });

  add_verb(app, "zones", "List zones and their health", "umbractl zones").callback([&action] {
    action = [](const Context& context) {
      return ask(context, &v1::FleetClient::list_zones, v1::ListZonesRequest{},
                 shower(context, &zones_table, "no zone is known"));
    };
  });

  auto shadows = std::make_shared<v1::ListShadowsRequest>();
  auto& shadows_verb = add_verb(app, "shadows", "List shadows: where, how warm, how fresh", "umbractl shadows web1");
  add_argument(shadows_verb, "VM", "Only this VM's", [shadows](const std::string& name) {
    shadows->set_vm(name);
  })->required(false);
  shadows_verb.callback([&action, shadows] {
    action = [shadows](const Context& context) {
      return ask(context, &v1::FleetClient::list_shadows, *shadows,
                 shower(context, &shadows_table, "no VM has a shadow"));
    };
  });
}

}  // namespace umbra::cli
