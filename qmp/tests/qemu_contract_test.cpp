// What Umbra relies on in a QEMU, held against FakeQemu and against a real pair.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/temporary_directory.hpp"
#include "qmp/client.hpp"
#include "qmp/codec.hpp"
#include "qmp/fakes/fake_qemu.hpp"
#include "qmp/tests/run.hpp"
#include "qmp/throwaway.hpp"
#include "qmp/unix_transport.hpp"

namespace umbra::qmp {
namespace {
using namespace std::chrono_literals;
namespace json = boost::json;

constexpr Deadline kSoon = 5s;

/// A running source, a destination that waits, and time.
class World {
 public:
  explicit World(asio::io_context& context) : io(context) {}
  virtual ~World() = default;
  virtual Task<void> open() = 0;
  virtual Task<void> pass(Milliseconds time) = 0;
  virtual void kill_source() = 0;
  virtual void kill_destination() = 0;

  asio::io_context& io;
  std::shared_ptr<Transport> source, destination;
  std::string uri = "tcp:10.0.0.2:49152";
  std::vector<std::string> source_events, destination_events;

 protected:
  void watch() {
    const auto record = [](std::vector<std::string>& list) {
      return [&list](const Event& event) {
        const auto* migration = std::get_if<MigrationEvent>(&event.what);
        if (event.name == "MIGRATION_PASS") return;  // as many as there are
        list.push_back(migration != nullptr ? std::string(to_string(migration->status)) : event.name);
      };
    };
    source->on_event(record(source_events));
    destination->on_event(record(destination_events));
  }
};

class FakeWorld final : public World {
 public:
  using World::World;
  Task<void> open() override {
    FakeQemu::Options options;
    options.memory = mebibytes(32);
    pair_ = FakeQemu::pair(io.get_executor(), options);
    source = pair_.source;
    destination = pair_.destination;
    watch();
    co_return Result<void>{};
  }
  Task<void> pass(Milliseconds time) override {
    pair_.wire->advance(time);
    co_await asio::post(io, asio::use_awaitable);
    co_return Result<void>{};
  }
  void kill_source() override { pair_.source->die(); }
  void kill_destination() override { pair_.destination->die(); }

 private:
  FakeQemu::Pair pair_;
};

class RealWorld final : public World {
 public:
  using World::World;
  Task<void> open() override {
    UMBRA_CO_TRY(auto directory, TemporaryDirectory::make("umbra-contract-"));
    directory_.emplace(std::move(directory));
    const std::string qemu = "qemu-system-x86_64";
    const auto monitor = (directory_->path() / "source.qmp").string();
    const std::vector<std::string> source_words{"-qmp", "unix:" + monitor + ",server=on,wait=off"};
    const std::vector<std::string> destination_words{"-incoming", "defer"};
    UMBRA_CO_TRY(source_process_, Throwaway::start(qemu, directory_->path(), "source", source_words));
    UMBRA_CO_TRY(destination_process_, Throwaway::start(qemu, directory_->path(), "destination", destination_words));
    UMBRA_CO_TRY(destination, co_await UnixTransport::adopt(destination_process_->take_monitor(), kSoon));
    // The source is reached by a path, to which QEMU listens once it has greeted on its first monitor.
    UMBRA_CO_TRY(first_, co_await UnixTransport::adopt(source_process_->take_monitor(), kSoon));
    UMBRA_CO_TRY(source, co_await UnixTransport::connect(monitor, kSoon));
    watch();
    uri = "unix:" + (directory_->path() / "migration").string();
    Client client(source);
    UMBRA_CO_CHECK(co_await client.cont(kSoon));
    source_events.clear();
    co_return Result<void>{};
  }
  Task<void> pass(Milliseconds time) override {
    asio::steady_timer timer(io, time);
    co_await timer.async_wait(asio::use_awaitable);
    co_return Result<void>{};
  }
  void kill_source() override { source_process_->kill(); }
  void kill_destination() override { destination_process_->kill(); }

