/// The loop that looks, judges and acts.
#pragma once

#include "controller/brain/brain.hpp"
#include "controller/brain/demand.hpp"
#include "controller/brain/zone_feed.hpp"
#include "controller/brain/zones.hpp"
#include "controller/planner/mover.hpp"

namespace umbra::controller {

class Pilot {
 public:
  Pilot(Inventory& inventory, Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor,
        Brain& brain, Demand& demand, Zones& zones, ShadowKeeper& keeper, Mover& mover, std::optional<ZoneFeed> feed);

  /// Reads the pins. @error of the store
  Result<void> load();
  /// Ticks until cancelled.
  asio::awaitable<void> run();
  /// One tick: zones, forecasts, judgement, and what follows from it.
  void tick();
  /// Something changed that should not wait for the next tick.
  void nudge() { nudged_.notify(); }

  /// The fleet as the brain sees it now.
  Picture picture() const;

  const Pin* pin(const std::string& vm_uuid) const;
  /// @error of the store
  Result<void> set_pin(const Pin& pin);
  /// @return false when there was none
  Result<bool> remove_pin(const std::string& vm_uuid);

  /// A cutover has ended: notes it under the decision it came from, and starts the cooldown.
  void ended(const v1::CutoverResult& result);

  using Decided = std::map<std::pair<std::string, std::string>, std::uint64_t>;
  /// How often something was decided in this life, by what and by the likeliest cause.
  const Decided& decided() const { return decided_; }

 private:
  void read_feed();
  void tell_growing();
  void act(const Verdict& verdict);
  void keep_profiles(const Picture& picture);
  void keep_house();

  Inventory& inventory_;
  Store& store_;
  EventLog& events_;
  Clock& clock_;
  Brain& brain_;
  Demand& demand_;
  Zones& zones_;
  ShadowKeeper& keeper_;
  Mover& mover_;
  std::optional<ZoneFeed> feed_;
  Signal nudged_;
  std::map<std::string, Pin> pins_;
  std::map<std::string, std::uint64_t> cutover_decisions_;  ///< by VM uuid
  Decided decided_;
  TimePoint profiles_at_{};
  std::uint64_t profiles_of_ = 0;  ///< the inventory's generation
  TimePoint house_due_{};
};

}  // namespace umbra::controller
