/// Keeps every node's VM routes what the inventory says they are.
#pragma once

#include "base/task_group.hpp"
#include "controller/inventory/addresses.hpp"

namespace umbra::controller {

/// One route per address of each active VM, to its owner, in the epoch in which it became the owner. A cutover that is
/// going on has a newer epoch, so nodes that it has pointed already refuse these.
/// `complete` (what is not wanted may be removed) only once the inventory has settled, and while every known host tells
/// its VMs: a controller that has lost its store must not take away routes to hosts it has not heard of yet.
/// @param addresses says which VM an address leads to; null: every VM that has it
v1::ReconcileRequest wanted_routes(const Inventory& inventory, const AddressBook* addresses = nullptr);

/// Pushes wanted_routes() to each node when it registers and whenever they change; tries again until the node took
/// them.
class RoutePusher {
 public:
  RoutePusher(Inventory& inventory, AddressBook& addresses, EventLog& events, Clock& clock, TaskGroup& tasks)
      : inventory_(inventory), addresses_(addresses), events_(events), clock_(clock), tasks_(tasks) {}
  /// Until cancelled.
  asio::awaitable<void> run();

 private:
  struct Told {
    std::weak_ptr<rpc::Session> session;
    std::uint64_t generation = 0;  ///< of the inventory, when the node took its routes last over that session
    bool busy = false;
    std::string failure;  ///< the last one, so that it is told once
    TimePoint not_before{};
  };
  void hear_of_newer(const std::string& node, const v1::ReconcileReply& reply);
  asio::awaitable<void> push(std::string node, std::shared_ptr<rpc::Session> session);

  Inventory& inventory_;
  AddressBook& addresses_;
  EventLog& events_;
  Clock& clock_;
  TaskGroup& tasks_;
  std::map<std::string, Told> told_;
};

}  // namespace umbra::controller
