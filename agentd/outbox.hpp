/// What the controller has not been told yet.
#pragma once

#include <deque>

#include "base/clock.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::agent {

/// Keeps news until a report that carried them was answered; then forgets exactly those. Bounded: an agent that is cut
/// off for hours forgets its oldest samples first, and events only after 10,000.
/// Agent strand only.
class Outbox {
 public:
  Outbox(Clock& clock, std::string node) : clock_(clock), node_(std::move(node)) {}

  void event(v1::EventKind kind, v1::Severity severity, const std::string& vm, const std::string& text);
  void sample(v1::VmSample sample) { push(samples_, std::move(sample)); }
  void cutover(v1::CutoverResult result) { push(cutovers_, std::move(result)); }

  /// Adds what is pending to a report.
  void fill(v1::ReportRequest& report) const;
  /// That report arrived.
  void delivered(const v1::ReportRequest& report);

 private:
  static constexpr std::size_t kMost = 10'000;      // kept
  static constexpr std::size_t kMostAtOnce = 2'000; // of each kind in one report

  template <class T>
  static void push(std::deque<T>& queue, T value) {
    if (queue.size() >= kMost) queue.pop_front();
    queue.push_back(std::move(value));
  }

  Clock& clock_;
  std::string node_;
  std::deque<v1::Event> events_;
  std::deque<v1::VmSample> samples_;
  std::deque<v1::CutoverResult> cutovers_;
};

}  // namespace umbra::agent
