// What only the real LibvirtHypervisor has: hangs, and the time it takes.
#include "agentd/virt/libvirt_hypervisor.hpp"

#include "agentd/virt/tests/hypervisor_world.hpp"
#include "agentd/virt/tests/private_libvirtd.hpp"
#include "agentd/virt/worker_pool.hpp"

namespace umbra::virt {
namespace {

using Body = Task<void> (*)(World&);

void check(Body body) {
  const auto world = make_real_world();
  run_task(
      world->io(),
      [](World& opened, Body inner) -> Task<void> {
        UMBRA_CO_CHECK(co_await opened.open());
        co_return co_await inner(opened);
      }(*world, body),
      60s);
}

TEST(LibvirtHypervisor, AFrozenQemuHoldsUpItsOwnCallsAlone) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    UMBRA_CO_CHECK(co_await world.run(kSecond));
    qmp::Client frozen(world.hypervisor().monitor(kFirst.uuid)), other(world.hypervisor().monitor(kSecond.uuid));
    libvirtd_of(world).freeze(kFirst.name);
    for (int call = 0; call < 6; ++call) EXPECT_EQ((co_await frozen.status(50ms)).error().code, Errc::kTimeout);
    EXPECT_EQ((co_await world.hypervisor().suspend(kFirst.uuid, 50ms)).error().code, Errc::kTimeout);
    UMBRA_CO_TRY(const auto status, co_await other.status(kSoon));
    EXPECT_TRUE(status.running);
    UMBRA_CO_TRY(const auto all, co_await world.hypervisor().domains(kSoon));
    EXPECT_EQ(all.size(), 2U);
    UMBRA_CO_CHECK(co_await world.hypervisor().suspend(kSecond.uuid, kSoon));

    libvirtd_of(world).thaw(kFirst.name);
    const auto thawed = co_await frozen.status(kSoon);
    CO_ASSERT(thawed);
    co_return Result<void>{};
  });
}

TEST(LibvirtHypervisor, AFrozenLibvirtdCostsNoMoreThanTheDeadline) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    libvirtd_of(world).pause();
    EXPECT_EQ((co_await world.hypervisor().domains(50ms)).error().code, Errc::kTimeout);
    libvirtd_of(world).resume();
    UMBRA_CO_TRY(const auto all, co_await world.hypervisor().domains(kSoon));
    EXPECT_EQ(all.size(), 1U);
    EXPECT_TRUE(world.connection.empty());
    co_return Result<void>{};
  });
}

TEST(LibvirtHypervisor, SaysThatItIsDownWhenNoLibvirtdWasEverThere) {
  const auto world = make_real_world();  // for its io alone
  std::vector<bool> connection;
  LibvirtHypervisor::Options options;
  options.uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
  const auto hypervisor = LibvirtHypervisor::start(world->io().get_executor(), options).value();
  Hypervisor::Listener listener;
  listener.connection = [&](bool up) { connection.push_back(up); };
  hypervisor->listen(listener);
  run_task(world->io(), [](World& opened, LibvirtHypervisor& down, std::vector<bool>& told) -> Task<void> {
    UMBRA_CO_CHECK(co_await opened.until([&told] { return !told.empty(); }));
    EXPECT_FALSE(told.front());
    const auto host = co_await down.host(kSoon);
    CO_ASSERT(!host);
    EXPECT_EQ(host.error().code, Errc::kUnavailable);
    EXPECT_EQ(host.error().remedy, "start libvirtd or fix [libvirt] uri");
    co_return Result<void>{};
  }(*world, *hypervisor, connection));
}

