#include "agentd/config.hpp"

#include <unistd.h>

#include "base/checked.hpp"
#include "base/listening.hpp"
#include "base/log.hpp"
#include "base/units.hpp"
#include "rpc/dialer.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;
using netswitch::IpAddress;
using netswitch::MacAddress;

/// @param fallback also for a text that is empty
Bytes size(Config& config, std::string_view key, std::string_view fallback) {
  const auto text = config.text(key, fallback);
  return checked(config, key, parse_bytes(text.empty() ? fallback : text)).value_or(Bytes{});
}

std::chrono::milliseconds positive(Config& config, std::string_view key, std::chrono::milliseconds fallback) {
  const auto value = config.duration(key, fallback);
  if (value <= 0ms) config.complain(key, "is not longer than 0", "write it like 250ms or 5s");
  return value;
}

void check_own_address(Config& config, std::string_view key, const std::string& text) {
  const auto address = checked(config, key, IpAddress::parse(text));
  if (address && !address->is_assignable())
    config.complain(key, fmt::format("'{}' is no address of one host", text),
                    "give the one under which other hosts reach this one");
}

void check_listen_endpoint(Config& config, std::string_view key, const std::string& text) {
  const auto endpoint = checked(config, key, parse_endpoint(text));
  if (endpoint && (endpoint->address().is_unspecified() || endpoint->port() == 0))
    config.complain(key, fmt::format("other nodes dial this, and cannot dial '{}'", text),
                    "give the address and port under which they reach this one");
}

MacAddress gateway_mac(Config& config) {
  constexpr auto kKey = "network.gateway_mac";
  const auto mac = checked(config, kKey, MacAddress::parse(config.text(kKey, "ee:ee:ee:ee:ee:01")));
  if (mac && !mac->is_assignable())
    config.complain(kKey, fmt::format("'{}' is a group address, or zero", *mac),
                    "give one station's, like ee:ee:ee:ee:ee:01");
  return mac.value_or(MacAddress{});
}

IpAddress gateway_v4(Config& config) {
  constexpr auto kKey = "network.gateway_address";
  const auto address = checked(config, kKey, IpAddress::parse(config.text(kKey, "169.254.1.1")));
  if (address && (address->is_v6() || !address->is_assignable()))
    config.complain(kKey, fmt::format("'{}' is no IPv4 address of one station", *address),
                    "give one like 169.254.1.1; IPv6 guests have fe80::1");
  return address.value_or(IpAddress{});
}

/// Several do not pay for a shadow that is kept: docs/configuration.md, `migration.channels`.
constexpr int kChannels = 1;
constexpr std::chrono::milliseconds kMostBudget = 1s;

/// A program of the same package.
std::string beside_this_program(std::string_view name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (error ? std::filesystem::path("/usr/bin") : self.parent_path()) / name;
}

std::string gate_program(Config& config) {
  constexpr auto kKey = "migration.gate";
  const auto named = config.text(kKey, "");
  if (named.empty()) return beside_this_program("umbra-gate");
  std::error_code error;
  if (!std::filesystem::is_regular_file(named, error) || ::access(named.c_str(), X_OK) != 0)
    config.complain(kKey, fmt::format("'{}' is no program", named), "give the path of umbra-gate, or leave it out");
  return named;
}

}  // namespace

