/// A running controller: all parts, wired.
#pragma once

#include "controller/core.hpp"
#include "controller/settings.hpp"
#include "rpc/transport.hpp"

namespace umbra::controller {

/// Checks all that others would hold against the controller's certificate, and its name if one is configured.
/// @error as rpc::Tls::load; kInvalid it is another's
Result<rpc::Tls> load_credentials(const Settings& settings);

/// Everything runs on the given executor's one thread. stop() must be awaited before destruction.
class Controller {
 public:
  /// Opens the store, takes up what was open, listens.
  /// @error configuration, certificates, store or endpoint, each with its remedy
  static Result<std::unique_ptr<Controller>> start(asio::any_io_executor executor, Settings settings, Clock& clock);
  /// The same over another way than TLS, with the credentials to sign warrants with.
  static Result<std::unique_ptr<Controller>> start(asio::any_io_executor executor, Settings settings, Clock& clock,
                                                   rpc::Tls tls, std::shared_ptr<rpc::Transport> transport);
  ~Controller();

  /// Lets calls in flight end for a moment, closes all sessions, ends all loops. Cutovers go on without us; their ends
  /// are asked for at the next start.
  asio::awaitable<void> stop();

  /// Reads certificates, CAs and revocation lists again (SIGHUP). What cannot be used changes nothing, and is told.
  void reload();

  /// How the fleet is, in a line for whoever looks at the service.
  std::string status() const;
  asio::ip::tcp::endpoint endpoint() const;
  Core& core();

 private:
  struct Parts;
  explicit Controller(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace umbra::controller
