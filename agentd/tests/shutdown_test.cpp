// A shutdown that waits for the guests: a logind on a bus of its own, and a controller over TLS.
#include "agentd/shutdown.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "rpc/dialer.hpp"
#include "rpc/fakes/test_fleet.hpp"
#include "rpc/server.hpp"
#include "systemd/fakes/fake_logind.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FakeRegistry final : public v1::RegistryService {
 public:
  int leaves = 0;
  unsigned failing = 0;
  std::vector<std::int64_t> announced;

  Task<v1::RegisterReply> register_(rpc::Caller, v1::RegisterRequest) override { co_return v1::RegisterReply{}; }
  Task<v1::ReportReply> report(rpc::Caller, v1::ReportRequest) override { co_return v1::ReportReply{}; }
  Task<v1::WhoseVmsReply> whose_vms(rpc::Caller, v1::WhoseVmsRequest) override { co_return v1::WhoseVmsReply{}; }
  Task<v1::RenewCertificateReply> renew_certificate(rpc::Caller, v1::RenewCertificateRequest) override {
    co_return v1::RenewCertificateReply{};
  }
  Task<v1::AnnounceShutdownReply> announce_shutdown(rpc::Caller, v1::AnnounceShutdownRequest request) override {
    announced.push_back(request.at_unix_ms());
    co_return v1::AnnounceShutdownReply{};
  }
  Task<void> leave(rpc::Caller, v1::LeaveRequest, rpc::Sink<v1::EvacuateProgress> sink) override {
    ++leaves;
    v1::EvacuateProgress first;
    first.add_plan();
    first.add_plan();
    UMBRA_CO_CHECK(co_await sink.send(std::move(first)));
    v1::EvacuateProgress last;
    last.set_moved(2 - failing);
    last.set_failed(failing);
    co_return co_await sink.send(std::move(last));
  }
};

class ShutdownOfAHost : public testing::Test {
 protected:
  explicit ShutdownOfAHost(std::chrono::microseconds patience = 100s)
      : logind(static_cast<std::uint64_t>(patience.count())) {}
  ~ShutdownOfAHost() override {
    shutdown.stop();
    session.reset();
    server->stop();
    for (int i = 0; i < 20; ++i) io.run_for(10ms);
  }

  void begin() {
    asio::co_spawn(
        io,
        [this]() -> asio::awaitable<void> {
          auto tls = fleet.node(v1::ROLE_AGENT, "host1");
          auto address = fmt::format("127.0.0.1:{}", server->endpoint().port());
          auto made =
              co_await rpc::connect(io.get_executor(), std::move(address), std::move(tls), rpc::Expect{}, {}, 5s);
          if (made) session = *made;
        },
        asio::detached);
    asio::co_spawn(io, shutdown.run(), asio::detached);
    until([&] { return session && logind.locks == 1; });
  }
  template <class Condition>
  void until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 40s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it did not happen";
      io.run_one_for(20ms);
    }
  }

  systemd::FakeLogind logind;
  rpc::TestFleet fleet;
  asio::io_context io{1};
  SystemClock clock;
  std::shared_ptr<FakeRegistry> registry = std::make_shared<FakeRegistry>();
  std::unique_ptr<rpc::Server> server = rpc::Server::listen(io.get_executor(), {asio::ip::make_address("127.0.0.1"), 0},
                                                            fleet.node(v1::ROLE_CONTROLLER, "controller"), {registry})
                                            .value();
  std::shared_ptr<rpc::Session> session;
  bool reachable = true;
  std::vector<std::string> done, told;
  Shutdown shutdown{io.get_executor(),
                    clock,
                    {.controller = [this]() -> Result<std::shared_ptr<rpc::Session>> {
                       if (reachable && session) return session;
                       return fail(Errc::kUnavailable, "no controller");
                     },
                     .release = [this](Deadline) -> Task<void> {
                       done.push_back(logind.locked() ? "released under the lock" : "released too late");
                       co_return Result<void>{};
                     },
                     .resume = [this] { done.push_back("resumed"); },
                     .tell = [this](v1::Severity, const std::string& text) { told.push_back(text); }}};
};

TEST_F(ShutdownOfAHost, WaitsUntilItsGuestsAreElsewhere) {
  begin();
  EXPECT_TRUE(logind.locked());
  logind.shut_down(true);
  until([&] { return !logind.locked(); });
  EXPECT_EQ(registry->leaves, 1);
  EXPECT_THAT(done, ElementsAre("released under the lock"));
  EXPECT_THAT(told, IsEmpty());
  EXPECT_THAT(shutdown.text(), HasSubstr("its guests are elsewhere"));
}

TEST_F(ShutdownOfAHost, GoesOnWithGuestsThatCannotBeMoved) {
  registry->failing = 1;
  begin();
  logind.shut_down(true);
  until([&] { return !logind.locked(); });
  EXPECT_THAT(told, Contains(HasSubstr("1 of 2 guests could not be moved")));
  EXPECT_THAT(done, ElementsAre("released under the lock"));
}

TEST_F(ShutdownOfAHost, ThatIsCalledOffMayBeginAgain) {
  begin();
  logind.shut_down(true);
  until([&] { return !logind.locked(); });
  logind.shut_down(false);
  until([&] { return logind.locks == 2 && logind.locked(); });
  EXPECT_THAT(done, ElementsAre("released under the lock", "resumed"));
  EXPECT_EQ(shutdown.text(), "");
  logind.shut_down(true);
  until([&] { return registry->leaves == 2; });
}

TEST_F(ShutdownOfAHost, ThatIsPlannedIsAnnounced) {
  logind.scheduled_us = 1'900'000'000'000'000;
  begin();
  until([&] { return !registry->announced.empty(); });
  EXPECT_THAT(registry->announced, ElementsAre(1'900'000'000'000));
}

class ShutdownWithLittlePatience : public ShutdownOfAHost {
 protected:
  ShutdownWithLittlePatience() : ShutdownOfAHost(8s) {}
};

TEST_F(ShutdownWithLittlePatience, IsToldAndGoesOnInTimeWithoutTheController) {
  begin();
  until([&] { return !told.empty(); });
  EXPECT_THAT(told, Contains(HasSubstr("InhibitDelayMaxSec=")));
  reachable = false;
  const auto began = std::chrono::steady_clock::now();
  logind.shut_down(true);
  until([&] { return !logind.locked(); });
  EXPECT_LT(std::chrono::steady_clock::now() - began, 8s) << "logind would have gone on without us";
  EXPECT_THAT(done, ElementsAre("released under the lock"));
  EXPECT_THAT(told, Contains(HasSubstr("the controller is not reachable")));
}

TEST(ShutdownWithoutABus, IsOfNoConcern) {
  setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
  asio::io_context io{1};
  SystemClock clock;
  Shutdown shutdown{io.get_executor(), clock, {}};
  asio::co_spawn(io, shutdown.run(), asio::detached);
  io.run_for(200ms);
  shutdown.stop();
  io.run_for(2s);
  EXPECT_TRUE(io.stopped());
  unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
}

}  // namespace
}  // namespace umbra::agent
