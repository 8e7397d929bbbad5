// What FakeQemu models beyond the contract with the real one: timing, and faults on demand.
#include "qmp/fakes/fake_qemu.hpp"

#include "qmp/client.hpp"
#include "qmp/tests/run.hpp"

namespace umbra::qmp {
namespace {
using namespace std::chrono_literals;

constexpr Deadline kSoon = 1s;

struct FakeQemuTest : testing::Test {
  asio::io_context io;
  FakeQemu::Pair pair;

  void make(FakeQemu::Options options = {}) { pair = FakeQemu::pair(io.get_executor(), options); }

  Task<void> hold(std::uint64_t bandwidth) {
    Client source(pair.source), destination(pair.destination);
    std::vector<std::string> on{"return-path", "events", "pause-before-switchover"};
    const std::vector<std::string> off;
    UMBRA_CO_CHECK(co_await destination.set_capabilities(on, off, kSoon));
    on.emplace_back("switchover-ack");
    UMBRA_CO_CHECK(co_await source.set_capabilities(on, off, kSoon));
    UMBRA_CO_CHECK(co_await limit(bandwidth));
    UMBRA_CO_CHECK(co_await destination.migrate_incoming("tcp:0.0.0.0:1", kSoon));
    co_return co_await source.migrate("tcp:127.0.0.1:1", kSoon);
  }
  Task<void> limit(std::uint64_t bytes_per_second) {
    Client source(pair.source);
    MigrationParameters parameters;
    parameters.max_bandwidth = BytesPerSecond{bytes_per_second};
    co_return co_await source.set_parameters(parameters, kSoon);
  }
};

TEST_F(FakeQemuTest, ABusyGuestStaysDirtyByItsRateAndWorkingSet) {
  FakeQemu::Options options;
  options.dirty_rate = BytesPerSecond{50'000'000};
  options.working_set = mebibytes(4);
  make(options);
  run_task(io, [](FakeQemuTest& t) -> Task<void> {
    UMBRA_CO_CHECK(co_await t.hold(1U << 30));
    t.pair.wire->advance(500ms);
    UMBRA_CO_CHECK(co_await t.limit(10));
    t.pair.wire->advance(1s);
    UMBRA_CO_CHECK(co_await t.limit(1U << 30));
    const auto before = t.pair.source->sent().count;
    t.pair.wire->advance(110ms);
    const auto refreshed = t.pair.source->sent().count - before;
    EXPECT_GE(refreshed, mebibytes(4).count);
    EXPECT_LT(refreshed, mebibytes(12).count);
    co_return Result<void>{};
  }(*this));
}

TEST_F(FakeQemuTest, AReleaseWithinTheParkedWindowWaitsForItsEnd) {
  make();
  run_task(io, [](FakeQemuTest& t) -> Task<void> {
    UMBRA_CO_CHECK(co_await t.hold(1U << 30));
    t.pair.wire->advance(400ms);
    UMBRA_CO_CHECK(co_await t.limit(10));
    t.pair.wire->advance(205ms);
    UMBRA_CO_CHECK(co_await t.limit(1U << 30));
    Client source(t.pair.source);
    UMBRA_CO_CHECK(co_await source.stop(kSoon));
    t.pair.wire->advance(20ms);
    EXPECT_EQ(t.pair.source->migration_status(), MigrationStatus::kActive);
    t.pair.wire->advance(100ms);
    EXPECT_EQ(t.pair.source->migration_status(), MigrationStatus::kPreSwitchover);
    co_return Result<void>{};
  }(*this));
}

TEST_F(FakeQemuTest, AnIoErrorLiftsTheHoldToo) {
  make();
  run_task(io, [](FakeQemuTest& t) -> Task<void> {
    UMBRA_CO_CHECK(co_await t.hold(1U << 30));
    t.pair.wire->advance(400ms);
    t.pair.source->io_error();
    t.pair.wire->advance(10ms);
    EXPECT_EQ(t.pair.source->migration_status(), MigrationStatus::kPreSwitchover);
    Client source(t.pair.source);
    UMBRA_CO_CHECK(co_await source.migrate_cancel(kSoon));
    EXPECT_EQ(t.pair.source->run_state(), RunState::kIoError);
    co_return Result<void>{};
  }(*this));
}

TEST_F(FakeQemuTest, InjectedFaultsHappenOnceAndAsTold) {
  make();
  run_task(io, [](FakeQemuTest& t) -> Task<void> {
    Client source(t.pair.source);
    t.pair.source->fail("stop", Error{Errc::kConflict, "no", {}});
    const auto refused = co_await source.stop(kSoon);
    EXPECT_FALSE(refused);
    EXPECT_TRUE(t.pair.source->running());
    t.pair.source->drop_reply("stop");
    const auto lost = co_await source.stop(kSoon);
    CO_ASSERT(!lost);
    EXPECT_EQ(lost.error().code, Errc::kTimeout);
    EXPECT_FALSE(t.pair.source->running());
    UMBRA_CO_CHECK(co_await source.cont(kSoon));
    EXPECT_TRUE(t.pair.source->running());
    co_return Result<void>{};
  }(*this));
}

TEST_F(FakeQemuTest, AListenerIsFoundByItsHostsAddressAndPort) {
  const auto wire = std::make_shared<FakeWire>();
  FakeQemu::Options options;
  options.incoming = true;
  options.host = "10.0.0.2";
  const auto two = FakeQemu::start(io.get_executor(), wire, options);
  options.host = "10.0.0.3";
  const auto three = FakeQemu::start(io.get_executor(), wire, options);
  run_task(io, [](std::shared_ptr<FakeQemu> first, std::shared_ptr<FakeQemu> second) -> Task<void> {
    Client a(first), b(second);
    UMBRA_CO_CHECK(co_await a.migrate_incoming("tcp:0.0.0.0:49152", kSoon));
    UMBRA_CO_CHECK(co_await b.migrate_incoming("tcp:0.0.0.0:49152", kSoon));
    co_return Result<void>{};
  }(two, three));
  EXPECT_EQ(wire->listener("tcp:10.0.0.3:49152"), three);
  EXPECT_EQ(wire->listener("tcp:10.0.0.2:49152"), two);
  EXPECT_EQ(wire->listener("tcp:10.0.0.4:49152"), nullptr);
  EXPECT_EQ(wire->listener("tcp:10.0.0.2:49153"), nullptr);
}

}  // namespace
}  // namespace umbra::qmp
