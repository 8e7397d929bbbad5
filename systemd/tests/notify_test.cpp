#include "systemd/notify.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <optional>
#include <string>

namespace umbra::systemd {
namespace {

using namespace std::chrono_literals;

/// systemd's end of $NOTIFY_SOCKET; in the abstract namespace, so there is no file to leave behind.
class ServiceManager {
 public:
  ServiceManager() : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const std::string name = "umbra-notify-" + std::to_string(getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    if (bind(socket_, reinterpret_cast<const sockaddr*>(&address), size) != 0) std::abort();
    setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
  }
  ~ServiceManager() {
    close(socket_);
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void watch(std::chrono::microseconds interval, pid_t pid = getpid()) {
    setenv("WATCHDOG_USEC", std::to_string(interval.count()).c_str(), 1);
    setenv("WATCHDOG_PID", std::to_string(pid).c_str(), 1);
  }
  /// The next message, if it comes in time.
  std::optional<std::string> hears(std::chrono::milliseconds within = 0ms) {
    pollfd ready{socket_, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(within.count())) <= 0) return std::nullopt;
    std::array<char, 4096> buffer{};
    const ssize_t size = recv(socket_, buffer.data(), buffer.size(), 0);
    return std::string(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  }

 private:
  int socket_;
};

class Notify : public testing::Test {
 protected:
  ServiceManager manager_;
  boost::asio::io_context io_;
};

TEST_F(Notify, says_ready_status_and_stopping) {
  Notifier notifier(io_.get_executor());
  EXPECT_EQ(manager_.hears(), std::nullopt) << "nothing before it is told";
  notifier.ready();
  EXPECT_EQ(manager_.hears(), "READY=1");
  notifier.status("4 VMs, 3 warm shadows");
  EXPECT_EQ(manager_.hears(), "STATUS=4 VMs, 3 warm shadows");
  notifier.stopping();
  EXPECT_EQ(manager_.hears(), "STOPPING=1");
}

TEST_F(Notify, a_status_cannot_carry_another_variable) {
  Notifier notifier(io_.get_executor());
  notifier.status("a VM called\nMAINPID=1");
  EXPECT_EQ(manager_.hears(), "STATUS=a VM called MAINPID=1");
}

TEST_F(Notify, without_a_watchdog_leaves_the_loop_nothing_to_do) {
  Notifier notifier(io_.get_executor());
  EXPECT_EQ(notifier.watchdog(), 0us);
  notifier.ready();
  EXPECT_EQ(io_.run(), 0U);
}

TEST_F(Notify, a_watchdog_for_another_process_is_not_ours) {
  manager_.watch(20ms, 1);
  Notifier notifier(io_.get_executor());
  EXPECT_EQ(notifier.watchdog(), 0us);
}

TEST_F(Notify, a_watchdog_that_cannot_be_read_is_off) {
  setenv("WATCHDOG_USEC", "soon", 1);
  Notifier notifier(io_.get_executor());
  EXPECT_EQ(notifier.watchdog(), 0us);
}

TEST_F(Notify, feeds_the_watchdog_twice_an_interval_once_ready) {
  manager_.watch(40ms);
  Notifier notifier(io_.get_executor());
  EXPECT_EQ(notifier.watchdog(), 40ms);
  EXPECT_EQ(manager_.hears(), std::nullopt);
  const auto began = std::chrono::steady_clock::now();
  notifier.ready();
  EXPECT_EQ(manager_.hears(), "READY=1");
  EXPECT_EQ(manager_.hears(), "WATCHDOG=1");
  for (int meal = 1; meal <= 3; ++meal) {
    io_.run_one();
    EXPECT_EQ(manager_.hears(), "WATCHDOG=1");
    EXPECT_GE(std::chrono::steady_clock::now() - began, meal * 20ms) << "not a busy loop";
  }
}

TEST_F(Notify, a_loop_that_hangs_feeds_nothing) {
  manager_.watch(20ms);
  Notifier notifier(io_.get_executor());
  notifier.ready();
  manager_.hears();
  manager_.hears();
  bool hung = false;
  boost::asio::post(io_, [&] {
    hung = true;
    EXPECT_EQ(manager_.hears(100ms), std::nullopt) << "five intervals, and nobody has fed it";
  });
  io_.run_one();
  EXPECT_TRUE(hung);
  io_.run_one();
  EXPECT_EQ(manager_.hears(), "WATCHDOG=1") << "it goes on when the loop does";
}

TEST_F(Notify, stopping_ends_the_watchdog_and_lets_the_loop_end) {
  manager_.watch(20ms);
  Notifier notifier(io_.get_executor());
  notifier.ready();
  notifier.stopping();
  io_.run();
  EXPECT_EQ(manager_.hears(), "READY=1");
  EXPECT_EQ(manager_.hears(), "WATCHDOG=1");
  EXPECT_EQ(manager_.hears(), "STOPPING=1");
  EXPECT_EQ(manager_.hears(), std::nullopt);
}

TEST_F(Notify, stopping_wins_over_a_timer_that_has_just_expired) {
  manager_.watch(2ms);
  Notifier notifier(io_.get_executor());
  notifier.ready();
  boost::asio::post(io_, [&] {
    manager_.hears(50ms);  // READY=1
    manager_.hears(50ms);  // WATCHDOG=1
    EXPECT_EQ(manager_.hears(20ms), std::nullopt);
    notifier.stopping();
  });
  io_.run();
  EXPECT_EQ(manager_.hears(), "STOPPING=1");
  EXPECT_EQ(manager_.hears(), std::nullopt);
}

TEST_F(Notify, without_systemd_every_call_does_nothing) {
  unsetenv("NOTIFY_SOCKET");
  Notifier notifier(io_.get_executor());
  notifier.ready();
  notifier.status("fine");
  notifier.stopping();
  EXPECT_EQ(manager_.hears(), std::nullopt);
}

TEST_F(Notify, a_manager_that_went_away_is_survived) {
  setenv("NOTIFY_SOCKET", "@umbra-nobody-listens-here", 1);
  manager_.watch(2ms);
  Notifier notifier(io_.get_executor());
  notifier.ready();
  EXPECT_EQ(io_.run_one(), 1U);
}

}  // namespace
}  // namespace umbra::systemd
