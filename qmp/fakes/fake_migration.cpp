// FakeQemu's migration: what QEMU's migration thread does, a millisecond at a time.
#include <algorithm>
#include <boost/json/object.hpp>
#include <limits>

#include "qmp/codec.hpp"
#include "qmp/fakes/fake_qemu.hpp"

namespace umbra::qmp {
namespace json = boost::json;
namespace {

constexpr std::int64_t kWindowMs = 100;  // of the rate limit: BUFFER_DELAY in QEMU's migration.c
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kSocket = 208 * 1024;     // what a unix socket takes while nobody reads (net.core.wmem_default)
constexpr std::uint64_t kMessage = 768;           // and what it reckons for each message, however short
constexpr std::uint64_t kIterationOverhead = 16;  // section header and footer: a parked, idle QEMU sleeps by these

auto refuse(std::string_view description) {
  return fail(to_error("GenericError", description));
}

std::uint64_t per_ms(BytesPerSecond rate) {
  return std::max<std::uint64_t>(rate.count / 1000, 1);
}

}  // namespace

bool FakeQemu::migrating() const {
  switch (status_) {
    case MigrationStatus::kSetup:
    case MigrationStatus::kActive:
    case MigrationStatus::kPreSwitchover:
    case MigrationStatus::kDevice:
    case MigrationStatus::kCancelling:
      return true;
    default:
      return false;
  }
}

Result<json::value> FakeQemu::migrate(const json::object& arguments) {
  const auto* uri = string_member(arguments, "uri");
  if (uri == nullptr) return refuse("Parameter 'uri' is missing");
  if (migrating()) return refuse("There's a migration process in progress");
  if (run_state_ == RunState::kInMigrate) return refuse("Guest is waiting for an incoming migration");
  if (run_state_ == RunState::kPostMigrate)
    return refuse("Can't migrate the vm that was paused due to previous migration");
  options_.incoming = false;  // what it was started for is over
  uri_.assign(uri->data(), uri->size());
  error_.clear();
  transferred_ = {};
  sync_count_ = measured_rate_ = window_sent_ = 0;
  remaining_ = options_.memory.count;
  set_status(MigrationStatus::kSetup);
  return json::object{};
}

Result<json::value> FakeQemu::migrate_incoming(const json::object& arguments) {
  const auto* uri = string_member(arguments, "uri");
  if (uri == nullptr) return refuse("Parameter 'uri' is missing");
  if (!options_.incoming) return refuse("'-incoming' was not specified on the command line");
  if (status_ != MigrationStatus::kNone)
    return refuse(fmt::format("Illegal migration incoming state: {}", to_string(status_)));
  std::string address(uri->data(), uri->size());
  if (wire_->taken(address, options_.host)) {
    set_status(MigrationStatus::kSetup);  // QEMU takes no second one after that
    return refuse("Failed to find an available port: Address already in use");
  }
  listening_ = std::move(address);
  set_status(MigrationStatus::kSetup);
  return json::object{};
}

Result<json::value> FakeQemu::migrate_continue() {
  if (status_ != MigrationStatus::kPreSwitchover)
    return refuse(fmt::format("Migration not in expected state: {}", to_string(status_)));
  set_status(MigrationStatus::kDevice);
  device_left_ms_ = options_.device_time.count() + static_cast<std::int64_t>(remaining_ / per_ms(options_.link));
  return json::object{};
}

void FakeQemu::dirty(Milliseconds time) {
  if (running())
    dirty_ = std::min(dirty_ + options_.dirty_rate.count / 1000 * static_cast<std::uint64_t>(time.count()),
                      std::min(options_.working_set, options_.memory).count);
}

std::int64_t FakeQemu::due_ms() const {
  constexpr auto kNever = std::numeric_limits<std::int64_t>::max();
  const auto next = wire_->now_ms() + 1;
  if (!alive_ || (options_.incoming && status_ != MigrationStatus::kCompleted)) return kNever;
  if (status_ == MigrationStatus::kActive) {
    FakeRelay::Time opens{};
    for (const auto& one : through_)
      if (const auto gate = one.lock(); gate && gate->opens_at)
        opens = std::max(opens, gate->opens_at(wire_->clock().steady()));
    return std::max({next, asleep_until_ms_, static_cast<std::int64_t>(opens.time_since_epoch() / Milliseconds(1))});
  }
  if (status_ == MigrationStatus::kSetup || status_ == MigrationStatus::kDevice) return next;
  const bool finishing = status_ == MigrationStatus::kCompleted || status_ == MigrationStatus::kFailed;
  return run_state_ == RunState::kFinishMigrate && finishing ? next : kNever;
}

void FakeQemu::tick() {
  if (!alive_) return;
  dirty(Milliseconds(1));
  if (options_.incoming && status_ != MigrationStatus::kCompleted) return;  // the source drives
  if (status_ == MigrationStatus::kSetup)
    connect();
  else if (status_ == MigrationStatus::kActive)
    iterate();
  else if (status_ == MigrationStatus::kDevice && device_left_ms_-- <= 0)
    complete();
  else if (run_state_ == RunState::kFinishMigrate && status_ == MigrationStatus::kCompleted)
    run_state_ = RunState::kPostMigrate;  // migration_iteration_finish(): only after all could see how it ended
  else if (run_state_ == RunState::kFinishMigrate && status_ == MigrationStatus::kFailed)
    restore_guest();
}

void FakeQemu::connect() {
  const auto listener = wire_->listener(uri_, options_.host);
  if (!listener) return give_up(MigrationStatus::kFailed, "Failed to connect to '" + uri_ + "': Connection refused");
  if (listener->channels() != channels()) {  // each waits for, or does not know, what the other sends
    give_up(MigrationStatus::kFailed, "multifd: received packet magic 5145564d expected 11223344");
    return listener->die();
  }
  through_.clear();
  std::string at = uri_, on = options_.host;
  while (const auto next = wire_->relay(at, on)) {
    through_.push_back(next);
    at = next->to_uri;
    on = next->to_host;
  }
  peer_ = listener;
  listener->peer_ = weak_from_this();
  listener->listening_.reset();
  listener->set_status(MigrationStatus::kActive);
  dirty_ = 0;
  sync_count_ = 1;
  if (has("events")) emit("MIGRATION_PASS", {{"pass", sync_count_}});
  set_status(MigrationStatus::kActive);
  window_end_ms_ = wire_->now_ms() + kWindowMs;
  asleep_until_ms_ = 0;
}

bool FakeQemu::may_switch_over() const {
  // migration_can_switchover(): a stopped guest does not wait for the acknowledgement, and a destination that has the
  // capability gives it as soon as no device of its own objects.
  const auto peer = peer_.lock();
  return !has("switchover-ack") || !running() || (peer && peer->has("switchover-ack"));
}

std::shared_ptr<FakeRelay> FakeQemu::relay() const {
  return through_.empty() ? nullptr : through_.front().lock();
}

void FakeQemu::relay_lost(const FakeRelay& relay) {
  if (!migrating() || std::ranges::none_of(through_, [&](const auto& one) { return one.lock().get() == &relay; }))
    return;
  const auto peer = peer_.lock();
  stream_lost("Unable to write to socket: Broken pipe");
  if (peer) peer->stream_lost("Channel error: Input/output error");
}

void FakeQemu::iterate() {
  const auto now = wire_->now_ms();
  const auto gate = relay();
  // A thread that cannot write does nothing else; until its socket is full it can.
  const bool open = std::ranges::all_of(through_, [&](const auto& one) {
    const auto relay = one.lock();
    return !relay || !relay->open || relay->open(wire_->clock().steady());
  });
  if (open) queued_ = 0;
  if (queued_ + kPage > kSocket) return;
  if (now >= window_end_ms_) {
    measured_rate_ = window_sent_ * 1000 / static_cast<std::uint64_t>(kWindowMs);
    window_sent_ = 0;
    window_end_ms_ = now + kWindowMs;
  }
  // A thread that used up its window sleeps until the window ends, even if the limit is lifted meanwhile.
  if (now < asleep_until_ms_) return;
  const std::uint64_t allowed = max_bandwidth_.count == 0 ? ~0ULL : max_bandwidth_.count / (1000 / kWindowMs);
  const std::uint64_t left = allowed > window_sent_ ? allowed - window_sent_ : 0;
  const std::uint64_t room = open ? ~0ULL : kSocket - queued_;
  const std::uint64_t chunk = std::min({remaining_, per_ms(options_.link), std::max(kPage, left), room});
  if (!open) queued_ += chunk + kMessage;
  remaining_ -= chunk;
  transferred_.count += chunk;
  window_sent_ += chunk + kIterationOverhead;
  if (window_sent_ >= allowed) asleep_until_ms_ = window_end_ms_;

  if (gate && gate->passed) gate->passed(chunk, remaining_ == 0, wire_->clock().steady());
  const auto threshold = measured_rate_ * static_cast<std::uint64_t>(downtime_limit_.count()) / 1000;
  if (remaining_ > threshold) return;
  remaining_ += std::exchange(dirty_, 0);
  ++sync_count_;
  if (has("events")) emit("MIGRATION_PASS", {{"pass", sync_count_}});
  if (may_switch_over() && remaining_ <= threshold) begin_switchover();
}

void FakeQemu::begin_switchover() {
  state_before_ = run_state_;
  if (running()) stop_guest(RunState::kFinishMigrate);
  run_state_ = RunState::kFinishMigrate;
  remaining_ += std::exchange(dirty_, 0);
  if (has("pause-before-switchover")) return set_status(MigrationStatus::kPreSwitchover);
  set_status(MigrationStatus::kDevice);
  device_left_ms_ = options_.device_time.count() + static_cast<std::int64_t>(remaining_ / per_ms(options_.link));
}

void FakeQemu::complete() {
  const auto peer = peer_.lock();
  if (!peer || !peer->alive_) return give_up(MigrationStatus::kFailed, "Channel error: Input/output error");
  transferred_.count += std::exchange(remaining_, 0);
  peer_.reset();
  peer->peer_.reset();
  peer->receive_all(state_before_ == RunState::kRunning);
  set_status(MigrationStatus::kCompleted);
}

void FakeQemu::receive_all(bool source_ran) {
  // process_incoming_migration_bh(): runs only if told to (no -S, or `cont`) and if the source ran until the
  // switchover.
  run_state_ = RunState::kPaused;
  set_status(MigrationStatus::kCompleted);
  if (autostart_ && source_ran) start_guest();
}

void FakeQemu::give_up(MigrationStatus end, std::string error) {
  const auto peer = peer_.lock();
  peer_.reset();
  if (end == MigrationStatus::kCancelled) {
    set_status(MigrationStatus::kCancelling);
    if (run_state_ == RunState::kFinishMigrate) restore_guest();
  }
  error_ = std::move(error);
  remaining_ = 0;
  set_status(end);
  if (peer) peer->stream_lost("Channel error: Input/output error");
}

void FakeQemu::restore_guest() {
  if (state_before_ == RunState::kRunning)
    start_guest();
  else
    run_state_ = state_before_;
}

void FakeQemu::stream_lost(std::string error) {
  if (!alive_ || !migrating()) return;
  error_ = std::move(error);
  if (options_.incoming) {  // "load of migration failed": QEMU ends itself
    set_status(MigrationStatus::kFailed);
    return die();
  }
  // In pre-switchover and device the migration thread learns of it when it writes next: at migrate-continue.
  if (status_ == MigrationStatus::kSetup || status_ == MigrationStatus::kActive)
    give_up(MigrationStatus::kFailed, error_);
}

}  // namespace umbra::qmp
