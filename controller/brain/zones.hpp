/// The health of zones: the worse of what was said of them and what their hosts' heartbeats say.
#pragma once

#include "controller/brain/causes.hpp"
#include "controller/inventory/inventory.hpp"

namespace umbra::controller {

class Zones {
 public:
  Zones(WishStore& store, Milliseconds recovery) : store_(store), recovery_(recovery) {}
  /// Reads what was said before. @error of the store
  Result<void> load();

  /// Takes and stores somebody's word on a zone. @error kInvalid health is not within 0 … 1; of the store
  Result<void> set(const ZoneWord& word);
  /// Looks at the heartbeats. To be called at every tick.
  void look(const Inventory& inventory, TimePoint now, UnixMillis wall);

  std::map<std::string, ZonePicture> picture() const;
  std::vector<v1::Zone> list(const Inventory& inventory) const;

 private:
  struct State {
    ZoneWord word;
    HeartbeatHealth heartbeat;
    double heartbeat_health = 1;
    unsigned hosts = 0;
    unsigned hosts_up = 0;
  };
  State& state(const std::string& zone);

  WishStore& store_;
  Milliseconds recovery_;
  std::map<std::string, State> zones_;
};

}  // namespace umbra::controller
