/// What LibvirtHypervisor and its monitors share: how a call reaches libvirt. Not for others to include.
#pragma once

#include <map>

#include "agentd/virt/libvirt_hypervisor.hpp"

namespace umbra::virt {

class LibvirtMonitor;

struct LibvirtHypervisor::State : std::enable_shared_from_this<State> {
  static constexpr unsigned kMostCallsOfADomain = 4;

  explicit State(asio::any_io_executor run_on) : executor(std::move(run_on)) {}

  asio::any_io_executor executor;
  std::shared_ptr<WorkerPool> pool;
  std::shared_ptr<LibvirtConnection> connection;
  Listener listener;
  std::map<std::string, DomainPtr> handles;         ///< saves a look-up, that is a round trip, for each call
  std::map<std::string, unsigned> calls_under_way;  ///< by domain
  std::map<std::string, std::weak_ptr<LibvirtMonitor>> monitors;  ///< to whom a domain's events go

  /// Runs a call that is about the whole host. @error kUnavailable libvirtd is away
  template <class T>
  static Task<T> on_host(std::shared_ptr<State> self, std::function<Result<T>(virConnectPtr)> call, Deadline deadline) {
    const auto link = self->connection->get();
    if (!link) co_return fail(not_connected(self->connection->uri()));
    const std::function<Result<T>()> work = [link, call = std::move(call)] { return call(link.get()); };
    co_return co_await self->pool->run(work, deadline);
  }

  /// Runs a call about one domain. @error kNotFound; kUnavailable libvirtd is away, or that domain's calls hang
  template <class T>
  static Task<T> on_domain(std::shared_ptr<State> self, std::string uuid, std::function<Result<T>(virDomainPtr)> call,
                           Deadline deadline) {
    const auto link = self->connection->get();
    if (!link) co_return fail(not_connected(self->connection->uri()));
    if (self->calls_under_way[uuid] >= kMostCallsOfADomain)
      co_return fail({Errc::kUnavailable, fmt::format("{}: {} calls to it are unanswered", uuid, kMostCallsOfADomain),
                      "its QEMU may hang; see virsh domjobinfo and QEMU's log"});
    ++self->calls_under_way[uuid];
    const auto found = self->handles.find(uuid);
    const auto known = found != self->handles.end() ? found->second : DomainPtr{};
    const std::function<Result<T>()> work = [self, uuid, link, known, call = std::move(call)]() -> Result<T> {
      const CallEnd end{self, uuid};
      auto handle = known ? known : own(virDomainLookupByUUIDString(link.get(), uuid.c_str()));
      if (!handle) return fail(last_error("looking the domain up"));
      auto result = call(handle.get());
      if (!known) asio::post(self->executor, [self, uuid, link, handle] { self->remember(uuid, link, handle); });
      return result;
    };
    co_return co_await self->pool->run(work, deadline);
  }

  void remember(const std::string& uuid, const ConnectionPtr& link, const DomainPtr& handle) {
    if (connection->get() == link) handles[uuid] = handle;
  }

  void on_connection(bool up);
  void on_lifecycle(const LifecycleEvent& event);
  void on_qemu(const std::string& uuid, const char* name, std::chrono::microseconds at, const char* data);

 private:
  /// Counts a domain's call as ended when the thread has really left it, however long that took.
  struct CallEnd {
    std::shared_ptr<State> state;
    std::string uuid;
    ~CallEnd() {
      asio::post(state->executor, [state = state, uuid = uuid] {
        if (const auto count = state->calls_under_way.find(uuid); count != state->calls_under_way.end() && --count->second == 0)
          state->calls_under_way.erase(count);
      });
    }
  };
};

}  // namespace umbra::virt
