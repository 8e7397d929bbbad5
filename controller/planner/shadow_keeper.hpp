/// Makes the agents keep the shadows that are wanted.
#pragma once

#include "base/task_group.hpp"
#include "controller/inventory/inventory.hpp"
#include "controller/planner/warrant_issuer.hpp"

namespace umbra::controller {

struct ShadowWish {
  std::string standby;  ///< empty: no shadow
  v1::Tier tier = v1::TIER_PROFILE;
  std::int64_t refresh_interval_ms = 0;  ///< 0: the agent's own
  bool operator==(const ShadowWish&) const = default;
};

/// Compares each wish with what the source reports and asks the source for the difference, one request per VM at a
/// time. What an agent refuses, or loses again and again, is told through `failed`, and tried again after pauses that
/// grow. The source of a hot shadow is also told which routers its cutover would flip, whenever they change. The same
/// failure on the same host is an event once, and again only minutes later.
class ShadowKeeper {
 public:
  /// `host` cannot take or keep the VM's shadow.
  using Failed = std::function<void(const std::string& vm_uuid, const std::string& host, const Error& why)>;

  ShadowKeeper(Inventory& inventory, EventLog& events, Clock& clock, TaskGroup& tasks, const WarrantIssuer& warrants,
               Failed failed)
      : inventory_(inventory),
        events_(events),
        clock_(clock),
        tasks_(tasks),
        warrants_(warrants),
        failed_(std::move(failed)) {}

  /// The newest wish counts. To be repeated now and then: that is what tries again.
  void wish(const std::string& vm_uuid, const ShadowWish& wish);
  /// Forgets failures: somebody asks anew.
  void begin_afresh(const std::string& vm_uuid);
  /// The newest error of keeping the VM's shadow since its wish last changed, or somebody asked anew; it stays until
  /// the shadow is as wished, whatever is tried meanwhile.
  std::optional<Error> last_failure(const std::string& vm_uuid) const;

 private:
  struct Progress {
    TimePoint asked_at{};
    unsigned losses = 0;    ///< times in a row that the agent took this wish and dropped the shadow again
    unsigned failures = 0;  ///< in a row
    std::optional<Error> failure{};
  };
  struct Told {
    std::string what;
    TimePoint at{};
  };
  struct State {
    ShadowWish wish{};
    Progress progress{};  ///< towards that wish
    bool busy = false;
    std::string owner{};                      ///< the host it was last seen on
    std::weak_ptr<rpc::Session> told_over{};  ///< with which it was asked last
    std::vector<v1::Node> routers{};          ///< that it was told then
    TimePoint not_before{};                   ///< it has just moved there
    std::map<std::string, Told> told{};       ///< by standby: the failure that was told last
  };
  bool fulfilled(const VmRecord& record, const ShadowWish& wish) const;
  /// Has the source of a hot shadow been told the routers as they are? Its agent forgets them when it ends.
  bool knows_routers(const VmRecord& record, const State& state) const;
  Milliseconds pause_after(unsigned failures) const;
  asio::awaitable<void> ask(std::string vm_uuid, ShadowWish wish);
  Task<void> call(std::string vm_uuid, ShadowWish wish);
  void fail_there(const std::string& vm_uuid, State& state, Error why);

  Inventory& inventory_;
  EventLog& events_;
  Clock& clock_;
  TaskGroup& tasks_;
  const WarrantIssuer& warrants_;
  Failed failed_;
  std::map<std::string, State> states_;
};

}  // namespace umbra::controller
