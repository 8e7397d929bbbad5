/// Listens for nodes of the fleet and serves them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "rpc/service.hpp"
#include "rpc/tls.hpp"

namespace umbra::rpc {

/// "10.0.0.1:7443", "[::]:7443" → address and port. @error kInvalid
Result<asio::ip::tcp::endpoint> parse_endpoint(std::string_view text);

struct ServerHooks {
  std::function<void(std::shared_ptr<Session>)> on_session_open{};
  /// After the session's calls have failed. The reason is the peer's, if it gave one.
  std::function<void(std::shared_ptr<Session>, const Error& why)> on_session_closed{};
};

/// Accepts connections from any node with a certificate of the fleet; roles are checked per method.
/// A connection that is refused or broken costs the others nothing; the log says who and why.
/// Threading: as Session. Destroying it closes all its sessions.
class Server {
 public:
  /// @error kUnavailable the endpoint cannot be listened on
  static Result<std::unique_ptr<Server>> listen(asio::any_io_executor executor, asio::ip::tcp::endpoint endpoint,
                                                Tls tls, Services services, ServerHooks hooks = {}, Limits limits = {});
  ~Server();

  /// With the port that the kernel chose, if 0 was asked for.
  asio::ip::tcp::endpoint endpoint() const;
  std::vector<std::shared_ptr<Session>> sessions() const;
  /// Accepts nobody any more and closes all sessions; their peers are told.
  void stop();
  /// The same, but calls in flight may take up to `grace` to end.
  Task<void> drain(Deadline grace);

 private:
  struct State;
  explicit Server(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace umbra::rpc
