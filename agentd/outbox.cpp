#include "agentd/outbox.hpp"

#include "systemd/event_journal.hpp"

namespace umbra::agent {

template <class T, class Field>
void Outbox::copy_some(Queue<T>& from, Field& to) {
  from.lost = 0;
  const auto count = std::min(from.news.size(), kMostAtOnce);
  for (std::size_t i = 0; i < count; ++i) *to.Add() = from.news[i];
}

template <class T, class Field>
void Outbox::forget(Queue<T>& queue, const Field& field) {
  const auto told = static_cast<std::size_t>(field.size());
  const auto count = told - std::min(told, queue.lost);  // some of what was told may have made room already
  queue.news.erase(queue.news.begin(), queue.news.begin() + static_cast<std::ptrdiff_t>(count));
}

void Outbox::event(v1::EventKind kind, v1::Severity severity, const std::string& vm, const std::string& text) {
  v1::Event event;
  event.set_at_unix_ms(clock_.unix_ms());
  event.set_kind(kind);
  event.set_severity(severity);
  event.set_node(node_);
  event.set_vm(vm);
  event.set_text(text);
  event.set_actor("agent " + node_);
  systemd::log_event(event, vm.empty() ? text : fmt::format("{}: {}", vm, text));
  events_.push(std::move(event));
}

void Outbox::cutover(v1::CutoverResult result) {
  systemd::log_cutover(result);
  cutovers_.push(std::move(result));
}

void Outbox::fill(v1::ReportRequest& report) {
  copy_some(events_, *report.mutable_events());
  copy_some(samples_, *report.mutable_samples());
  copy_some(cutovers_, *report.mutable_cutovers());
}

void Outbox::delivered(const v1::ReportRequest& report) {
  forget(events_, report.events());
  forget(samples_, report.samples());
  forget(cutovers_, report.cutovers());
}

}  // namespace umbra::agent
