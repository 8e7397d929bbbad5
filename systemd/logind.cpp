#include "systemd/logind.hpp"

#include <fcntl.h>

namespace umbra::systemd {
namespace {

using namespace std::chrono_literals;
constexpr const char* kName = "org.freedesktop.login1";
constexpr const char* kPath = "/org/freedesktop/login1";
constexpr const char* kManager = "org.freedesktop.login1.Manager";
constexpr Deadline kCall = 10s;

}  // namespace

Task<Descriptor> Logind::delay_shutdown(std::string why) {
  UMBRA_CO_TRY(auto message, bus_->method(kName, kPath, kManager, "Inhibit"));
  if (const int made = sd_bus_message_append(message.get(), "ssss", "shutdown", "Umbra", why.c_str(), "delay");
      made < 0)
    co_return fail(bus_error("Inhibit", made));
  UMBRA_CO_TRY(const auto answer, co_await bus_->call(std::move(message), kCall));
  int fd = -1;
  if (const int read = sd_bus_message_read(answer.get(), "h", &fd); read < 0)
    co_return fail(bus_error("Inhibit", read));
  Descriptor lock(::fcntl(fd, F_DUPFD_CLOEXEC, 3));  // the message owns the other
  co_return std::move(lock);
}

Task<BusMessage> Logind::property(const char* name) {
  UMBRA_CO_TRY(auto message, bus_->method(kName, kPath, "org.freedesktop.DBus.Properties", "Get"));
  if (const int made = sd_bus_message_append(message.get(), "ss", kManager, name); made < 0)
    co_return fail(bus_error(name, made));
  auto answer = co_await bus_->call(std::move(message), kCall);
  co_return answer;
}

Task<std::chrono::microseconds> Logind::most_delay() {
  UMBRA_CO_TRY(const auto answer, co_await property("InhibitDelayMaxUSec"));
  std::uint64_t value = 0;
  if (const int read = sd_bus_message_read(answer.get(), "v", "t", &value); read < 0)
    co_return fail(bus_error("InhibitDelayMaxUSec", read));
  co_return std::chrono::microseconds(static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX)));
}

Task<Logind::Scheduled> Logind::scheduled_shutdown() {
  UMBRA_CO_TRY(const auto answer, co_await property("ScheduledShutdown"));
  const char* kind = nullptr;
  std::uint64_t at = 0;
  if (const int read = sd_bus_message_read(answer.get(), "v", "(st)", &kind, &at); read < 0)
    co_return fail(bus_error("ScheduledShutdown", read));
  Scheduled scheduled;
  // A dry one, or none, has no time.
  if (kind != nullptr && at != 0 && at < INT64_MAX) {
    scheduled.kind = kind;
    scheduled.at = std::chrono::microseconds(static_cast<std::int64_t>(at));
  }
  co_return std::move(scheduled);
}

Result<void> Logind::on_shutdown(std::function<void(bool)> tell) {
  return bus_->on_signal(kName, kPath, kManager, "PrepareForShutdown",
                         [tell = std::move(tell)](sd_bus_message& message) {
                           int begins = 0;
                           if (sd_bus_message_read(&message, "b", &begins) >= 0) tell(begins != 0);
                         });
}

}  // namespace umbra::systemd
