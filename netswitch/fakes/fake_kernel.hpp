/// A kernel in memory: its tables, its refusals, and faults on order.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "netswitch/kernel.hpp"

namespace umbra::netswitch {

/// Passes the same contract tests as NetlinkKernel.
class FakeKernel final : public Kernel {
 public:
  /// The nth change from now (1: the next) fails with this errno, and changes nothing.
  void fail_change(int nth, int error_number);
  /// The same, but the change is made: the answer is what gets lost.
  void lose_answer(int nth, int error_number);
  /// Every change that was made, as words, oldest first: "route 10.50.0.1 dev uvm1".
  const std::vector<std::string>& changes() const { return changes_; }
  void forget_changes() { changes_.clear(); }
  std::optional<int> sysctl(const std::string& dev, Sysctl key) const;
  bool has_address(const std::string& dev, const IpAddress& address) const;
  /// As somebody else does (`ip address del`).
  void forget_address(const std::string& dev, const IpAddress& address);
  /// Watches missed something.
  void lose_changes();
  /// No watch can be had from now on.
  void refuse_watches() { no_watches_ = true; }
  /// As an operator does who shapes the link's traffic (`tc qdisc add`).
  void add_discipline(const std::string& dev) { links_.at(dev).resizable = false; }
  void count(const std::string& dev, const Counters& counters);

  Result<std::vector<Link>> links() override;
  Result<Link> link(const std::string& name) override;
  Result<void> create_tap(const std::string& name, const TapOptions& options) override;
  Result<void> delete_link(const std::string& name) override;
  Result<void> change_link(const std::string& name, const LinkChange& change) override;
  Result<void> add_address(const std::string& dev, const IpAddress& address, std::uint8_t prefix) override;
  Result<std::vector<LinkAddress>> addresses() override;
  Result<void> write_sysctl(const std::string& dev, Sysctl key, int value) override;

  Result<std::vector<Route>> routes(int protocol) override;
  Result<std::optional<Route>> route_to(const IpAddress& destination) override;
  Result<void> add_route(const Route& route) override;
  Result<void> replace_route(const Route& route) override;
  Result<void> delete_route(const IpAddress& destination, int protocol) override;

  Result<std::vector<Neighbour>> neighbours(const std::string& dev) override;
  Result<void> replace_neighbour(const Neighbour& neighbour) override;
  Result<void> delete_neighbour(const std::string& dev, const IpAddress& address) override;

  Result<std::unique_ptr<KernelWatch>> watch(asio::any_io_executor executor, Watcher watcher) override;

 private:
  class Watch;
  struct Fault {
    int countdown = 0;
    int error_number = 0;
    bool applied = false;
  };
  /// Runs the change unless a fault is due; `error_number` is what the kernel itself would answer, 0 for success.
  template <class Apply>
  Result<void> change(std::string what, int error_number, Apply apply);
  Result<void> set_route(const Route& route, bool replace);
  std::optional<std::string> dev_towards(const IpAddress& gateway) const;
  void forget_link_state(const std::string& dev);
  void tell(const Changes& changes, const IpAddress* of = nullptr);

  int next_index_ = 2;
  std::map<std::string, Link> links_;
  std::vector<LinkAddress> addresses_;
  std::map<IpAddress, Route> routes_;
  std::map<std::pair<std::string, IpAddress>, MacAddress> neighbours_;
  std::map<std::pair<std::string, Sysctl>, int> sysctls_;
  std::vector<std::string> changes_;
  std::vector<Fault> faults_;
  bool no_watches_ = false;
  std::vector<std::weak_ptr<Watch>> watches_;
};

}  // namespace umbra::netswitch