 private:
  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<Throwaway> source_process_, destination_process_;
  std::shared_ptr<Transport> first_;
};

enum class Kind { kFake, kReal };

class QemuContract : public testing::TestWithParam<Kind> {
 protected:
  using Body = Task<void> (*)(World&);
  void check(Body body) {
    asio::io_context io;
    std::unique_ptr<World> world;
    if (GetParam() == Kind::kFake)
      world = std::make_unique<FakeWorld>(io);
    else
      world = std::make_unique<RealWorld>(io);
    run_task(io, [](World& opened, Body inner) -> Task<void> {
      UMBRA_CO_CHECK(co_await opened.open());
      co_return co_await inner(opened);
    }(*world, body));
  }
};

constexpr std::array kCommon{"return-path", "events", "pause-before-switchover", "late-block-activate"};

/// Opens the hold of ARCHITECTURE.md and parks it.
Task<void> hold(World& world) {
  Client source(world.source), destination(world.destination);
  std::vector<std::string> on(kCommon.begin(), kCommon.end());
  const std::vector<std::string> off;
  UMBRA_CO_CHECK(co_await destination.set_capabilities(on, off, kSoon));
  on.emplace_back("switchover-ack");
  UMBRA_CO_CHECK(co_await source.set_capabilities(on, off, kSoon));
  const MigrationParameters parameters{std::nullopt, 1ms};
  UMBRA_CO_CHECK(co_await source.set_parameters(parameters, kSoon));
  UMBRA_CO_CHECK(co_await destination.migrate_incoming(world.uri, kSoon));
  UMBRA_CO_CHECK(co_await source.migrate(world.uri, kSoon));
  for (int tries = 0; tries < 1000; ++tries) {
    UMBRA_CO_TRY(const auto info, co_await source.migration(kSoon));
    if (info.status == MigrationStatus::kActive && info.dirty_sync_count >= 2) break;
    UMBRA_CO_CHECK(co_await world.pass(5ms));
  }
  co_return Result<void>{};
}

Task<void> limit(World& world, std::uint64_t bytes_per_second) {
  Client source(world.source);
  MigrationParameters parameters;
  parameters.max_bandwidth = BytesPerSecond{bytes_per_second};
  co_return co_await source.set_parameters(parameters, kSoon);
}
Task<void> park(World& world) {
  co_return co_await limit(world, 10);
}
Task<void> unpark(World& world) {
  co_return co_await limit(world, 1U << 30);
}

/// @error kTimeout the side's migration does not come to `wanted`
Task<void> until(World& world, std::shared_ptr<Transport> side, MigrationStatus wanted) {
  Client client(side);
  MigrationInfo info;
  for (int tries = 0; tries < 1000; ++tries) {
    UMBRA_CO_TRY(info, co_await client.migration(kSoon));
    if (info.status == wanted) co_return Result<void>{};
    UMBRA_CO_CHECK(co_await world.pass(5ms));
  }
  co_return fail(Errc::kTimeout, "the migration is {}, not {}", to_string(info.status), to_string(wanted));
}

Task<void> until(World& world, std::shared_ptr<Transport> side, RunState wanted) {
  Client client(side);
  for (int tries = 0; tries < 1000; ++tries) {
    UMBRA_CO_TRY(const auto status, co_await client.status(kSoon));
    if (status.state == wanted) co_return Result<void>{};
    UMBRA_CO_CHECK(co_await world.pass(5ms));
  }
  co_return fail(Errc::kTimeout, "QEMU does not get to that state");
}

/// QEMU tells of STOP while its migration thread, which has seen the stop already, tells of pre-switchover: either may
/// come first.
std::vector<std::string> with_the_stop_first(std::vector<std::string> events) {
  for (std::size_t i = 1; i < events.size(); ++i)
    if (events[i] == "STOP" && events[i - 1] == "pre-switchover") std::swap(events[i], events[i - 1]);
  return events;
}

/// The guest runs, and its memory is open towards a destination that waits.
Task<void> expect_held(World& world) {
  Client source(world.source), destination(world.destination);
  UMBRA_CO_TRY(const auto info, co_await source.migration(kSoon));
  UMBRA_CO_TRY(const auto here, co_await source.status(kSoon));
  UMBRA_CO_TRY(const auto there, co_await destination.status(kSoon));
  EXPECT_EQ(info.status, MigrationStatus::kActive);
  EXPECT_EQ(here.state, RunState::kRunning);
  EXPECT_EQ(there.state, RunState::kInMigrate);
  co_return Result<void>{};
}

TEST_P(QemuContract, AnIdleGuestIsHeldForAsLongAsWeLike) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    UMBRA_CO_CHECK(co_await park(world));
    UMBRA_CO_CHECK(co_await world.pass(1500ms));
    UMBRA_CO_CHECK(co_await expect_held(world));
    EXPECT_EQ(world.source_events, (std::vector<std::string>{"setup", "active"}));
    EXPECT_EQ(world.destination_events, (std::vector<std::string>{"setup", "active"}));
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, AParkedHoldSendsNextToNothingAndARefreshSynchronises) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    UMBRA_CO_CHECK(co_await park(world));
    UMBRA_CO_CHECK(co_await world.pass(300ms));
    Client source(world.source);
    UMBRA_CO_TRY(const auto parked, co_await source.migration(kSoon));
    UMBRA_CO_CHECK(co_await world.pass(500ms));
    UMBRA_CO_TRY(const auto still, co_await source.migration(kSoon));
    // Some 25 KiB in each window of its rate limiter, however many of them a busy machine makes of half a second.
    EXPECT_LT((still.transferred - parked.transferred).count, 1U << 20);
    EXPECT_LT(still.dirty_sync_count - parked.dirty_sync_count, 20U);

