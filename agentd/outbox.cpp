#include "agentd/outbox.hpp"

#include <spdlog/spdlog.h>

namespace umbra::agent {
namespace {

template <class Queue, class Field>
void copy_some(const Queue& from, Field& to, std::size_t most) {
  const auto count = std::min(from.size(), most);
  for (std::size_t i = 0; i < count; ++i) *to.Add() = from[i];
}

template <class Queue, class Field>
void forget(Queue& queue, const Field& field) {
  const auto count = std::min(queue.size(), static_cast<std::size_t>(field.size()));
  queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

void Outbox::event(v1::EventKind kind, v1::Severity severity, const std::string& vm, const std::string& text) {
  const auto level = severity == v1::SEVERITY_ALERT     ? spdlog::level::err
                     : severity == v1::SEVERITY_WARNING ? spdlog::level::warn
                                                        : spdlog::level::info;
  spdlog::log(level, "{}{}{}", vm, vm.empty() ? "" : ": ", text);
  v1::Event event;
  event.set_at_unix_ms(clock_.unix_ms());
  event.set_kind(kind);
  event.set_severity(severity);
  event.set_node(node_);
  event.set_vm(vm);
  event.set_text(text);
  event.set_actor("agent " + node_);
  push(events_, std::move(event));
}

void Outbox::fill(v1::ReportRequest& report) const {
  copy_some(events_, *report.mutable_events(), kMostAtOnce);
  copy_some(samples_, *report.mutable_samples(), kMostAtOnce);
  copy_some(cutovers_, *report.mutable_cutovers(), kMostAtOnce);
}

void Outbox::delivered(const v1::ReportRequest& report) {
  forget(events_, report.events());
  forget(samples_, report.samples());
  forget(cutovers_, report.cutovers());
}

}  // namespace umbra::agent
