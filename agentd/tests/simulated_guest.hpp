/// The guest that simulations move, and the loops in which their daemons live.
#pragma once

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <string>

#include "base/units.hpp"

namespace umbra::agent::test {

/// An event loop whose pending work can be thrown away before the objects that the work refers to.
class Loop : public asio::io_context {
 public:
  Loop() : asio::io_context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE) {}  // there is one thread, and no lock is needed
  void abandon() { shutdown(); }
  bool run_one_ready() {
    restart();
    return poll_one() > 0;
  }
};

struct SimulatedGuest {
  inline static const std::string kVm = "11111111-2222-3333-4444-555555555501";
  static constexpr const char* kName = "web1";
  static constexpr const char* kAddress = "10.50.0.1";
  static constexpr const char* kTap = "uvm1";
  static constexpr const char* kImage = "/shared/web1.qcow2";

  static std::string domain_xml(Bytes memory) {
    return fmt::format(R"(<domain type='qemu'>
  <name>{}</name>
  <uuid>{}</uuid>
  <metadata><umbra:vm xmlns:umbra='https://umbra.invalid/vm/1'><umbra:address>{}</umbra:address><umbra:shared-disks/></umbra:vm></metadata>
  <memory unit='KiB'>{}</memory>
  <vcpu>1</vcpu>
  <devices>
    <interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='{}' managed='no'/></interface>
    <disk type='file'><source file='{}'/><target dev='vda'/></disk>
  </devices>
</domain>)",
                       kName, kVm, kAddress, memory.count / 1024, kTap, kImage);
  }
};

}  // namespace umbra::agent::test
