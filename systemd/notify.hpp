/// What a service tells systemd: readiness, status, and that it is alive (sd_notify(3)).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string_view>

namespace umbra::systemd {

/// Speaks to the socket in $NOTIFY_SOCKET; without one every call does nothing.
/// The watchdog is fed by a timer on `executor`: a loop that hangs feeds nothing, and systemd restarts the service. Use
/// it on that executor's thread. systemd takes no heed of what children send (NotifyAccess=main).
class Notifier {
 public:
  explicit Notifier(const boost::asio::any_io_executor& executor);

  /// The service serves. From now on the watchdog is fed, twice within each WatchdogSec=.
  void ready();
  /// One line for `systemctl status`.
  void status(std::string_view line);
  /// The service is on its way down; the watchdog is over.
  void stopping();

  /// Time within which systemd wants to hear from the service; zero: it does not.
  std::chrono::microseconds watchdog() const { return watchdog_; }

 private:
  void feed();
  void send(std::string_view message);

  boost::asio::steady_timer timer_;
  std::chrono::microseconds watchdog_{0};
  bool deaf_ = false;  // systemd could not be reached, and that was said
};

}  // namespace umbra::systemd
