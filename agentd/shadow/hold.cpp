#include "agentd/shadow/hold.hpp"

#include <algorithm>

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;
using qmp::MigrationStatus;

const std::vector<std::string> kBothSides{"return-path", "events", "pause-before-switchover", "late-block-activate"};
const std::string kSourceOnly = "switchover-ack";
const std::string kMultifd = "multifd";

constexpr BytesPerSecond kParked{10};
// A figure no link reaches; 0 would mean unlimited only to newer QEMUs.
constexpr BytesPerSecond kUnparked{std::uint64_t{100} << 30};
constexpr std::uint64_t kPasses = 2;
constexpr std::chrono::milliseconds kGlance{1};    // between looks at a gate that lets a pass through
constexpr std::chrono::milliseconds kBreath{250};  // at most, between the passes of a shadow whose cutover has begun
constexpr std::chrono::milliseconds kMoment{2};    // between a migration's end and the end of its thread
constexpr std::chrono::milliseconds kWindow{100};  // QEMU's rate limiter, BUFFER_DELAY in migration/migration.h
constexpr std::uint64_t kWindowsPerSecond = 1s / kWindow;
constexpr std::chrono::milliseconds kEarly{10};  // what was noticed had happened by so much earlier
constexpr Bytes kPage = kibibytes(4);
constexpr Bytes kUnderWay = kibibytes(128);  // by TCP, on a link that keeps up
constexpr std::chrono::duration<double> kDefaultDowntime{0.3};
// The missing acknowledgement is what holds; this only says how little must be left before QEMU looks for dirty pages
// again: what it sends in so long. It should be nothing. A look that finds only pages that are waiting to be sent
// anyway leaves QEMU's emulated CPU (TCG, 10.0: cpu_physical_memory_sync_dirty_bitmap) unaware that they are clean once
// sent, and what the guest writes to them then is lost.
constexpr std::chrono::milliseconds kDowntimeLimit{1};

/// What is left, with a header of some bytes for each page, and a page more, so that QEMU looks what was dirtied
/// meanwhile.
Bytes budget_for(Bytes left) {
  return left + Bytes{left.count / 256} + kPage;
}

Error explain(Error error) {
  if (error.code == Errc::kUnsupported || error.message.find(kSourceOnly) != std::string::npos) {
    error.code = Errc::kUnsupported;
    error.remedy = "warm shadows need QEMU 8.1 or newer on both hosts";
  }
  return error;
}

Task<void> set_capabilities(qmp::Client& qmp, std::vector<std::string> on, std::vector<std::string> off,
                            Deadline deadline) {
  const auto set = co_await qmp.set_capabilities(std::move(on), std::move(off), deadline);
  if (!set) co_return fail(explain(set.error()));
  co_return Result<void>{};
}

/// What both sides of a stream need. One that several channels were set for before has one again; a QEMU that does not
/// know of several has one anyway.
Task<void> set_channels(qmp::Client& qmp, std::vector<std::string> on, std::vector<std::string> off, unsigned channels,
                        Deadline deadline) {
  if (channels > 1) on.push_back(kMultifd);
  UMBRA_CO_CHECK(co_await set_capabilities(qmp, std::move(on), std::move(off), deadline));
  if (channels > 1) co_return Result<void>{};
  std::vector<std::string> none, multifd;
  multifd.push_back(kMultifd);
  const auto single = co_await qmp.set_capabilities(std::move(none), std::move(multifd), deadline);
  if (!single && single.error().code != Errc::kUnsupported &&
      single.error().message.find(kMultifd) == std::string::npos)
    co_return fail(single.error());
  co_return Result<void>{};
}

}  // namespace

Task<void> Hold::prepare_destination(qmp::Client destination, unsigned channels, Deadline deadline) {
  auto on = kBothSides;
  std::vector<std::string> off;
  off.push_back(kSourceOnly);
  UMBRA_CO_CHECK(co_await set_channels(destination, std::move(on), std::move(off), channels, deadline));
  if (channels <= 1) co_return Result<void>{};
  qmp::MigrationParameters parameters;
  parameters.multifd_channels = channels;
  co_return co_await destination.set_parameters(parameters, deadline);
}

