/// QMP over a local stream socket, without libvirt: for throwaway QEMUs and for tests.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "qmp/transport.hpp"

namespace umbra::qmp {

/// A QMP session on a socket. Commands may overlap; each has its own deadline. When the peer dies or sends what is not
/// QMP, every pending and later command fails (kUnavailable, kCorrupt). Owner's strand only.
class UnixTransport final : public Transport {
 public:
  /// Connects to QEMU's `-qmp unix:PATH,server=on`, and negotiates.
  /// @error kUnavailable nobody listens there; kTimeout; kCorrupt whoever does is no QEMU
  static Task<std::shared_ptr<UnixTransport>> connect(std::string path, Deadline deadline);
  /// Negotiates on a connected socket, which it owns from now on.
  static Task<std::shared_ptr<UnixTransport>> adopt(int socket, Deadline deadline);
  ~UnixTransport() override;

  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override;
  void on_event(EventHandler handler) override;

 private:
  class Session;
  explicit UnixTransport(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  static Task<std::shared_ptr<UnixTransport>> negotiate(std::shared_ptr<Session> session, Deadline deadline);

  std::shared_ptr<Session> session_;
};

}  // namespace umbra::qmp
