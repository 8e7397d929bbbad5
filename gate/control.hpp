/// The socket at which a gate is told what to do, by the user that it runs as and by nobody else.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <set>

#include "gate/gate.hpp"

namespace umbra::gate {

/// Messages are protobuf (proto/umbra/v1/gate.proto), each behind its length in four bytes, at most 1 MiB. Every
/// command is answered with a GateStatus of its id; whoever is connected is told of changes too. Executor's thread
/// only.
class Control {
 public:
  /// Makes the socket. @error kInvalid, kNotFound, kUnavailable
  static Result<std::unique_ptr<Control>> listen(asio::any_io_executor executor, Clock& clock,
                                                 std::filesystem::path path);
  ~Control();

  /// Called once, when the gate has ended and everybody was told.
  void on_end(std::function<void()> ended) { ended_ = std::move(ended); }

 private:
  class Visitor;

  Control(asio::any_io_executor executor, Clock& clock, std::filesystem::path path);
  void accept();
  void leave(const std::shared_ptr<Visitor>& visitor);
  v1::GateStatus obey(const v1::GateCommand& command);
  void tell_all();

  asio::any_io_executor executor_;
  std::filesystem::path path_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::set<std::shared_ptr<Visitor>> visitors_;
  std::function<void()> ended_;
  Gate gate_;
};

}  // namespace umbra::gate
