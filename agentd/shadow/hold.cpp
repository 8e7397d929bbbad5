#include "agentd/shadow/hold.hpp"

namespace umbra::shadow {
namespace {

const std::vector<std::string> kBothSides{"return-path", "events", "pause-before-switchover", "late-block-activate"};
const std::string kSourceOnly = "switchover-ack";

constexpr BytesPerSecond kParked{10};
// Not "unlimited" (0): that value means no limit only since QEMU 9.
constexpr BytesPerSecond kUnparked{std::uint64_t{100} << 30};
// Only decides when QEMU stops estimating and looks exactly; the missing acknowledgement is what holds.
constexpr std::chrono::milliseconds kDowntimeLimit{300};

Error explain(Error error) {
  if (error.code == Errc::kUnsupported || error.message.find(kSourceOnly) != std::string::npos) {
    error.code = Errc::kUnsupported;
    error.remedy = "warm shadows need QEMU 8.1 or newer on both hosts";
  }
  return error;
}

}  // namespace

Hold::Hold(std::shared_ptr<qmp::Transport> monitor, asio::any_io_executor executor, Clock& clock)
    : monitor_(std::move(monitor)), qmp_(monitor_), changed_(std::move(executor), clock) {
  monitor_->on_event([this](const qmp::Event& event) { on_event(event); });
}

Hold::~Hold() { monitor_->on_event({}); }

void Hold::on_event(const qmp::Event& event) {
  if (const auto* migration = std::get_if<qmp::MigrationEvent>(&event.what)) status_ = migration->status;
  else if (std::holds_alternative<qmp::MigrationPassEvent>(event.what)) ++passes_;
  else if (std::holds_alternative<qmp::StopEvent>(event.what)) stopped_at_ = event.at;
  changed_.notify();
}

Task<void> Hold::prepare_destination(qmp::Client destination, Deadline deadline) {
  const std::vector<std::string> off{kSourceOnly};
  auto set = co_await destination.set_capabilities(kBothSides, off, deadline);
  if (!set) co_return fail(explain(set.error()));
  co_return Result<void>{};
}

Task<void> Hold::open(std::string uri, Deadline deadline) {
  auto on = kBothSides;
  on.push_back(kSourceOnly);
  const std::vector<std::string> off;
  auto set = co_await qmp_.set_capabilities(on, off, deadline);
  if (!set) co_return fail(explain(set.error()));
  const qmp::MigrationParameters parameters{kUnparked, kDowntimeLimit};
  UMBRA_CO_CHECK(co_await qmp_.set_parameters(parameters, deadline));
  passes_ = 0;
  parked_ = false;
  status_ = qmp::MigrationStatus::kSetup;
  auto started = co_await qmp_.migrate(uri, deadline);
  if (!started) {
    status_ = qmp::MigrationStatus::kNone;
    co_return fail(started.error());
  }
  co_return Result<void>{};
}

Task<void> Hold::adopt(Deadline deadline) {
  UMBRA_CO_TRY(const auto info, co_await qmp_.migration(deadline));
  status_ = info.status;
  if (!active()) co_return fail(Errc::kNotFound, "no precopy is open");
  co_return co_await park(deadline);
}

Task<void> Hold::park(Deadline deadline) {
  const qmp::MigrationParameters parameters{kParked, std::nullopt};
  UMBRA_CO_CHECK(co_await qmp_.set_parameters(parameters, deadline));
  parked_ = true;
  co_return Result<void>{};
}

Task<void> Hold::unpark(Deadline deadline) {
  const qmp::MigrationParameters parameters{kUnparked, std::nullopt};
  UMBRA_CO_CHECK(co_await qmp_.set_parameters(parameters, deadline));
  parked_ = false;
  co_return Result<void>{};
}

Task<void> Hold::cancel(Deadline deadline) {
  UMBRA_CO_CHECK(co_await qmp_.migrate_cancel(deadline));
  const auto over = [this] {
    return status_ != qmp::MigrationStatus::kCancelling && status_ != qmp::MigrationStatus::kPreSwitchover && !active();
  };
  UMBRA_CO_TRY(const auto info, co_await qmp_.migration(deadline));  // an event may have been missed
  status_ = info.status;
  UMBRA_CO_CHECK(co_await changed_.until(over, deadline, "QEMU giving up the migration"));
  if (status_ == qmp::MigrationStatus::kCompleted) co_return fail(Errc::kConflict, "the migration completed before it could be cancelled");
  co_return Result<void>{};
}

}  // namespace umbra::shadow
