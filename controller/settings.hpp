/// The controller's configuration file.
#pragma once

#include "base/config.hpp"
#include "controller/brain/settings.hpp"
#include "controller/enrolment.hpp"
#include "controller/inventory/inventory.hpp"
#include "controller/planner/fence_agent.hpp"
#include "netswitch/address_rules.hpp"
#include "rpc/tls.hpp"

namespace umbra::controller {

struct Settings {
  std::string name;  ///< the certificate's; checked when given
  std::filesystem::path state_dir;
  std::string log_level;
  std::string listen;  ///< "address:port"
  rpc::TlsFiles tls;
  HeartbeatSettings heartbeat;
  std::vector<netswitch::IpPrefix> allowed_addresses;  ///< of VMs; empty: any
  BrainSettings brain;
  std::filesystem::path zone_feed;  ///< empty: none
  FenceSettings fence;
  EnrolmentSettings enrolment;
  std::string metrics_listen;  ///< empty: no metrics are served

  /// @error kInvalid, naming file, line, key and remedy
  static Result<Settings> from(Config& config);
};

}  // namespace umbra::controller