Task<unsigned> Hold::usable_channels(qmp::Client qmp, unsigned most, Deadline deadline) {
  if (most <= 1) co_return 1U;
  UMBRA_CO_TRY(const auto known, co_await qmp.known_capabilities(deadline));
  co_return std::ranges::find(known, kMultifd) != known.end() ? most : 1U;
}

Task<void> Hold::open(std::string uri, unsigned channels, Deadline deadline) {
  auto on = kBothSides;
  on.push_back(kSourceOnly);
  std::vector<std::string> off;
  UMBRA_CO_CHECK(co_await set_channels(qmp(), std::move(on), std::move(off), channels, deadline));
  qmp::MigrationParameters parameters{kUnparked, kDowntimeLimit};
  if (channels > 1) parameters.multifd_channels = channels;
  UMBRA_CO_CHECK(co_await qmp().set_parameters(parameters, deadline));
  limit_ = kUnparked;
  watch_.set_status(MigrationStatus::kSetup);
  const auto started = co_await qmp().migrate(std::move(uri), deadline);
  if (started) co_return Result<void>{};
  watch_.set_status(MigrationStatus::kNone);
  co_return fail(started.error());
}

Task<void> Hold::adopt(Deadline deadline) {
  UMBRA_CO_CHECK(co_await watch_.ask(deadline));
  if (!watch_.migrating()) co_return fail(Errc::kNotFound, "no precopy is open");
  UMBRA_CO_TRY(const auto status, co_await qmp().status(deadline));
  watch_.set_halted(status.state == qmp::RunState::kPaused);
  if (watch_.halted()) co_return Result<void>{};
  co_return co_await park(deadline);
}

Task<void> Hold::park(Deadline deadline) {
  UMBRA_CO_CHECK(co_await limit(kParked, deadline));  // first: an open gate and no limit is a QEMU that spins
  auto setting = open_gate();
  co_return co_await set_gate(std::move(setting), deadline);
}

Task<void> Hold::pulse(std::chrono::microseconds pause, Deadline deadline) {
  auto setting = pulsed_gate(pause);
  UMBRA_CO_CHECK(co_await set_gate(std::move(setting), deadline));
  if (limit_ != kUnparked) UMBRA_CO_CHECK(co_await limit(kUnparked, deadline));
  co_return Result<void>{};
}

Task<void> Hold::hurry(Deadline deadline) {
  hurried_ = gate_ && limit_ == kUnparked;
  if (!hurried_) co_return co_await unpark(deadline);
  auto setting = pulsed_gate(kBreath);
  setting.set_pass_now(true);
  co_return co_await set_gate(std::move(setting), deadline);
}

Task<bool> Hold::await_pass(Deadline deadline) {
  const auto end = clock_.steady() + kBreath;
  while (hurried_ && watch_.migrating() && clock_.steady() < end) {
    UMBRA_CO_TRY(const auto status, co_await gate_->look(deadline));
    if (status.passes() > status.passes_before()) co_return true;
    co_await changed().wait_until(clock_.steady() + kGlance);
  }
  co_return false;
}

Task<void> Hold::await_arrival(std::function<bool()> given_up, Deadline deadline) {
  const auto end = clock_.steady() + deadline;
  while (gate_ && watch_.migrating() && !given_up()) {
    UMBRA_CO_TRY(const auto status, co_await gate_->look(deadline));
    if (status.queued() <= kUnderWay.count) break;
    if (clock_.steady() >= end)
      co_return fail(Errc::kTimeout,
                     "the link carries what the guest writes too slowly: {} are on their way after {} ms",
                     to_string(Bytes{status.queued()}), deadline.count());
    co_await changed().wait_until(clock_.steady() + kGlance);
  }
  co_return Result<void>{};
}

Task<void> Hold::shut(std::chrono::milliseconds at_most, Deadline deadline) {
  auto setting = shut_gate(at_most);
  UMBRA_CO_CHECK(co_await set_gate(std::move(setting), deadline));
  co_return co_await limit(kParked, deadline);
}

Task<void> Hold::let_through(Deadline deadline) {
  auto setting = open_gate();
  co_return co_await set_gate(std::move(setting), deadline);
}

