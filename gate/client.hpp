/// A gate, as its agent speaks to it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/task.hpp"
#include "umbra/v1/gate.pb.h"

namespace umbra::gate {

/// One connection to a gate's control socket. Commands may overlap. When the gate is gone every pending and later
/// command fails with kUnavailable. Owner's strand only.
class Client {
 public:
  using OnStatus = std::function<void(const v1::GateStatus&)>;

  /// @error kUnavailable no gate listens there; kInvalid the path is too long
  static Task<std::shared_ptr<Client>> connect(std::string path);
  ~Client();

  /// @param command its id is given here
  /// @error kTimeout; kUnavailable it is gone; kConflict it refuses, with its reason
  Task<v1::GateStatus> ask(v1::GateCommand command, Deadline deadline);
  /// Sent, and not waited for.
  void tell(v1::GateCommand command);
  /// Called with what it tells unasked, and once it is gone: then with `ended` set.
  void on_status(OnStatus handler);
  /// Why it is gone; empty while it is there.
  const std::string& gone() const;

 private:
  class Session;
  explicit Client(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  std::shared_ptr<Session> session_;
};

}  // namespace umbra::gate
