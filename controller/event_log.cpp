#include "controller/event_log.hpp"

#include <spdlog/spdlog.h>

#include "base/printable.hpp"
#include "systemd/event_journal.hpp"

namespace umbra::controller {

void EventLog::add(v1::Event event) {
  event.set_text(limited(event.text(), kMostText));
  event.set_node(limited(event.node(), kMostName));
  event.set_vm(limited(event.vm(), kMostName));
  event.set_actor(limited(event.actor(), kMostName));
  if (event.at_unix_ms() == 0) event.set_at_unix_ms(clock_.unix_ms());
  const auto about = event.vm().empty() ? event.node() : event.vm();
  systemd::log_event(event, fmt::format("{}{}{} ({})", about, about.empty() ? "" : ": ", event.text(), event.actor()));
  const auto id = store_.add_event(event);
  if (!id) spdlog::error("an event could not be stored: {}", id.error());
  arrived_.notify();
}

void EventLog::add(v1::EventKind kind, v1::Severity severity, std::string text, About about, std::string actor) {
  v1::Event event;
  event.set_kind(kind);
  event.set_severity(severity);
  event.set_text(std::move(text));
  event.set_node(std::move(about.node));
  event.set_vm(std::move(about.vm));
  event.set_actor(std::move(actor));
  add(std::move(event));
}

}  // namespace umbra::controller
