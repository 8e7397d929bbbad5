// Network namespaces and links between them, for tests with real packets. Nothing has a name on the machine: all of it
// is gone when the last file descriptor is closed, also after a crash.
#pragma once

#include <future>
#include <string>

#include "base/descriptor.hpp"

namespace umbra::netswitch::test {

using File = Descriptor;

/// Throws std::system_error when the process lacks the right; such tests run as root.
class Namespace {
 public:
  Namespace();
  int fd() const { return file_.get(); }
  /// Calls `work` on a thread inside, and waits.
  template <class Work>
  auto inside(Work work) const {
    return std::async(std::launch::async,
                      [this, &work] {
                        enter();
                        return work();
                      })
        .get();
  }
  void add_bridge(const std::string& name) const;
  /// A cable from here to another namespace. @param bridge to plug this end into; empty for none
  void add_veth(const std::string& name, const Namespace& other, const std::string& other_name,
                const std::string& bridge) const;
  void forward_packets() const;
  /// As `tc qdisc replace dev NAME root KIND` does.
  void set_discipline(const std::string& name, const std::string& kind) const;
  /// The queue that QEMU would hold: non-blocking, one Ethernet frame a read.
  File open_tap(const std::string& name) const;

 private:
  void enter() const;
  File file_;
};

}  // namespace umbra::netswitch::test