    UMBRA_CO_CHECK(co_await unpark(world));
    auto fresh = still;
    for (int tries = 0; tries < 1000 && fresh.dirty_sync_count < still.dirty_sync_count + 2; ++tries) {
      UMBRA_CO_CHECK(co_await world.pass(5ms));
      UMBRA_CO_TRY(fresh, co_await source.migration(kSoon));
    }
    EXPECT_GE(fresh.dirty_sync_count, still.dirty_sync_count + 2);
    EXPECT_EQ(fresh.status, MigrationStatus::kActive);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, AnUnaskedPauseLiftsTheHoldAndCancelBringsTheGuestBack) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    Client source(world.source);
    UMBRA_CO_CHECK(co_await source.stop(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kPreSwitchover));
    UMBRA_CO_TRY(const auto stopped, co_await source.status(kSoon));
    EXPECT_EQ(stopped.state, RunState::kFinishMigrate);
    const auto early = co_await source.cont(kSoon);
    CO_ASSERT(!early);
    EXPECT_EQ(early.error().code, Errc::kConflict);

    UMBRA_CO_CHECK(co_await source.migrate_cancel(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kCancelled));
    UMBRA_CO_TRY(const auto paused, co_await source.status(kSoon));
    EXPECT_EQ(paused.state, RunState::kPaused);
    UMBRA_CO_CHECK(co_await source.cont(kSoon));
    UMBRA_CO_TRY(const auto running, co_await source.status(kSoon));
    EXPECT_EQ(running.state, RunState::kRunning);
    EXPECT_EQ(
        with_the_stop_first(world.source_events),
        (std::vector<std::string>{"setup", "active", "STOP", "pre-switchover", "cancelling", "cancelled", "RESUME"}));
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, AReleaseEndsPausedOnTheDestinationAndPostmigrateOnTheSource) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    UMBRA_CO_CHECK(co_await world.pass(150ms));
    Client source(world.source), destination(world.destination);
    UMBRA_CO_CHECK(co_await source.stop(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kPreSwitchover));
    UMBRA_CO_CHECK(co_await world.pass(50ms));
    UMBRA_CO_TRY(const auto waits, co_await destination.status(kSoon));
    EXPECT_EQ(waits.state, RunState::kInMigrate);
    UMBRA_CO_CHECK(co_await source.migrate_continue(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.destination, MigrationStatus::kCompleted));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kCompleted));
    UMBRA_CO_CHECK(co_await until(world, world.source, RunState::kPostMigrate));  // a moment later, by QEMU's own order
    UMBRA_CO_TRY(const auto loaded, co_await destination.status(kSoon));
    EXPECT_EQ(loaded.state, RunState::kPaused);
    UMBRA_CO_CHECK(co_await destination.cont(kSoon));
    UMBRA_CO_TRY(const auto serves, co_await destination.status(kSoon));
    EXPECT_EQ(serves.state, RunState::kRunning);
    EXPECT_EQ(with_the_stop_first(world.source_events),
              (std::vector<std::string>{"setup", "active", "STOP", "pre-switchover", "device", "completed"}));
    EXPECT_EQ(world.destination_events, (std::vector<std::string>{"setup", "active", "completed", "RESUME"}));
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, ADestinationThatWasToldToRunRunsAtOnce) {
  check([](World& world) -> Task<void> {
    Client source(world.source), destination(world.destination);
    const std::vector<std::string> on{"events"}, off;
    UMBRA_CO_CHECK(co_await destination.set_capabilities(on, off, kSoon));
    UMBRA_CO_CHECK(co_await source.set_capabilities(on, off, kSoon));
    UMBRA_CO_CHECK(co_await destination.cont(kSoon));
    UMBRA_CO_CHECK(co_await destination.migrate_incoming(world.uri, kSoon));
    UMBRA_CO_CHECK(co_await source.migrate(world.uri, kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.destination, MigrationStatus::kCompleted));
    UMBRA_CO_CHECK(co_await world.pass(20ms));
    UMBRA_CO_TRY(const auto serves, co_await destination.status(kSoon));
    EXPECT_EQ(serves.state, RunState::kRunning);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, AcknowledgedByBothSidesItSwitchesOverByItselfAndCancelResumesIt) {
  check([](World& world) -> Task<void> {
    Client source(world.source), destination(world.destination);
    std::vector<std::string> on(kCommon.begin(), kCommon.end());
    const std::vector<std::string> off;
    on.emplace_back("switchover-ack");
    UMBRA_CO_CHECK(co_await destination.set_capabilities(on, off, kSoon));
    UMBRA_CO_CHECK(co_await source.set_capabilities(on, off, kSoon));
    UMBRA_CO_CHECK(co_await destination.migrate_incoming(world.uri, kSoon));
    UMBRA_CO_CHECK(co_await source.migrate(world.uri, kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kPreSwitchover));
    UMBRA_CO_CHECK(co_await source.migrate_cancel(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kCancelled));
    UMBRA_CO_TRY(const auto back, co_await source.status(kSoon));
    EXPECT_EQ(back.state, RunState::kRunning);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, WhileHeldItRefusesHotPlugNewCapabilitiesAndASecondMigration) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    Client source(world.source);
    json::object device;
    device["driver"] = "virtio-rng-pci";
    device["id"] = "rng0";
    const auto plug = co_await world.source->execute("device_add", device, kSoon);
    const std::vector<std::string> on{"events"}, off;
    const auto capabilities = co_await source.set_capabilities(on, off, kSoon);
    const auto second = co_await source.migrate(world.uri, kSoon);
    CO_ASSERT(!plug && !capabilities && !second);
    EXPECT_EQ(plug.error().code, Errc::kConflict);
    EXPECT_EQ(plug.error().message, "device_add not allowed while migrating");
    EXPECT_EQ(capabilities.error().code, Errc::kConflict);
    EXPECT_EQ(second.error().code, Errc::kConflict);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, AResetInTheHoldLeavesItHeld) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    UMBRA_CO_CHECK(co_await park(world));
    json::object none;
    UMBRA_CO_CHECK(co_await world.source->execute("system_reset", none, kSoon));
    for (int tries = 0; tries < 1000 && world.source_events.back() != "RESET"; ++tries)
      UMBRA_CO_CHECK(co_await world.pass(5ms));
    UMBRA_CO_CHECK(co_await world.pass(300ms));
    UMBRA_CO_CHECK(co_await expect_held(world));
    auto events = world.source_events;  // without a disk to boot from the real one resets itself once more
    events.erase(std::unique(events.begin(), events.end()), events.end());
    EXPECT_EQ(events, (std::vector<std::string>{"setup", "active", "RESET"}));
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, RefusesWhatItDoesNotKnowOrCannotDoNow) {
  check([](World& world) -> Task<void> {
    Client source(world.source);
    json::object none;
    const auto unknown = co_await world.source->execute("umbra-does-not-exist", none, kSoon);
    const std::vector<std::string> novel{"umbra-capability"}, lonely{"switchover-ack"}, off;
    const auto capability = co_await source.set_capabilities(novel, off, kSoon);
    const auto alone = co_await source.set_capabilities(lonely, off, kSoon);
    const auto nothing_to_continue = co_await source.migrate_continue(kSoon);
    const auto not_incoming = co_await source.migrate_incoming(world.uri, kSoon);
    CO_ASSERT(!unknown && !capability && !alone && !nothing_to_continue && !not_incoming);
    EXPECT_EQ(unknown.error().code, Errc::kUnsupported);
    EXPECT_EQ(capability.error().code, Errc::kConflict);
    EXPECT_EQ(alone.error().code, Errc::kConflict);
    EXPECT_EQ(nothing_to_continue.error().message, "migrate-continue: Migration not in expected state: none");
    EXPECT_EQ(not_incoming.error().message, "migrate-incoming: '-incoming' was not specified on the command line");
    UMBRA_CO_CHECK(co_await source.migrate_cancel(kSoon));  // nothing to cancel is no error
    UMBRA_CO_TRY(const auto version, co_await source.version(kSoon));
    EXPECT_GE(version, (Version{8, 1, 0}));
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, TellsOnWhichPortItWaitsAndTakesNoOtherOne) {
  check([](World& world) -> Task<void> {
    std::uint16_t port = 0;
    {
      const asio::ip::tcp::acceptor free(world.io, {asio::ip::make_address_v4("127.0.0.1"), 0});
      port = free.local_endpoint().port();
    }
    Client destination(world.destination);
    const auto uri = fmt::format("tcp:127.0.0.1:{}", port), other = std::string("tcp:127.0.0.1:0");
    UMBRA_CO_CHECK(co_await destination.migrate_incoming(uri, kSoon));
    UMBRA_CO_TRY(const auto waiting, co_await destination.migration(kSoon));
    EXPECT_EQ(waiting.port, port);
    const auto again = co_await destination.migrate_incoming(other, kSoon);
    CO_ASSERT(!again);
    EXPECT_EQ(again.error().code, Errc::kConflict);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, AMigrationToNobodyFailsAndTheGuestRunsOn) {
  check([](World& world) -> Task<void> {
    Client source(world.source);
    UMBRA_CO_CHECK(co_await source.migrate(world.uri, kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kFailed));
    UMBRA_CO_TRY(const auto info, co_await source.migration(kSoon));
    EXPECT_NE(info.error.find("Failed to connect"), std::string::npos) << info.error;
    UMBRA_CO_TRY(const auto status, co_await source.status(kSoon));
    EXPECT_EQ(status.state, RunState::kRunning);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, TheDestinationsDeathInTheHoldLeavesTheGuestRunning) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    world.kill_destination();
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kFailed));
    Client source(world.source), destination(world.destination);
    UMBRA_CO_TRY(const auto status, co_await source.status(kSoon));
    EXPECT_EQ(status.state, RunState::kRunning);
    const auto dead = co_await destination.status(kSoon);
    CO_ASSERT(!dead);
    EXPECT_EQ(dead.error().code, Errc::kUnavailable);
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, TheDestinationsDeathAtPreSwitchoverFailsTheContinuationAndRestoresTheGuestsState) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    Client source(world.source);
    UMBRA_CO_CHECK(co_await source.stop(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kPreSwitchover));
    world.kill_destination();
    UMBRA_CO_CHECK(co_await world.pass(100ms));
    UMBRA_CO_TRY(const auto waits, co_await source.migration(kSoon));
    EXPECT_EQ(waits.status, MigrationStatus::kPreSwitchover);
    UMBRA_CO_CHECK(co_await source.migrate_continue(kSoon));
    UMBRA_CO_CHECK(co_await until(world, world.source, MigrationStatus::kFailed));
    UMBRA_CO_CHECK(co_await until(world, world.source, RunState::kPaused));
    co_return Result<void>{};
  });
}

TEST_P(QemuContract, TheSourcesDeathOrCancelEndsTheDestination) {
  check([](World& world) -> Task<void> {
    UMBRA_CO_CHECK(co_await hold(world));
    world.kill_source();
    Client destination(world.destination);
    auto status = co_await destination.status(kSoon);
    for (int tries = 0; tries < 1000 && status; ++tries) {
      UMBRA_CO_CHECK(co_await world.pass(5ms));
      status = co_await destination.status(kSoon);
    }
    CO_ASSERT(!status);
    EXPECT_EQ(status.error().code, Errc::kUnavailable);
    co_return Result<void>{};
  });
}

INSTANTIATE_TEST_SUITE_P(Qemu, QemuContract, testing::Values(Kind::kFake, Kind::kReal),
                         [](const auto& kind) { return kind.param == Kind::kFake ? "Fake" : "Real"; });

}  // namespace
}  // namespace umbra::qmp
