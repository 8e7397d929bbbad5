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
  void sample(v1::VmSample sample) { samples_.push(std::move(sample)); }
  void cutover(v1::CutoverResult result);

  /// Adds what is pending to a report. One report is under way at a time.
  void fill(v1::ReportRequest& report);
  /// The report that was filled last arrived.
  void delivered(const v1::ReportRequest& report);

 private:
  static constexpr std::size_t kMost = 10'000;       // kept
  static constexpr std::size_t kMostAtOnce = 2'000;  // of each kind in one report

  template <class T>
  struct Queue {
    std::deque<T> news;
    std::size_t lost = 0;  ///< from the front, since the last fill()

    void push(T value) {
      if (news.size() >= kMost) {
        news.pop_front();
        ++lost;
      }
      news.push_back(std::move(value));
    }
  };
  template <class T, class Field>
  static void copy_some(Queue<T>& from, Field& to);
  template <class T, class Field>
  static void forget(Queue<T>& queue, const Field& field);

  Clock& clock_;
  std::string node_;
  Queue<v1::Event> events_;
  Queue<v1::VmSample> samples_;
  Queue<v1::CutoverResult> cutovers_;
};

}  // namespace umbra::agent