Result<AgentConfig> AgentConfig::from(Config& config) {
  AgentConfig out;
  out.name = config.required_text("agent.name");
  const auto role = config.text("agent.role", "host");
  if (role != "host" && role != "edge")
    config.complain("agent.role", fmt::format("'{}' is no role", role), "host or edge");
  out.role = role == "edge" ? NodeRole::kEdge : NodeRole::kHost;
  out.zone = config.text("agent.zone", "default");
  out.state_dir = config.text("agent.state_dir", "/var/lib/umbra/agent");
  out.log_level = config.text("agent.log_level", "info");
  (void)checked(config, "agent.log_level", check_log_level(out.log_level));
  out.metrics_listen = config.text("metrics.listen", "");
  if (!out.metrics_listen.empty()) (void)checked(config, "metrics.listen", parse_endpoint(out.metrics_listen));
  out.controller_endpoint = config.required_text("controller.endpoint");
  (void)checked(config, "controller.endpoint", rpc::parse_address(out.controller_endpoint));
  out.controller_name = config.text("controller.name", "");
  out.listen_endpoint = config.required_text("listen.endpoint");
  check_listen_endpoint(config, "listen.endpoint", out.listen_endpoint);
  out.tls.ca = config.required_text("tls.ca");
  out.tls.certificate = config.required_text("tls.certificate");
  out.tls.key = config.required_text("tls.key");
  out.tls.crl = config.text("tls.crl", "");
  out.renew = config.boolean("tls.renew", false);
  out.libvirt_uri = config.text("libvirt.uri", "qemu:///system");
  out.emulator = config.text("libvirt.emulator", "/usr/bin/qemu-system-x86_64");

  out.underlay_address = config.required_text("network.underlay_address");
  check_own_address(config, "network.underlay_address", out.underlay_address);
  out.network.gateway_mac = gateway_mac(config);
  out.network.gateway_v4 = gateway_v4(config);
  auto& addresses = out.network.addresses;
  addresses.allowed = checked(config, "network.allowed_addresses",
                              netswitch::AddressRules::parse_allowed(config.texts("network.allowed_addresses")))
                          .value_or(std::vector<netswitch::IpPrefix>{});
  addresses.taken = {out.network.gateway_v4, out.network.gateway_v6};
  if (const auto own = IpAddress::parse(out.underlay_address)) addresses.taken.push_back(*own);
  out.network.route_protocol = static_cast<std::uint8_t>(config.integer("network.route_protocol", 117, 5, 255));

  out.cpus = config.number("capacity.cpus", 0, 0, 100'000);
  out.standby.node = out.name;
  out.standby.memory = size(config, "capacity.memory", "0");
  out.standby.reserve = size(config, "shadow.reserve_memory", "256MiB");
  out.gates.address = config.text("migration.address", out.underlay_address);
  check_own_address(config, "migration.address", out.gates.address);
  out.gates.port_first = static_cast<std::uint16_t>(config.integer("migration.port_first", 49300, 1024, 65535));
  out.gates.port_last = static_cast<std::uint16_t>(config.integer("migration.port_last", 49399, 1024, 65535));
  if (out.gates.port_last < out.gates.port_first)
    config.complain("migration.port_last", "is below port_first", "the range must hold at least one port");
  if (const auto own = parse_endpoint(out.listen_endpoint);
      own && own->port() >= out.gates.port_first && own->port() <= out.gates.port_last)
    config.complain("migration.port_first", fmt::format("the range holds {}, the agent's own port", own->port()),
                    "keep listen.endpoint's port out of it");
  const auto stream = config.text("migration.stream", "tls");
  if (stream != "tls" && stream != "plain")
    config.complain("migration.stream", fmt::format("'{}' is neither", stream),
                    "tls, or plain where the network encrypts by itself");
  out.gates.plain = stream == "plain";
  out.source.channels = out.standby.channels =
      static_cast<unsigned>(config.integer("migration.channels", kChannels, 1, 64));
  out.gates.program = gate_program(config);
  out.source.node = out.name;
  out.source.refresh_interval = positive(config, "shadow.refresh_interval", 5s);
  out.source.blackout_budget = positive(config, "shadow.blackout_budget", 5ms);
  if (out.source.blackout_budget > kMostBudget)
    config.complain("shadow.blackout_budget", "is no budget for a blackout",
                    fmt::format("give at most {} ms; 5 ms is usual", kMostBudget.count()));
  out.foreign.emulator = out.emulator.string();
  out.foreign.qemu_arguments = config.texts("shadow.allowed_qemu_arguments");
  out.foreign.paths = config.texts("shadow.allowed_paths");
  for (const auto& path : out.foreign.paths)
    if (!std::filesystem::path(path).is_absolute())
      config.complain("shadow.allowed_paths", fmt::format("'{}' is not absolute", path), "give whole paths of folders");
  out.source.lease = out.standby.lease = positive(config, "shadow.lease", 30s);
  if (out.source.lease < 10s || out.source.lease > 1h)
    config.complain("shadow.lease", "is not between 10s and 1h", "30s lets a host be restarted in its time");
  out.sample_interval = positive(config, "telemetry.interval", 5s);
  out.autostart_dir = config.text("guard.autostart_dir", "/etc/libvirt/qemu/autostart");
  out.guests_list = config.text("guard.guests_list", "/var/lib/libvirt/libvirt-guests");
  out.guard_deadline = positive(config, "guard.deadline", 10s);
  UMBRA_CHECK(config.finish());
  return out;
}

}  // namespace umbra::agent
