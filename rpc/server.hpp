/// Listens for nodes of the fleet and serves them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "rpc/transport.hpp"

namespace umbra::rpc {

/// Accepts connections from any node with a certificate of the fleet; roles are checked per method.
/// A connection that is refused or broken costs the others nothing; the log says who and why.
/// Threading: as Session. Destroying it closes all its sessions.
class Server final : public Door {
 public:
  /// @error kUnavailable the endpoint cannot be listened on
  static Result<std::unique_ptr<Server>> listen(asio::any_io_executor executor, asio::ip::tcp::endpoint endpoint,
                                                Tls tls, Services services, ServerHooks hooks = {}, Limits limits = {});
  ~Server() override;

  /// With the port that the kernel chose, if 0 was asked for.
  asio::ip::tcp::endpoint endpoint() const override;
  std::vector<std::shared_ptr<Session>> sessions() const;
  /// Accepts nobody any more and closes all sessions; their peers are told.
  void stop();
  Task<void> drain(Deadline grace) override;

 private:
  struct State;
  explicit Server(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace umbra::rpc
