/// What LibvirtHypervisor and its monitors share: how a call reaches libvirt. Not for others to include.
#pragma once

#include <map>

#include "agentd/virt/lane.hpp"
#include "agentd/virt/libvirt_definition.hpp"
#include "agentd/virt/libvirt_hypervisor.hpp"

namespace umbra::virt {

class LibvirtMonitor;

struct LibvirtHypervisor::State : std::enable_shared_from_this<State> {
  /// Calls about one domain at a time. A QEMU that hangs keeps no more threads than this, and as many for its monitor.
  static constexpr unsigned kWidth = 2;

  explicit State(asio::any_io_executor run_on) : executor(std::move(run_on)) {}

  asio::any_io_executor executor;
  std::shared_ptr<WorkerPool> pool;
  ForeignRules rules;
  std::string autostart_links;
  std::shared_ptr<TendedSnapshots> snapshots = std::make_shared<TendedSnapshots>();
  std::shared_ptr<LibvirtConnection> connection;
  Listener listener;
  std::map<std::string, DomainPtr> handles;  ///< saves a look-up, that is a round trip, for each call
  std::map<std::string, std::shared_ptr<Lane>> lanes;
  std::map<std::string, std::shared_ptr<Lane>> change_lanes;  ///< see on_change()
  std::map<std::string, Domain> described;  ///< the newest description of each domain, for while it does not answer
  std::map<std::string, std::weak_ptr<LibvirtMonitor>> monitors;  ///< to whom a domain's events go

  /// Runs a call that is about the whole host. @error kUnavailable libvirtd is away
  template <class T>
  static Task<T> on_host(std::shared_ptr<State> self, std::function<Result<T>(virConnectPtr)> call, Deadline deadline) {
    const auto link = self->connection->get();
    if (!link) co_return fail(not_connected(self->connection->uri()));
    const std::function<Result<T>()> work = [link, call = std::move(call)] { return call(link.get()); };
    co_return co_await self->pool->run(work, deadline);
  }

  /// Runs a call about one domain. @error kNotFound; kUnavailable libvirtd is away
  template <class T>
  static Task<T> on_domain(std::shared_ptr<State> self, std::string uuid, std::function<Result<T>(virDomainPtr)> call,
                           Deadline deadline) {
    const auto known = self->handle_of(uuid);
    const auto lane = self->lane_of(uuid);
    const std::function<Result<T>(ConnectionPtr)> look_up_and_call =
        [self, uuid, known, call = std::move(call)](const ConnectionPtr& link) -> Result<T> {
      const auto handle = known ? known : own(virDomainLookupByUUIDString(link.get(), uuid.c_str()));
      if (!handle) return fail(last_error("looking the domain up"));
      if (!known) asio::post(self->executor, [self, uuid, link, handle] { self->remember(uuid, link, handle); });
      return call(handle.get());
    };
    co_return co_await in_lane(self, lane, look_up_and_call, deadline);
  }

  /// Runs a call that changes one domain, or its QEMU. Such calls come one after the other: one that was given up may
  /// be done yet, and what is said or done after it must not be overtaken by it. Destroying is not among them: it ends
  /// what hangs.
  template <class T>
  static Task<T> on_change(std::shared_ptr<State> self, std::string uuid, std::function<Result<T>(ConnectionPtr)> call,
                           Deadline deadline) {
    auto& lane = self->change_lanes[uuid];
    if (!lane) lane = std::make_shared<Lane>(1);
    const auto kept = lane;  // the map may change meanwhile
    co_return co_await in_lane(self, kept, std::move(call), deadline);
  }
  /// The same with the domain's handle.
  template <class T>
  static Task<T> change_domain(std::shared_ptr<State> self, std::string uuid,
                               std::function<Result<T>(virDomainPtr)> call, Deadline deadline) {
    const std::function<Result<T>(ConnectionPtr)> look_up_and_call =
        [uuid, call = std::move(call), known = self->handle_of(uuid)](const ConnectionPtr& link) -> Result<T> {
      const auto handle = known ? known : own(virDomainLookupByUUIDString(link.get(), uuid.c_str()));
      if (!handle) return fail(last_error("looking the domain up"));
      return call(handle.get());
    };
    co_return co_await on_change(self, uuid, look_up_and_call, deadline);
  }
  DomainPtr handle_of(const std::string& uuid) const {
    const auto found = handles.find(uuid);
    return found != handles.end() ? found->second : DomainPtr{};
  }

  /// Runs a call when the lane has a place, within `deadline` in all. @error kUnavailable libvirtd is away
  template <class T>
  static Task<T> in_lane(std::shared_ptr<State> self, std::shared_ptr<Lane> lane,
                         std::function<Result<T>(ConnectionPtr)> call, Deadline deadline) {
    const auto link = self->connection->get();
    if (!link) co_return fail(not_connected(self->connection->uri()));
    const auto until = std::chrono::steady_clock::now() + deadline;
    UMBRA_CO_TRY(auto place, co_await Lane::enter(lane, deadline));
    // The place goes with the last copy of the work: when the thread has left the call, or the work will never run.
    std::function<Result<T>()> work = [link, call = std::move(call), place = std::move(place)] { return call(link); };
    const auto left = std::chrono::duration_cast<Deadline>(until - std::chrono::steady_clock::now());
    co_return co_await self->pool->run(std::move(work), left);
  }

  std::shared_ptr<Lane> lane_of(const std::string& uuid) {
    auto& lane = lanes[uuid];
    if (!lane) lane = std::make_shared<Lane>(kWidth);
    return lane;
  }
  void remember(const std::string& uuid, const ConnectionPtr& link, const DomainPtr& handle) {
    if (connection->get() == link) handles[uuid] = handle;
  }

  static Task<Domain> complete(std::shared_ptr<State> self, Domain summary, Deadline deadline);

  void on_connection(bool up);
  void on_lifecycle(const LifecycleEvent& event);
  void on_qemu(const std::string& uuid, const char* name, std::chrono::microseconds at, const char* data);
};

}  // namespace umbra::virt
