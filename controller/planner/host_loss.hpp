/// What is done when a host is lost: it is fenced, and what it ran is started elsewhere.
#pragma once

#include "controller/brain/picture.hpp"
#include "controller/brain/settings.hpp"
#include "controller/planner/fence_agent.hpp"
#include "controller/planner/resolver.hpp"

namespace umbra::controller {

/// A silent host is not a dead one. Its VMs start elsewhere only once it is fenced: a fence agent proved that it is
/// off, or a person takes the responsibility. What starts is the definition, from its disks. Each start is stored
/// before it is asked for and stays open until the new host has said how it went, also across restarts; as long as it
/// may go on there, it begins nowhere else.
/// A fenced host that comes back is told what was taken over from it, and is unfenced once it has none of that left. If
/// whoever took a VM over does not run it any more, and the host that is back has it, it is that one's again.
/// Controller's thread only.
class HostLoss {
 public:
  using Look = std::function<Picture()>;  ///< the fleet, for placement

  HostLoss(Inventory& inventory, Store& store, EventLog& events, Clock& clock, asio::any_io_executor executor,
           TaskGroup& tasks, Mover& mover, Resolver& resolver, const BrainSettings& brain, FenceSettings settings,
           Look look);

  /// Takes up starts that were open when the controller ended. @error of the store
  Result<void> load();
  /// Fences hosts and starts VMs by itself where that is configured; until cancelled.
  asio::awaitable<void> run();
  /// Kills fence agents that still run.
  void stop() { agents_.stop(); }

  const FenceSettings& settings() const { return settings_; }

  /// @param confirmed by the caller; else the host's fence agent is run
  /// @error kConflict it is heard, by the controller or lately by a standby of its, and so not off; kNotFound no such
  /// host, or no fence agent; kUnavailable no proof
  Task<v1::Fence> fence(std::string host, bool confirmed, std::string reason, std::string actor);
  /// @error kNotFound it is not fenced; kConflict VMs were taken over from it, and it has not said that they are gone
  Result<void> unfence(const std::string& host, const std::string& reason, const std::string& actor);
  std::vector<v1::Fence> fences() const;

  /// Starts a VM of a fenced host elsewhere, or one that no host has any more; answers when it runs.
  /// @param on host; empty: the best by placement
  /// @error kConflict its host is not fenced, some host may have it, or it cannot go there; kNotFound no definition;
  /// what the host says
  Task<v1::RestartVmReply> restart(std::string vm_uuid, std::string on, std::string reason, std::string actor);

  /// What was taken over from this host and may still be there.
  std::vector<v1::TakenOver> taken_over(const std::string& host) const;
  /// Of that, what this host is to let go of: whoever took it over has it still, or is not known not to.
  std::vector<v1::TakenOver> to_go(const std::string& host) const;
  /// A VM that runs on a fenced host that is back, and perhaps on the one that took it over.
  struct Twice {
    std::string vm;
    std::string from;
    std::string to;
    bool certain = false;  ///< `to` says that it runs it
  };
  std::vector<Twice> run_twice() const;
  /// Which of these VMs a host that boots may start. From now on nothing is taken over from it. @error of the store
  Result<v1::WhoseVmsReply> whose(const std::string& host, const v1::WhoseVmsRequest& request);
  /// A report has come in, and the inventory has taken it.
  void reported(const std::string& host, const v1::ReportRequest& report);

 private:
  using Key = std::pair<std::string, Epoch>;  ///< VM uuid and epoch

  asio::awaitable<void> start(Takeover takeover, v1::Vm vm, FenceStore::StoredDefinition definition);
  Task<void> start_there(const Takeover& takeover, const v1::StartDefinitionRequest& request);
  void end(Takeover takeover, Result<void> how);
  Task<void> stays_silent(std::string host, std::string actor);
  asio::awaitable<void> fence_by_itself(std::string host);
  asio::awaitable<void> restart_by_itself(std::string vm_uuid);
  asio::awaitable<void> settle_by_itself(std::string vm_uuid);
  Result<std::string> place_for(const VmRecord& record, const std::string& on) const;
  void save(const Takeover& takeover);
  struct Taker {
    std::string host;
    bool may_have = false;  ///< defined at least
    bool may_run = false;
  };
  Taker taker(const Takeover& takeover) const;
  Result<void> check_restart(const VmRecord& record) const;
  Result<void> check_nowhere(const VmRecord& record) const;
  void keep_definition(const std::string& host, const v1::Definition& definition);
  void give_back(const std::string& host);
  void obeyed(const std::string& host);

  Inventory& inventory_;
  Store& store_;
  EventLog& events_;
  Clock& clock_;
  TaskGroup& tasks_;
  Mover& mover_;
  Resolver& resolver_;
  const BrainSettings& brain_;
  FenceSettings settings_;
  Look look_;
  FenceAgents agents_;
  Signal changed_;
  std::map<Key, Takeover> takeovers_;                   ///< open, or not cleared
  std::map<Key, std::optional<Result<void>>> waiting_;  ///< how those that somebody waits for ended
  std::map<std::string, TimePoint> fence_due_;          ///< by host: when its agent may be tried (again)
  std::map<std::string, TimePoint> restart_due_;        ///< by VM uuid: likewise
  std::map<std::string, TimePoint> settle_due_;         ///< by VM uuid of a move that is open: likewise
  std::set<std::string> alerted_;                       ///< VMs that run on a fenced host that came back
};

}  // namespace umbra::controller
