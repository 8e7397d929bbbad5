#include "systemd/fakes/fake_logind.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <stdexcept>

extern char** environ;

namespace umbra::systemd {
namespace {

constexpr const char* kManager = "org.freedesktop.login1.Manager";

void must(int code, const char* what) {
  if (code < 0) throw std::runtime_error(std::string(what) + " failed: " + std::to_string(code));
}

}  // namespace

FakeLogind::FakeLogind(std::uint64_t most_delay_us)
    : directory_(TemporaryDirectory::make("umbra-bus-").value()), most_delay_us_(most_delay_us) {
  const auto socket = directory_.path() / "bus";
  const auto config = directory_.path() / "bus.conf";
  std::ofstream(config) << "<busconfig><type>custom</type><listen>unix:path=" << socket.string()
                        << "</listen><auth>EXTERNAL</auth><policy context='default'><allow user='*'/><allow own='*'/>"
                           "<allow send_destination='*'/><allow receive_sender='*'/></policy></busconfig>";
  const std::string option = "--config-file=" + config.string();
  std::string program = "dbus-daemon", nofork = "--nofork", argument = option;
  std::array<char*, 4> words{program.data(), nofork.data(), argument.data(), nullptr};
  if (posix_spawnp(&daemon_, "dbus-daemon", nullptr, nullptr, words.data(), environ) != 0)
    throw std::runtime_error("dbus-daemon does not start");
  setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + socket.string()).c_str(), 1);
  for (int i = 0; i < 500 && access(socket.c_str(), F_OK) != 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  thread_ = std::thread([this] { serve(); });
  while (!ready_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

FakeLogind::~FakeLogind() {
  stopping_ = true;
  thread_.join();
  end_bus();
  if (lock_ >= 0) close(lock_);
  unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
}

void FakeLogind::end_bus() {
  if (daemon_ < 0) return;
  kill(daemon_, SIGKILL);
  waitpid(daemon_, nullptr, 0);
  daemon_ = -1;
}

bool FakeLogind::locked() const {
  pollfd end{lock_, POLLIN, 0};
  return lock_ >= 0 && (poll(&end, 1, 0) == 0 || (end.revents & POLLHUP) == 0);
}

int FakeLogind::inhibit(sd_bus_message* message, void* self, sd_bus_error*) {
  auto& logind = *static_cast<FakeLogind*>(self);
  std::array<int, 2> ends{};
  must(pipe2(ends.data(), O_CLOEXEC), "pipe");
  const int replied = sd_bus_reply_method_return(message, "h", ends[1]);
  close(ends[1]);
  if (const int before = logind.lock_.exchange(ends[0]); before >= 0) close(before);
  ++logind.locks;
  return replied;
}

int FakeLogind::delay(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* self,
                      sd_bus_error*) {
  return sd_bus_message_append(reply, "t", static_cast<FakeLogind*>(self)->most_delay_us_);
}

int FakeLogind::planned(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* self,
                        sd_bus_error*) {
  const std::uint64_t at = static_cast<FakeLogind*>(self)->scheduled_us;
  return sd_bus_message_append(reply, "(st)", at == 0 ? "" : "reboot", at);
}

void FakeLogind::serve() {
  static const std::array<sd_bus_vtable, 5> kTable{{
      SD_BUS_VTABLE_START(0),
      SD_BUS_METHOD("Inhibit", "ssss", "h", &FakeLogind::inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_PROPERTY("InhibitDelayMaxUSec", "t", &FakeLogind::delay, 0, SD_BUS_VTABLE_PROPERTY_CONST),
      SD_BUS_PROPERTY("ScheduledShutdown", "(st)", &FakeLogind::planned, 0, 0),
      SD_BUS_VTABLE_END,
  }};
  sd_bus* bus = nullptr;
  must(sd_bus_open_system(&bus), "the fake's bus");
  must(sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/login1", kManager, kTable.data(), this), "its object");
  must(sd_bus_request_name(bus, "org.freedesktop.login1", 0), "its name");
  ready_ = true;
  while (!stopping_) {
    const int processed = sd_bus_process(bus, nullptr);
    if (processed < 0) break;
    if (const int command = command_.exchange(0); command != 0)
      sd_bus_emit_signal(bus, "/org/freedesktop/login1", kManager, "PrepareForShutdown", "b", command == 1 ? 1 : 0);
    if (processed == 0) sd_bus_wait(bus, 10'000);
  }
  sd_bus_flush_close_unref(bus);
}

}  // namespace umbra::systemd
