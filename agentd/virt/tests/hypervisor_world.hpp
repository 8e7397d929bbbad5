// A hypervisor to test, and what happens around it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agentd/virt/domain_xml.hpp"
#include "agentd/virt/hypervisor.hpp"
#include "base/clock.hpp"
#include "qmp/client.hpp"
#include "qmp/tests/run.hpp"

namespace umbra::virt {

using namespace std::chrono_literals;

inline constexpr Deadline kSoon = 20s;  // the first call after libvirtd's start waits for its probing of QEMU

struct Vm {
  std::string name, uuid;
};
inline const Vm kFirst{"first", "11111111-2222-3333-4444-555555555501"};
inline const Vm kSecond{"second", "11111111-2222-3333-4444-555555555502"};

class World {
 public:
  virtual ~World() = default;
  virtual asio::io_context& io() = 0;
  /// Comes up, and waits until it is connected.
  virtual Task<void> open() = 0;
  virtual Hypervisor& hypervisor() = 0;
  virtual Task<void> pass(Milliseconds time) = 0;
  virtual void lose_libvirtd() = 0;
  virtual void bring_libvirtd_back() = 0;
  virtual std::string emulator() const { return "/usr/bin/qemu-system-x86_64"; }

  /// A tiny domain, without devices but those given.
  std::string xml(const Vm& vm, const std::string& more = "", const std::string& devices = "") const;
  /// Creates and resumes it.
  Task<void> run(Vm vm, std::string more = "", std::string devices = "");
  /// A disk on an image of this world.
  std::string disk() const;
  virtual std::string image() const = 0;
  virtual std::string owner_of_disk() = 0;
  virtual std::string root() const = 0;  ///< owner_of_disk() at first
  /// Gives it to root, behind everybody's back.
  virtual void take_disk() = 0;
  /// @error kTimeout the condition does not come true
  Task<void> until(std::function<bool()> condition);
  bool told(const std::string& change) const;

  std::vector<std::string> lifecycle;  ///< "started:booted", …
  std::vector<bool> connection;        ///< since open()

 protected:
  Hypervisor::Listener listener();
};

class PrivateLibvirtd;

std::unique_ptr<World> make_fake_world();
std::unique_ptr<World> make_real_world();
/// Of a real world.
PrivateLibvirtd& libvirtd_of(World& world);

/// Keeps the names of a monitor's events, migration states by their own name, passes left out.
void record(qmp::Transport& monitor, std::vector<std::string>& into);

}  // namespace umbra::virt
