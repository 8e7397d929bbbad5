/// Small fleets for tests of the brain.
#pragma once

#include <cmath>

#include "controller/brain/picture.hpp"

namespace umbra::controller {

inline HostPicture make_host(const std::string& name, const std::string& zone) {
  return {name, zone, true, true, true, "", 2.0, gibibytes(4)};
}

inline VmPicture make_vm(const std::string& name, const std::string& host) {
  VmPicture vm;
  vm.uuid = "uuid-" + name;
  vm.name = name;
  vm.host = host;
  vm.running = true;
  vm.memory = mebibytes(256);
  return vm;
}

/// A demand that is `cores` for certain.
inline std::shared_ptr<const forecast::Forecast> steady_demand(double cores, std::size_t paths = 100) {
  return std::make_shared<forecast::Forecast>(0, std::chrono::minutes(5), std::vector<double>(7, cores),
                                              std::vector<double>(7 * paths, cores));
}

/// A demand that peaks at `peak` in `share` of its futures and is `cores` otherwise.
inline std::shared_ptr<const forecast::Forecast> peaking_demand(double cores, double peak, double share) {
  constexpr std::size_t kPaths = 100, kSteps = 7;
  std::vector<double> paths(kPaths * kSteps, cores);
  for (std::size_t i = 0; i < static_cast<std::size_t>(std::lround(share * kPaths)); ++i) paths[i * kSteps + 3] = peak;
  return std::make_shared<forecast::Forecast>(0, std::chrono::minutes(5), std::vector<double>(kSteps, cores),
                                              std::move(paths));
}

inline v1::Shadow make_shadow(const VmPicture& vm, const std::string& standby, v1::Tier tier, v1::ShadowPhase phase) {
  v1::Shadow shadow;
  shadow.set_vm_uuid(vm.uuid);
  shadow.set_source(vm.host);
  shadow.set_standby(standby);
  shadow.set_tier(tier);
  shadow.set_phase(phase);
  return shadow;
}

/// Two zones with two hosts each, and vm1 on host1 (zone a).
inline Picture make_picture() {
  Picture picture;
  picture.now = 1'700'000'000'000;
  picture.hosts = {{"host1", make_host("host1", "a")},
                   {"host2", make_host("host2", "a")},
                   {"host3", make_host("host3", "b")},
                   {"host4", make_host("host4", "b")}};
  picture.zones = {{"a", {1, ""}}, {"b", {1, ""}}};
  picture.vms["uuid-vm1"] = make_vm("vm1", "host1");
  return picture;
}

}  // namespace umbra::controller
