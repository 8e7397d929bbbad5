#include "systemd/notify.hpp"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <string>
#include <system_error>

namespace umbra::systemd {

Notifier::Notifier(const boost::asio::any_io_executor& executor) : timer_(executor) {
  std::uint64_t micros = 0;
  const int enabled = sd_watchdog_enabled(0, &micros);
  if (enabled > 0) watchdog_ = std::chrono::microseconds(micros);
  if (enabled < 0) {
    spdlog::warn("the watchdog is off: $WATCHDOG_USEC or $WATCHDOG_PID: {}", std::generic_category().message(-enabled));
  }
}

void Notifier::ready() {
  send("READY=1");
  if (watchdog_.count() > 0) feed();
}

void Notifier::status(std::string_view line) {
  std::string message = "STATUS=" + std::string(line);
  std::replace(message.begin(), message.end(), '\n', ' ');  // a line break would begin another variable
  send(message);
}

void Notifier::stopping() {
  timer_.cancel();
  watchdog_ = {};
  send("STOPPING=1");
}

void Notifier::feed() {
  send("WATCHDOG=1");
  timer_.expires_after(watchdog_ / 2);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    // A cancel may come when the wait has ended already, and this is on its way.
    if (!cancelled && watchdog_.count() > 0) feed();
  });
}

void Notifier::send(std::string_view message) {
  const int sent = sd_notify(0, std::string(message).c_str());
  if (sent >= 0 || deaf_) return;
  deaf_ = true;
  spdlog::warn("cannot tell systemd {}: {}", message, std::generic_category().message(-sent));
}

}  // namespace umbra::systemd