Task<void> Hold::set_gate(v1::GateSetting setting, Deadline deadline) {
  if (!gate_) co_return Result<void>{};
  const auto set = co_await gate_->set(std::move(setting), deadline);
  if (!set) co_return fail({set.error().code, "its gate here: " + set.error().message, set.error().remedy});
  co_return Result<void>{};
}

Task<void> Hold::unpark(Deadline deadline) {
  co_return co_await limit(kUnparked, deadline);
}

Task<qmp::MigrationInfo> Hold::catch_up(Interrupted interrupted, Bytes enough, Bytes tolerable,
                                        std::chrono::milliseconds poll, Deadline deadline) {
  const auto end = clock_.steady() + deadline;
  UMBRA_CO_TRY(auto info, co_await watch_.ask(deadline));
  const auto before = info.dirty_sync_count;
  const auto caught_up = [&] {
    const auto passes = info.dirty_sync_count - before;
    const Bytes soon{static_cast<std::uint64_t>(static_cast<double>(info.rate.count) * kDefaultDowntime.count())};
    return (passes >= kPasses && info.remaining <= std::max(tolerable, soon)) ||
           (passes > 0 && info.remaining <= enough);
  };
  bool asleep = true;
  while (!caught_up() && watch_.migrating() && !interrupted(info)) {
    if (clock_.steady() >= end)
      co_return fail(Errc::kTimeout,
                     "the guest dirties its memory faster than the link carries it: {} are left after {} ms",
                     to_string(info.remaining), deadline.count());
    UMBRA_CO_CHECK(co_await allow(budget_for(info.remaining), deadline));
    const auto soon = clock_.steady() + poll;
    // A QEMU out of budget sleeps to the end of its window: no use in asking before.
    const bool window = asleep && limit_ != kUnparked;
    co_await changed().wait_until(window ? std::max(soon, woke_ + kWindow - kEarly) : soon);
    const auto sent = info.transferred;
    UMBRA_CO_TRY(info, co_await watch_.ask(deadline));
    if (asleep && info.transferred != sent) woke_ = clock_.steady();
    asleep = info.transferred == sent;
  }
  co_return info;
}

Task<void> Hold::limit(BytesPerSecond rate, Deadline deadline) {
  const qmp::MigrationParameters parameters{rate, std::nullopt};
  limit_ = {};  // not known, should the answer be lost
  UMBRA_CO_CHECK(co_await qmp().set_parameters(parameters, deadline));
  limit_ = rate;
  co_return Result<void>{};
}

/// @param budget for a window of QEMU's rate limiter; one that is larger already stays
Task<void> Hold::allow(Bytes budget, Deadline deadline) {
  const BytesPerSecond rate{budget.count * kWindowsPerSecond};
  if (rate <= limit_) co_return Result<void>{};
  co_return co_await limit(rate, deadline);
}

Task<void> Hold::cancel(Deadline deadline) {
  UMBRA_CO_CHECK(co_await qmp().migrate_cancel(deadline));
  UMBRA_CO_CHECK(co_await watch_.ask(deadline));
  const auto over = [this] {
    return !watch_.migrating() && watch_.status() != MigrationStatus::kPreSwitchover &&
           watch_.status() != MigrationStatus::kDevice && watch_.status() != MigrationStatus::kCancelling;
  };
  UMBRA_CO_CHECK(co_await watch_.changed().until(over, deadline, "QEMU giving up the migration"));
  if (watch_.status() == MigrationStatus::kCompleted)
    co_return fail(Errc::kConflict, "the migration completed before it could be cancelled");
  co_return Result<void>{};
}

Task<qmp::Status> Hold::state_after(Deadline deadline) {
  const auto end = clock_.steady() + deadline;
  for (;;) {
    UMBRA_CO_TRY(const auto status, co_await qmp().status(deadline));
    if (status.state != qmp::RunState::kFinishMigrate) co_return status;
    if (clock_.steady() >= end)
      co_return fail(Errc::kTimeout, "QEMU is not done with its migration after {} ms", deadline.count());
    co_await changed().wait_until(clock_.steady() + kMoment);
  }
}

}  // namespace umbra::shadow
