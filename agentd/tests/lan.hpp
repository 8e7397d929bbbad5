/// The network between the agents of one test.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/clock.hpp"

namespace umbra::agent::test {

/// Carries messages, each in a millisecond, in the order of their arrival; none between nodes that are parted. Also the
/// test's agenda: things that happen at a time.
class Lan {
 public:
  explicit Lan(Clock& clock) : clock_(clock) {}

  /// Calls `arrive` after the way, and `late` more; never, if the two are parted when it leaves or when it would
  /// arrive.
  void send(const std::string& from, const std::string& to, std::function<void()> arrive, Milliseconds late = {}) {
    if (parted(from, to)) return;
    after(kWay + late, [this, from, to, arrive = std::move(arrive)] {
      if (!parted(from, to)) arrive();
    });
  }
  void after(Milliseconds wait, std::function<void()> happen) {
    agenda_.emplace(clock_.steady() + wait, std::move(happen));
  }
  /// Does what is due. @return whether anything was
  bool deliver() {
    bool any = false;
    while (!agenda_.empty() && agenda_.begin()->first <= clock_.steady()) {
      const auto happen = std::move(agenda_.begin()->second);
      agenda_.erase(agenda_.begin());
      happen();
      any = true;
    }
    return any;
  }

  std::chrono::steady_clock::time_point next_due() const {
    return agenda_.empty() ? std::chrono::steady_clock::time_point::max() : agenda_.begin()->first;
  }

  void part(const std::string& a, const std::string& b) { parted_.insert(std::minmax(a, b)); }
  void heal(const std::string& a, const std::string& b) { parted_.erase(std::minmax(a, b)); }
  bool parted(const std::string& a, const std::string& b) const { return parted_.contains(std::minmax(a, b)); }
  bool whole() const { return parted_.empty(); }

  static constexpr Milliseconds kWay{1};

 private:
  Clock& clock_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> agenda_;
  std::set<std::pair<std::string, std::string>> parted_;
};

}  // namespace umbra::agent::test
