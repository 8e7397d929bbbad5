/// How QMP commands reach a QEMU: the process's edge.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <string>

#include "base/task.hpp"
#include "qmp/types.hpp"

namespace umbra::qmp {

/// One QEMU's monitor. Implementations: `UnixTransport` (a QMP socket), libvirt's passthrough in the agent, `FakeQemu`.
/// Owner's strand only.
class Transport {
 public:
  using EventHandler = std::function<void(const Event&)>;

  virtual ~Transport() = default;
  /// Runs one command and gives the value of its "return" member.
  /// @error with QEMU's text, by its error class: kUnsupported no such command, kNotFound no such device, kConflict any
  ///        other refusal; kCorrupt the answer is not QMP; kTimeout; kUnavailable QEMU or the way to it is gone (after
  ///        these two the command may have run).
  virtual Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) = 0;
  /// Replaces the handler of events. It is called on the owner's strand, in QEMU's order.
  virtual void on_event(EventHandler handler) = 0;
};

}  // namespace umbra::qmp
