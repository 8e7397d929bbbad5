// A source and the gate of its shadow's stream: how a hot shadow is kept fresh, and what becomes of one whose guest is
// suspended.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "agentd/shadow/source.hpp"

namespace umbra::shadow {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kCall = 5s;
constexpr Deadline kGate = 5s;
constexpr auto kGateLook = 4s;
constexpr auto kFollow = 500ms;  // between looks at a hot shadow, which the gate keeps fresh by itself
constexpr auto kLeastPause = 20ms;
constexpr auto kMostPause = 250ms;  // a QEMU that cannot write holds locks
constexpr BytesPerSecond kLeastLink{100'000'000};
constexpr auto kBehind = 5s;       // without the end of a pass
constexpr auto kStandstill = 20s;  // without anything that goes out
constexpr auto kSuspended = 60s;   // a shadow is kept behind a shut gate while its guest is suspended

std::string_view mode_text(v1::GateMode mode) {
  switch (mode) {
    case v1::GATE_MODE_PACED:
      return "paced";
    case v1::GATE_MODE_PULSED:
      return "pulsed";
    case v1::GATE_MODE_SHUT:
      return "shut";
    default:
      return "open";
  }
}

}  // namespace

/// A gate of its own for what is staged, in the directory of its QEMU.
Task<std::shared_ptr<Gate>> Source::open_gate() {
  qmp::Client qmp(context_.hypervisor.monitor(uuid_));
  UMBRA_CO_TRY(const auto directory, co_await qmp.directory(kCall));
  v1::GateTask task;
  task.set_side(v1::GATE_SIDE_SOURCE);
  task.set_vm_uuid(uuid_);
  *task.mutable_id() = id();
  task.set_socket(stream_socket(directory, id()));
  task.set_endpoint(stream_);
  task.set_standby(built_.standby().name());
  *task.mutable_warrant() = built_.warrant();
  co_return co_await context_.gates.open(std::move(task), kGate);
}

/// The gate that an earlier life of the agent started, if it is there: a shadow without one has lost its stream.
asio::awaitable<void> Source::take_up_gate() {
  if (gate_) co_return;
  auto id_of_it = id();
  auto vm_uuid = uuid_;
  const auto found =
      co_await context_.gates.adopt(v1::GATE_SIDE_SOURCE, std::move(vm_uuid), std::move(id_of_it), kCall);
  if (found)
    gate_ = *found;
  else
    spdlog::info("{}: {}", uuid_, found.error());
}

Task<void> Source::as_its_tier_wants() {
  if (life_.phase() != Phase::kHot) co_return co_await hold_->park(kCall);
  if (pause_ == 0us) pause_ = kLeastPause;
  passed_at_ = sent_at_ = context_.clock.steady();
  co_return co_await hold_->pulse(pause_, kCall);
}

/// Hot: the gate keeps it fresh. Looks how much it takes, and chooses the pause between passes: so long that what the
/// guest writes in it is sent within the budget.
Task<void> Source::follow() {
  refresh_due_ = context_.clock.steady() + kFollow;
  const auto asked_at = context_.clock.unix_ms();
  const auto before = status_.refreshed_at_unix_ms();
  const auto sent = status_.transferred_bytes();
  const auto passes = passes_;
  co_await look_at_gate();
  UMBRA_CO_TRY(const auto info, co_await hold_->ask(kCall));
  take(info);
  passes_ = info.dirty_sync_count;
  if (passes_ > passes) {
    status_.set_refreshed_at_unix_ms(asked_at);
    status_.set_refreshes(status_.refreshes() + 1);
    status_.set_last_refresh_ms(std::chrono::duration_cast<std::chrono::milliseconds>(pause_).count());
  }
  UMBRA_CO_CHECK(look_for_progress(passes_ > passes, info.transferred.count > sent));
  if (asked_at <= before || info.transferred.count < sent) co_return Result<void>{};
  const auto dirty =
      static_cast<double>(info.transferred.count - sent) * 1000.0 / static_cast<double>(asked_at - before);
  status_.set_dirty_bytes_per_second(dirty);
  const auto budget = built_.blackout_budget_ms() > 0 ? std::chrono::milliseconds(built_.blackout_budget_ms())
                                                      : context_.config.blackout_budget;
  const auto affordable = std::chrono::duration<double>(budget) *
                          static_cast<double>(std::max(link_, kLeastLink).count) / std::max(dirty, 1.0);
  const auto pause = std::chrono::duration_cast<std::chrono::microseconds>(
      std::clamp<std::chrono::duration<double>>(affordable, kLeastPause, kMostPause));
  if (pause < pause_ * 4 / 5 || pause > pause_ * 5 / 4) {
    pause_ = pause;
    UMBRA_CO_CHECK(co_await hold_->pulse(pause_, kCall));
  }
  co_return Result<void>{};
}

