#include "agentd/shadow/proof.hpp"

#include "agentd/shadow/hold.hpp"
#include "base/temporary_directory.hpp"
#include "qmp/throwaway.hpp"
#include "qmp/unix_transport.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;
using qmp::MigrationStatus;

constexpr Deadline kCall = 5s;
constexpr auto kHeld = 250ms;  // QEMU's rate windows are 100 ms: an idle guest would have converged by now
constexpr auto kPoll = 5ms;
constexpr unsigned kChannels = 2;
constexpr qmp::Version kOldest{8, 1, 0};

/// One throwaway QEMU and what speaks to it.
struct Machine {
  std::unique_ptr<qmp::Throwaway> process;
  std::shared_ptr<qmp::Transport> monitor;
};

class Proof {
 public:
  Proof(asio::any_io_executor executor, Clock& clock, std::string emulator, std::filesystem::path directory)
      : clock_(clock),
        emulator_(std::move(emulator)),
        directory_(std::move(directory)),
        changed_(std::move(executor), clock) {}

  Task<void> run(v1::HoldProof& proof);

 private:
  Task<Machine> start(std::string name, std::vector<std::string> arguments);
  Task<void> hold(std::string name, unsigned channels);
  Task<void> pause();

  Clock& clock_;
  std::string emulator_;
  std::filesystem::path directory_;
  Signal changed_;
  Machine source_, standby_;
  std::unique_ptr<Hold> hold_;
};

Task<Machine> Proof::start(std::string name, std::vector<std::string> arguments) {
  Machine machine;
  UMBRA_CO_TRY(machine.process, qmp::Throwaway::start(emulator_, directory_, name, arguments));
  auto monitor = co_await qmp::UnixTransport::adopt(machine.process->take_monitor(), kCall);
  if (!monitor)
    co_return fail({Errc::kUnsupported, fmt::format("{} does not start: {}", emulator_, machine.process->printed()),
                    "run it by hand to see why"});
  machine.monitor = *monitor;
  co_return machine;
}

/// Opens a hold towards a fresh standby, and keeps it: parked, through a refresh, parked.
Task<void> Proof::hold(std::string name, unsigned channels) {
  std::vector<std::string> arguments{"-incoming", "defer"};
  UMBRA_CO_TRY(standby_, co_await start(name, std::move(arguments)));
  qmp::Client standby(standby_.monitor);
  UMBRA_CO_CHECK(co_await Hold::prepare_destination(standby, channels, kCall));
  const auto uri = fmt::format("unix:{}", (directory_ / (name + ".migration")).string());
  UMBRA_CO_CHECK(co_await standby.migrate_incoming(uri, kCall));
  UMBRA_CO_CHECK(co_await hold_->open(uri, channels, kCall));
  const Hold::Interrupted never = [](const auto&) { return false; };
  for (int refresh = 0; refresh < 2; ++refresh) {
    UMBRA_CO_CHECK(co_await hold_->catch_up(never, Bytes{}, mebibytes(32), kPoll, kCall));
    UMBRA_CO_CHECK(co_await hold_->park(kCall));
    co_await changed_.wait_until(clock_.steady() + kHeld);
    UMBRA_CO_TRY(const auto there, co_await standby.status(kCall));
    if (!hold_->watch().migrating() || there.state != qmp::RunState::kInMigrate)
      co_return fail(Errc::kUnsupported, "the hold did not stay open by itself");
  }
  co_return Result<void>{};
}

Task<void> Proof::pause() {
  UMBRA_CO_CHECK(co_await hold_->qmp().stop(kCall));
  const auto lifted = [this] { return hold_->watch().status() == MigrationStatus::kPreSwitchover; };
  co_return co_await changed_.until(lifted, kCall, "pre-switchover after a pause");
}

Task<void> Proof::run(v1::HoldProof& proof) {
  std::vector<std::string> arguments;
  UMBRA_CO_TRY(source_, co_await start("source", std::move(arguments)));
  hold_ = std::make_unique<Hold>(source_.monitor, changed_, clock_);
  auto& source = hold_->qmp();
  UMBRA_CO_TRY(const auto version, co_await source.version(kCall));
  proof.set_qemu_version(fmt::format("{}.{}.{}", version.major, version.minor, version.micro));
  if (version < kOldest)
    co_return fail({Errc::kUnsupported, fmt::format("QEMU {} is too old", proof.qemu_version()),
                    "warm shadows need QEMU 8.1 or newer"});
  UMBRA_CO_CHECK(co_await source.cont(kCall));

  UMBRA_CO_CHECK(co_await hold("first", 1));
  UMBRA_CO_CHECK(co_await pause());
  UMBRA_CO_CHECK(co_await hold_->cancel(kCall));
  UMBRA_CO_CHECK(co_await source.cont(kCall));
  UMBRA_CO_TRY(const auto back, co_await source.status(kCall));
  if (!back.running) co_return fail(Errc::kUnsupported, "the guest did not come back after a cancelled pause");

  UMBRA_CO_TRY(const auto channels, co_await Hold::usable_channels(source, kChannels, kCall));
  UMBRA_CO_CHECK(co_await hold("second", channels));
  Watch arrival(standby_.monitor, changed_);
  const auto released = clock_.steady();
  UMBRA_CO_CHECK(co_await pause());
  UMBRA_CO_CHECK(co_await source.migrate_continue(kCall));
  const auto complete = [&] { return arrival.status() == MigrationStatus::kCompleted; };
  UMBRA_CO_CHECK(co_await changed_.until(complete, kCall, "the end of a released migration"));
  UMBRA_CO_CHECK(co_await arrival.qmp().cont(kCall));
  UMBRA_CO_TRY(const auto there, co_await arrival.qmp().status(kCall));
  UMBRA_CO_TRY(const auto here, co_await hold_->state_after(kCall));  // this side comes to know later
  if (!there.running || here.state != qmp::RunState::kPostMigrate)
    co_return fail(Errc::kUnsupported, "a released guest did not end up on the other side");
  const auto took = std::chrono::duration<double, std::milli>(clock_.steady() - released).count();
  proof.set_detail(
      fmt::format("QEMU {} holds parked and through refreshes, lets a pause be cancelled, and is released in {:.0f} ms",
                  proof.qemu_version(), took));
  co_return Result<void>{};
}

}  // namespace

Task<v1::HoldProof> prove_hold(asio::any_io_executor executor, Clock& clock, std::filesystem::path emulator) {
  UMBRA_CO_TRY(auto directory, TemporaryDirectory::make("umbra-proof"));
  v1::HoldProof proof;
  Proof attempt(executor, clock, emulator.string(), directory.path());
  const auto outcome = co_await attempt.run(proof);
  if (!outcome && outcome.error().code == Errc::kNotFound) co_return fail(outcome.error());
  proof.set_proven(outcome.has_value());
  if (!outcome) proof.set_detail(outcome.error().text());
  proof.set_proven_at_unix_ms(clock.unix_ms());
  co_return proof;
}

}  // namespace umbra::shadow
