#include "agentd/config.hpp"

#include "base/units.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

Bytes size(Config& config, std::string_view key, Bytes fallback) {
  const auto text = config.text(key, "");
  if (text.empty()) return fallback;
  const auto parsed = parse_bytes(text);
  if (!parsed) config.complain(key, parsed.error().message, parsed.error().remedy);
  return parsed.value_or(fallback);
}

}  // namespace

Result<AgentConfig> AgentConfig::from(Config config) {
  AgentConfig out;
  out.name = config.required_text("agent.name");
  const auto role = config.text("agent.role", "host");
  if (role != "host" && role != "edge")
    config.complain("agent.role", fmt::format("'{}' is no role", role), "host or edge");
  out.role = role == "edge" ? NodeRole::kEdge : NodeRole::kHost;
  out.zone = config.text("agent.zone", "default");
  out.state_dir = config.text("agent.state_dir", "/var/lib/umbra/agent");
  out.log_level = config.text("agent.log_level", "info");
  out.controller_endpoint = config.required_text("controller.endpoint");
  out.controller_name = config.text("controller.name", "");
  out.listen_endpoint = config.required_text("listen.endpoint");
  out.tls.ca = config.required_text("tls.ca");
  out.tls.certificate = config.required_text("tls.certificate");
  out.tls.key = config.required_text("tls.key");
  out.libvirt_uri = config.text("libvirt.uri", "qemu:///system");
  out.emulator = config.text("libvirt.emulator", "/usr/bin/qemu-system-x86_64");

  out.underlay_address = config.required_text("network.underlay_address");
  const auto mac = netswitch::MacAddress::parse(config.text("network.gateway_mac", "ee:ee:ee:ee:ee:01"));
  if (mac)
    out.network.gateway_mac = *mac;
  else
    config.complain("network.gateway_mac", mac.error().message, mac.error().remedy);
  const auto gateway = netswitch::IpAddress::parse(config.text("network.gateway_address", "169.254.1.1"));
  if (gateway)
    out.network.gateway_v4 = *gateway;
  else
    config.complain("network.gateway_address", gateway.error().message, gateway.error().remedy);
  out.network.route_protocol = static_cast<std::uint8_t>(config.integer("network.route_protocol", 117, 5, 255));

  out.cpus = config.number("capacity.cpus", 0, 0, 100'000);
  out.standby.node = out.name;
  out.standby.memory = size(config, "capacity.memory", Bytes{});
  out.standby.reserve = size(config, "shadow.reserve_memory", mebibytes(256));
  out.standby.migration_address = config.text("migration.address", out.underlay_address);
  out.standby.port_first = static_cast<std::uint16_t>(config.integer("migration.port_first", 49300, 1024, 65535));
  out.standby.port_last = static_cast<std::uint16_t>(config.integer("migration.port_last", 49399, 1024, 65535));
  if (out.standby.port_last < out.standby.port_first)
    config.complain("migration.port_last", "is below port_first", "the range must hold at least one port");
  out.source.node = out.name;
  out.source.refresh_interval = config.duration("shadow.refresh_interval", 5s);
  out.source.hot_interval = config.duration("shadow.hot_interval", 100ms);
  out.sample_interval = config.duration("telemetry.interval", 5s);
  UMBRA_CHECK(config.finish());
  return out;
}

}  // namespace umbra::agent
