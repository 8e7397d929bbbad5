/// How a node reaches others and is reached: what Dialer and Server do over TLS, as an interface, so that whole daemons
/// can be run over something else.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "rpc/service.hpp"
#include "rpc/tls.hpp"

namespace umbra::rpc {

struct DialerHooks {
  std::function<void(std::shared_ptr<Session>)> on_connected{};
  std::function<void(const Error& why)> on_disconnected{};
};

struct ServerHooks {
  std::function<void(std::shared_ptr<Session>)> on_session_open{};
  /// After the session's calls have failed. The reason is the peer's, if it gave one.
  std::function<void(std::shared_ptr<Session>, const Error& why)> on_session_closed{};
};

/// One connection that is kept alive. Destroying it closes the session and stops dialling.
class Link {
 public:
  virtual ~Link() = default;
  /// @error kUnavailable not connected now; the text says why the last attempt failed
  virtual Result<std::shared_ptr<Session>> session() const = 0;
  /// Closes the session and dials no more.
  virtual void stop() = 0;
};

/// Where others' connections come in. Destroying it closes all its sessions.
class Door {
 public:
  virtual ~Door() = default;
  virtual asio::ip::tcp::endpoint endpoint() const = 0;
  /// Lets nobody in any more; calls in flight may take up to `grace` to end, then all sessions are closed.
  virtual Task<void> drain(Deadline grace) = 0;
};

/// Threading: as Session.
class Transport {
 public:
  virtual ~Transport() = default;
  /// @param services what the peer may call over the session
  virtual std::unique_ptr<Link> dial(std::string address, Expect expect, Services services, DialerHooks hooks) = 0;
  /// @param address "10.0.0.1:7443" or "[::]:7443"
  /// @error kInvalid the address; kUnavailable it cannot be listened on
  virtual Result<std::unique_ptr<Door>> listen(std::string address, Services services, ServerHooks hooks) = 0;
};

/// TLS 1.3 with the fleet's certificates on both ends.
class TlsTransport final : public Transport {
 public:
  TlsTransport(asio::any_io_executor executor, Tls tls) : executor_(std::move(executor)), tls_(std::move(tls)) {}
  std::unique_ptr<Link> dial(std::string address, Expect expect, Services services, DialerHooks hooks) override;
  Result<std::unique_ptr<Door>> listen(std::string address, Services services, ServerHooks hooks) override;

 private:
  asio::any_io_executor executor_;
  Tls tls_;
};

}  // namespace umbra::rpc
