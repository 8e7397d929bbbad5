#include "agentd/shadow/watch.hpp"

namespace umbra::shadow {

Watch::Watch(std::shared_ptr<qmp::Transport> monitor, Signal& changed)
    : monitor_(std::move(monitor)), qmp_(monitor_), changed_(changed) {
  monitor_->on_event([this](const qmp::Event& event) { on_event(event); });
}

Watch::~Watch() {
  monitor_->on_event({});
}

Task<qmp::MigrationInfo> Watch::ask(Deadline deadline) {
  const auto told = told_;
  UMBRA_CO_TRY(auto info, co_await qmp_.migration(deadline));
  if (told == told_) status_ = info.status;
  co_return info;
}

void Watch::on_event(const qmp::Event& event) {
  if (const auto* migration = std::get_if<qmp::MigrationEvent>(&event.what)) {
    status_ = migration->status;
    ++told_;
  } else if (std::holds_alternative<qmp::StopEvent>(event.what)) {
    stopped_at_ = event.at;
    halted_ = true;
  } else if (std::holds_alternative<qmp::ResumeEvent>(event.what)) {
    resumed_at_ = event.at;
    halted_ = false;
  } else if (std::holds_alternative<qmp::PowerdownEvent>(event.what)) {
    powering_down_ = true;
  } else if (std::holds_alternative<qmp::JobEvent>(event.what)) {
    ++jobs_told_;
  } else {
    return;
  }
  changed_.notify();
}

}  // namespace umbra::shadow
