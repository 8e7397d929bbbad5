/// Connections that this node makes: once, or kept alive.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rpc/transport.hpp"

namespace umbra::rpc {

struct HostPort {
  std::string host;
  std::string port;
};

/// "host1.example.net:7443", "10.0.0.1:7443", "[fd00::1]:7443" → its parts. @error kInvalid
Result<HostPort> parse_address(std::string_view text);

/// A TCP connection to an address of that name, tried one after the other.
/// @error kInvalid the address; kUnavailable nobody listens there, or no such host; kTimeout
Task<asio::ip::tcp::socket> reach(asio::any_io_executor executor, std::string address, Deadline deadline);

/// Connects once. Await it on `executor`, on which the session then runs.
/// @param address "host:port" or "[v6]:port"
/// @param services what the peer may call over this session
/// @return a session that stays open until either end closes it, also when nobody holds it any more
/// @error kDenied a certificate was refused, on either side, or `expect` is not met; kUnavailable nobody listens there,
/// or no such
///   host; kTimeout; kInvalid the address; kUnsupported another protocol version. Every text names the address and the
///   remedy.
Task<std::shared_ptr<Session>> connect(asio::any_io_executor executor, std::string address, Tls tls, Expect expect,
                                       Services services, Deadline deadline, Limits limits = {});

/// Keeps one connection alive: dials again after a failure, waiting 250 ms at first, then twice as long up to 10 s,
/// each wait shortened at random by up to half, so that a restarted controller is not met by its whole fleet at once.
/// Threading: as Session. Destroying it closes the session and stops dialling.
class Dialer final : public Link {
 public:
  Dialer(asio::any_io_executor executor, std::string address, Tls tls, Expect expect, Services services,
         DialerHooks hooks = {}, Limits limits = {});
  ~Dialer() override;
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  Result<std::shared_ptr<Session>> session() const override;
  void stop() override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace umbra::rpc