/// virsh desc takes any byte, and libvirt gives it back in what is no XML any more.
TEST(LibvirtHypervisor, ADomainWithoutReadableXmlIsToldOfAndHidesNoOther) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    UMBRA_CO_CHECK(co_await world.run(kSecond));
    UMBRA_CO_TRY(const auto before, co_await world.hypervisor().domain(kFirst.uuid, kSoon));
    UMBRA_CO_CHECK(co_await world.hypervisor().annotate(kFirst.uuid, "red \x1b[31m", kSoon));
    UMBRA_CO_TRY(const auto all, co_await world.hypervisor().domains(kSoon));
    EXPECT_EQ(all.size(), 2U);
    UMBRA_CO_TRY(const auto odd, co_await world.hypervisor().domain(kFirst.uuid, kSoon));
    EXPECT_NE(odd.refusal.find("a control character"), std::string::npos) << odd.refusal;
    EXPECT_EQ(odd.addresses, before.addresses);
    EXPECT_EQ(odd.memory, before.memory);
    EXPECT_EQ(odd.state, before.state);
    UMBRA_CO_CHECK(co_await world.hypervisor().annotate(kFirst.uuid, "", kSoon));
    UMBRA_CO_TRY(const auto again, co_await world.hypervisor().domain(kFirst.uuid, kSoon));
    EXPECT_EQ(again.refusal, before.refusal);
    co_return Result<void>{};
  });
}

double median_ms(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

// Both are in the blackout: STOP and pre-switchover come as events, migrate-continue and resume are calls.
TEST(LibvirtHypervisor, ACommandAndAnEventEachTakeAFewMilliseconds) {
  check([](World& world) -> Task<void> {
    using Clock = std::chrono::steady_clock;
    using Ms = std::chrono::duration<double, std::milli>;
    UMBRA_CO_CHECK(co_await world.run(kFirst));
    const auto monitor = world.hypervisor().monitor(kFirst.uuid);
    qmp::Client client(monitor);
    std::vector<double> commands, events;
    for (int round = 0; round < 200; ++round) {
      const auto began = Clock::now();
      UMBRA_CO_CHECK(co_await client.status(kSoon));
      commands.push_back(Ms(Clock::now() - began).count());
    }
    monitor->on_event([&events](const qmp::Event& event) {  // QEMU's clock is ours here
      events.push_back(Ms(std::chrono::system_clock::now().time_since_epoch() - event.at).count());
    });
    for (int round = 0; round < 50; ++round) {
      UMBRA_CO_CHECK(co_await client.stop(kSoon));
      UMBRA_CO_CHECK(co_await client.cont(kSoon));
    }
    UMBRA_CO_CHECK(co_await world.until([&events] { return events.size() >= 100; }));
    const auto command = median_ms(commands), event = median_ms(events);
    fmt::print("passthrough query-status {:.2f} ms, event delivery {:.2f} ms (medians; 90 %: {:.2f}, {:.2f})\n",
               command, event, commands.at(commands.size() * 9 / 10), events.at(events.size() * 9 / 10));
    EXPECT_LT(command, 20);
    EXPECT_LT(event, 20);
    co_return Result<void>{};
  });
}

TEST(WorkerPool, WorkThatWasGivenUpBeforeItBeganNeverRuns) {
  asio::io_context io;
  WorkerPool pool("test", 1);
  std::atomic<bool> release = false, ran = false;
  run_task(io, [](WorkerPool& one, std::atomic<bool>& go, std::atomic<bool>& done) -> Task<void> {
    const std::function<Result<int>()> hang = [&go] {
      while (!go) std::this_thread::yield();
      return 1;
    };
    const std::function<Result<int>()> late = [&done] {
      done = true;
      return 2;
    };
    const std::function<Result<int>()> after = [] { return 3; };
    const auto hung = co_await one.run(hang, 5ms);
    const auto queued = co_await one.run(late, 5ms);
    CO_ASSERT(!hung && !queued);
    EXPECT_EQ(hung.error().code, Errc::kTimeout);
    EXPECT_EQ(queued.error().code, Errc::kTimeout);
    go = true;
    UMBRA_CO_TRY(const auto third, co_await one.run(after, 5s));
    EXPECT_EQ(third, 3);
    EXPECT_FALSE(done);
    co_return Result<void>{};
  }(pool, release, ran));
}

TEST(WorkerPool, AnExceptionIsABugButNotTheProcesssEnd) {
  asio::io_context io;
  WorkerPool pool("test", 1);
  run_task(io, [](WorkerPool& one) -> Task<void> {
    const std::function<Result<int>()> work = []() -> Result<int> { throw std::runtime_error("boom"); };
    const auto end = co_await one.run(work, 5s);
    CO_ASSERT(!end);
    EXPECT_EQ(end.error().code, Errc::kInternal);
    co_return Result<void>{};
  }(pool));
}

}  // namespace
}  // namespace umbra::virt
