/// What the brain sees at one tick: plain values, so that every judgement is a function of them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/units.hpp"
#include "controller/store/wish_store.hpp"
#include "forecast/forecast.hpp"

namespace umbra::controller {

struct HostPicture {
  std::string name;
  std::string zone;
  bool up = false;
  bool hypervisor_up = false;
  bool proven = false;  ///< the hold works with its QEMU
  std::string proof_detail;
  double cpus = 0;
  Bytes memory_free{};  ///< what a new shadow may take
};

struct VmPicture {
  std::string uuid;
  std::string name;
  std::string host;
  bool running = false;
  std::string refusal;  ///< why it cannot have a shadow
  Bytes memory{};
  bool moving = false;
  std::optional<Pin> pin{};
  std::optional<v1::Shadow> shadow{};
  std::shared_ptr<const forecast::Forecast> demand{};  ///< cores; null when nothing is known
};

struct ZonePicture {
  double health = 1;
  std::string detail;  ///< why it is less than 1
};

struct MovePicture {
  std::string vm_uuid;
  std::string from;
  std::string to;
};

struct Picture {
  UnixMillis now = 0;
  std::chrono::steady_clock::time_point steady{};
  std::map<std::string, HostPicture> hosts;  ///< edges left out
  std::map<std::string, VmPicture> vms;      ///< by uuid
  std::map<std::string, ZonePicture> zones;
  std::vector<v1::Maintenance> maintenance;
  std::vector<MovePicture> moves;  ///< going on now
};

}  // namespace umbra::controller
