/// Keeps a running node's credentials up to date with their files.
#pragma once

#include <optional>

#include "base/signal.hpp"
#include "rpc/tls.hpp"

namespace umbra::rpc {

/// Reloads every minute and when asked (SIGHUP). Of files that are being exchanged one by one, what the timer sees half
/// done is not told until it is still so a minute later.
/// Threading: one strand.
class TlsKeeper {
 public:
  struct Hooks {
    std::function<void(const std::string& what)> renewed{};
    /// What was in force stays so. The same failure is told once, and each time it was asked for.
    std::function<void(const Error&)> failed{};
  };
  TlsKeeper(asio::any_io_executor executor, Clock& clock, Tls tls, Hooks hooks)
      : clock_(clock), tls_(std::move(tls)), hooks_(std::move(hooks)), asked_(std::move(executor), clock) {}

  /// Looks until cancelled or stopped.
  asio::awaitable<void> run();
  void stop();
  /// Has the files looked at now.
  void ask();
  /// One look.
  void look(bool asked);

  /// What to change soon: Tls::warnings(), and why the last reload failed.
  std::vector<std::string> warnings() const;
  UnixMillis not_after_unix_ms() const { return static_cast<UnixMillis>(tls_.self().not_after) * 1000; }
  /// Who holds what until when, in words.
  std::string text() const;

 private:
  Clock& clock_;
  Tls tls_;
  Hooks hooks_;
  Signal asked_;
  bool pending_ = false;
  bool stopping_ = false;
  std::string seen_;                 ///< the last failure
  std::optional<std::string> told_;  ///< the last failure that was told, while it lasts
};

}  // namespace umbra::rpc
