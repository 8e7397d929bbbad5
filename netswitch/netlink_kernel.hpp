/// The real kernel: rtnetlink, /dev/net/tun and /proc/sys of one network namespace.
#pragma once

#include <memory>
#include <unordered_map>

#include "netswitch/kernel.hpp"
#include "netswitch/netlink.hpp"

namespace umbra::netswitch {

/// Works on the namespace of the thread that calls open(). Links, routes and neighbours stay bound to it; create_tap()
/// and write_sysctl() act where the *calling* thread is, which in an agent is the same.
class NetlinkKernel final : public Kernel {
 public:
  /// @error kUnsupported no route socket may be opened, or Linux is too old
  static Result<std::unique_ptr<NetlinkKernel>> open();

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
  Result<void> set_route(const Route& route, int flags);
  explicit NetlinkKernel(NetlinkSocket socket) : socket_(std::move(socket)) {}
  Result<int> index_of(const std::string& dev);
  /// By index; an empty name for one that does not exist (any more).
  Result<std::string> name_of(int index);
  /// The same, each link asked for once. @param known what was found so far
  Result<std::string> name_of(int index, std::unordered_map<int, std::string>& known);

  NetlinkSocket socket_;
};

}  // namespace umbra::netswitch