/// A stream may stand though TCP does not know: the other gate hangs, or its QEMU does.
Result<void> Source::look_for_progress(bool passed, bool sent) {
  const auto now = context_.clock.steady();
  if (passed) passed_at_ = now;
  if (passed || sent) sent_at_ = now;
  const auto seconds = [now](Signal::TimePoint since) {
    return std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  };
  if (now - sent_at_ >= kStandstill)
    return fail({Errc::kUnavailable, fmt::format("nothing has gone out to its shadow for {} s", seconds(sent_at_)),
                 fmt::format("see umbra-gate and QEMU of it on {}", built_.standby().name())});
  std::string behind;
  if (now - passed_at_ >= kBehind)
    behind = fmt::format("its shadow is {} s behind: the link, or {}, does not keep up with it", seconds(passed_at_),
                         built_.standby().name());
  if (behind != std::exchange(behind_, behind)) status_.set_detail(behind);
  return {};
}

/// Why, as far as its gate knows.
Error Source::lost(std::string_view what) const {
  const auto why = gate_ ? gate_->last_words() : std::string{};
  return {Errc::kUnavailable, why.empty() ? std::string(what) : fmt::format("{}: {}", what, why), {}};
}

/// For people and monitoring: what goes wrong with it shows in QEMU's stream.
asio::awaitable<void> Source::look_at_gate() {
  if (!gate_ || context_.clock.steady() < gate_due_) co_return;
  gate_due_ = context_.clock.steady() + kGateLook;
  const auto seen = co_await gate_->look(kCall);
  if (!seen) co_return;
  auto& stream = *status_.mutable_stream();
  stream.set_mode(std::string(mode_text(seen->setting().mode())));
  stream.set_channels(seen->channels());
  stream.set_encrypted(!seen->task().plain());
  stream.set_bytes(seen->bytes());
  stream.set_passes(seen->passes());
  stream.set_stalls(seen->stalls());
  stream.set_round_trip_ms(static_cast<double>(seen->round_trip_us()) / 1000.0);
  stream.set_pause_ms(static_cast<double>(seen->setting().pause_us()) / 1000.0);
  stream.set_began_unix_ms(seen->started_unix_ms());
}

/// Somebody has suspended the guest, or a full disk has. Behind a shut gate its hold stays; should the guest run again
/// soon, nothing is lost.
Task<void> Source::wait_suspended() {
  const auto now = context_.clock.steady();
  if (suspended_until_ == Signal::TimePoint{}) {
    suspended_until_ = now + kSuspended;
    UMBRA_CO_CHECK(co_await hold_->shut(kSuspended, kCall));
    status_.set_detail("its guest is suspended");
    context_.changed();
  }
  answer(fail({Errc::kConflict, fmt::format("{} is paused on {}", vm_.name(), context_.config.node),
               "see virsh domstate --reason; resume it there, and try again"}));
  const auto goes_on = [this] { return !hold_->watch().halted() || !hold_->watch().migrating(); };
  while (!goes_on() && wish_ && !stopping_ && hypervisor_up_ && !given_up_ && !pending_) {
    if (context_.clock.steady() >= suspended_until_)
      co_return fail(Errc::kConflict, "the guest has been suspended for more than {} s", kSuspended.count());
    co_await changed_.wait_until(suspended_until_);
  }
  if (!goes_on()) co_return Result<void>{};
  suspended_until_ = {};
  status_.set_detail("");
  if (!hold_->watch().migrating()) co_return Result<void>{};
  co_return co_await as_its_tier_wants();
}

void Source::end_gate(std::string why) {
  if (gate_) gate_->end(std::move(why));
  gate_.reset();
  status_.clear_stream();
}

}  // namespace umbra::shadow
