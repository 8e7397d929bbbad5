/// umbra-agentd's configuration.
#pragma once

#include <filesystem>
#include <string>

#include "agentd/gates.hpp"
#include "agentd/shadow/context.hpp"
#include "agentd/shadow/standby.hpp"
#include "agentd/virt/foreign_domain.hpp"
#include "base/config.hpp"
#include "netswitch/switch.hpp"
#include "rpc/tls.hpp"

namespace umbra::agent {

enum class NodeRole : std::uint8_t { kHost, kEdge };

/// docs/configuration.md describes every key.
struct AgentConfig {
  std::string name;
  NodeRole role = NodeRole::kHost;
  std::string zone;
  std::filesystem::path state_dir;
  std::string log_level;
  std::string controller_endpoint;
  std::string controller_name;
  std::string listen_endpoint;
  rpc::TlsFiles tls;
  bool renew = false;  ///< the controller is asked for another certificate in time
  std::string libvirt_uri;
  std::filesystem::path emulator;  ///< the QEMU that the hold is proven on
  std::string underlay_address;
  netswitch::SwitchConfig network;
  double cpus = 0;  ///< what this host may give to VMs; zero: all it has
  GateConfig gates;
  shadow::StandbyConfig standby;
  shadow::SourceConfig source;
  std::string metrics_listen;  ///< empty: no metrics are served
  std::chrono::milliseconds sample_interval{5'000};
  virt::ForeignRules foreign;                        ///< what other hosts' domains may have here
  std::filesystem::path autostart_dir;               ///< libvirt's links to the definitions that it starts at boot
  std::filesystem::path guests_list;                 ///< libvirt-guests' list of what it starts again
  std::chrono::milliseconds guard_deadline{10'000};  ///< how long the boot guard waits for the controller

  /// @error kInvalid with file, line, key and remedy
  static Result<AgentConfig> from(Config& config);
};

}  // namespace umbra::agent
