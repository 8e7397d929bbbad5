#include "netswitch/fakes/fake_kernel.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "netswitch/kernel_error.hpp"

namespace umbra::netswitch {

/// What one watch has not been told yet.
class FakeKernel::Watch : public std::enable_shared_from_this<FakeKernel::Watch> {
 public:
  Watch(asio::any_io_executor executor, Watcher watcher)
      : executor_(std::move(executor)), watcher_(std::move(watcher)) {}

  void tell(const Changes& changes, const IpAddress* of) {
    if (of != nullptr && !watcher_.interest(*of)) return;
    const bool posted = pending_.any();
    pending_ |= changes;
    if (posted) return;
    asio::post(executor_, [self = weak_from_this()] {
      if (const auto watch = self.lock()) watch->watcher_.changed(std::exchange(watch->pending_, {}));
    });
  }

 private:
  asio::any_io_executor executor_;
  Watcher watcher_;
  Changes pending_;
};

Result<std::unique_ptr<KernelWatch>> FakeKernel::watch(asio::any_io_executor executor, Watcher watcher) {
  struct Handle : KernelWatch {
    explicit Handle(std::shared_ptr<Watch> held) : watch(std::move(held)) {}
    std::shared_ptr<Watch> watch;
  };
  if (no_watches_) return fail(kernel_error(EPERM, "open a socket for the kernel's notifications"));
  auto watch = std::make_shared<Watch>(std::move(executor), std::move(watcher));
  watches_.push_back(watch);
  return std::make_unique<Handle>(std::move(watch));
}

/// @param of null: not of one address
void FakeKernel::tell(const Changes& changes, const IpAddress* of) {
  std::erase_if(watches_, [](const auto& watch) { return watch.expired(); });
  for (const auto& watch : watches_) watch.lock()->tell(changes, of);
}

void FakeKernel::lose_changes() {
  tell({.lost = true});
}

void FakeKernel::forget_address(const std::string& dev, const IpAddress& address) {
  std::erase_if(addresses_, [&](const LinkAddress& one) { return one.dev == dev && one.address == address; });
  tell({.addresses = true}, &address);
}

Result<std::vector<LinkAddress>> FakeKernel::addresses() {
  return addresses_;
}

void FakeKernel::fail_change(int nth, int error_number) {
  faults_.push_back({nth, error_number, false});
}
void FakeKernel::lose_answer(int nth, int error_number) {
  faults_.push_back({nth, error_number, true});
}

std::optional<int> FakeKernel::sysctl(const std::string& dev, Sysctl key) const {
  const auto found = sysctls_.find({dev, key});
  return found == sysctls_.end() ? std::nullopt : std::optional(found->second);
}

bool FakeKernel::has_address(const std::string& dev, const IpAddress& address) const {
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const LinkAddress& one) { return one.dev == dev && one.address == address; });
}

void FakeKernel::count(const std::string& dev, const Counters& counters) {
  links_.at(dev).counters = counters;
}

template <class Apply>
Result<void> FakeKernel::change(std::string what, int error_number, Apply apply) {
  Fault due;
  for (Fault& fault : faults_) {
    if (--fault.countdown == 0) due = fault;
  }
  std::erase_if(faults_, [](const Fault& fault) { return fault.countdown <= 0; });
  if (due.error_number != 0 && !due.applied) return fail(kernel_error(due.error_number, what, "injected"));
  if (error_number != 0) return fail(kernel_error(error_number, what));
  apply();
  changes_.push_back(what);
  if (due.error_number != 0) return fail(kernel_error(due.error_number, what, "injected; it was done"));
  return {};
}

Result<std::vector<Link>> FakeKernel::links() {
  std::vector<Link> links;
  for (const auto& [name, link] : links_) links.push_back(link);
  return links;
}

Result<Link> FakeKernel::link(const std::string& name) {
  const auto found = links_.find(name);
  if (found == links_.end()) return fail(kernel_error(ENODEV, "find link " + name));
  return found->second;
}

Result<void> FakeKernel::create_tap(const std::string& name, const TapOptions&) {
  const int error = name.empty() || name.size() > 15 ? EINVAL : links_.contains(name) ? EBUSY : 0;
  return change("create " + name, error, [&] {
    Link link;
    link.index = next_index_++;
    link.name = name;
    link.kind = "tun";
    link.mac = MacAddress({0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(link.index)});
    link.queue_length = 500;
    link.resizable = true;  // as once libvirt has started a QEMU with it
    links_[name] = link;
    tell({.links = true});
  });
}

/// What the kernel drops when a link goes down.
void FakeKernel::forget_link_state(const std::string& dev) {
  // Linux keeps a link's IPv4 addresses, and forgets its IPv6 ones (net.ipv6.conf.DEV.keep_addr_on_down).
  std::erase_if(addresses_, [&](const LinkAddress& one) { return one.dev == dev && one.address.is_v6(); });
  std::erase_if(routes_, [&](const auto& entry) { return entry.second.dev == dev; });
  std::erase_if(neighbours_, [&](const auto& entry) { return entry.first.first == dev; });
}

Result<void> FakeKernel::delete_link(const std::string& name) {
  return change("delete " + name, links_.contains(name) ? 0 : ENODEV, [&] {
    forget_link_state(name);
    std::erase_if(addresses_, [&](const LinkAddress& one) { return one.dev == name; });
    std::erase_if(sysctls_, [&](const auto& entry) { return entry.first.first == name; });
    links_.erase(name);
    tell({.links = true});
  });
}

Result<void> FakeKernel::change_link(const std::string& name, const LinkChange& wanted) {
  return change("change " + name, links_.contains(name) ? 0 : ENODEV, [&] {
    Link& link = links_[name];
    if (wanted.mac) link.mac = *wanted.mac;
    if (wanted.alias) link.alias = *wanted.alias;
    if (wanted.queue_length) link.queue_length = *wanted.queue_length;
    if (wanted.up) link.up = *wanted.up;
    if (!link.up) forget_link_state(name);
    tell({.links = true});
  });
}

Result<void> FakeKernel::add_address(const std::string& dev, const IpAddress& address, std::uint8_t prefix) {
  const int error = !links_.contains(dev) ? ENODEV : has_address(dev, address) ? EEXIST : 0;
  return change(fmt::format("address {}/{} dev {}", address, prefix, dev), error, [&] {
    addresses_.push_back({dev, address, prefix});
  });
}

Result<void> FakeKernel::write_sysctl(const std::string& dev, Sysctl key, int value) {
  return change(fmt::format("sysctl {} {}={}", dev, static_cast<int>(key), value), links_.contains(dev) ? 0 : ENOENT,
                [&] {
                  sysctls_[{dev, key}] = value;
                });
}

Result<std::vector<Route>> FakeKernel::routes(int protocol) {
  std::vector<Route> found;
  for (const auto& [destination, route] : routes_) {
    if (route.protocol == protocol) found.push_back(route);
  }
  return found;
}

Result<std::optional<Route>> FakeKernel::route_to(const IpAddress& destination) {
  const auto found = routes_.find(destination);
  return found == routes_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> FakeKernel::dev_towards(const IpAddress& gateway) const {
  for (const LinkAddress& one : addresses_) {
    const bool narrow = one.prefix == one.address.bits();
    if (!narrow && links_.at(one.dev).up && one.address.shares_prefix(gateway, one.prefix)) return one.dev;
  }
  return std::nullopt;
}

Result<void> FakeKernel::add_route(const Route& route) {
  return set_route(route, false);
}

Result<void> FakeKernel::replace_route(const Route& route) {
  return set_route(route, true);
}

Result<void> FakeKernel::set_route(const Route& route, bool replace) {
  Route made = route;
  int error = 0;
  if (!replace && routes_.contains(made.destination)) {
    error = EEXIST;
  } else if (!made.dev.empty() && !links_.contains(made.dev)) {
    error = ENODEV;
  } else if (!made.dev.empty() && !links_.at(made.dev).up) {
    error = ENETDOWN;
  } else if (made.via) {
    const auto dev = dev_towards(*made.via);
    if (!dev || (!made.dev.empty() && made.dev != *dev)) error = ENETUNREACH;
    if (dev) made.dev = *dev;
  } else if (made.dev.empty()) {
    error = ENODEV;
  }
  auto what = fmt::format("route {} ", route.destination);
  what += route.via ? fmt::format("via {}", *route.via) : fmt::format("dev {}", route.dev);
  return change(std::move(what), error, [&] {
    routes_[made.destination] = made;
    tell({.routes = true}, &made.destination);
  });
}

Result<void> FakeKernel::delete_route(const IpAddress& destination, int protocol) {
  const auto found = routes_.find(destination);
  const bool there = found != routes_.end() && found->second.protocol == protocol;
  return change(fmt::format("no route {}", destination), there ? 0 : ESRCH, [&] {
    routes_.erase(found);
    tell({.routes = true}, &destination);
  });
}

Result<std::vector<Neighbour>> FakeKernel::neighbours(const std::string& dev) {
  if (!dev.empty()) UMBRA_CHECK(link(dev));
  std::vector<Neighbour> found;
  for (const auto& [key, mac] : neighbours_) {
    if (dev.empty() || key.first == dev) found.push_back({key.first, key.second, mac});
  }
  return found;
}

Result<void> FakeKernel::replace_neighbour(const Neighbour& neighbour) {
  return change(fmt::format("neighbour {} dev {}", neighbour.address, neighbour.dev),
                links_.contains(neighbour.dev) ? 0 : ENODEV, [&] {
                  neighbours_[{neighbour.dev, neighbour.address}] = neighbour.mac;
                  tell({.neighbours = true}, &neighbour.address);
                });
}

Result<void> FakeKernel::delete_neighbour(const std::string& dev, const IpAddress& address) {
  const int error = !links_.contains(dev) ? ENODEV : neighbours_.contains({dev, address}) ? 0 : ENOENT;
  return change(fmt::format("no neighbour {} dev {}", address, dev), error, [&] {
    neighbours_.erase({dev, address});
    tell({.neighbours = true}, &address);
  });
}

}  // namespace umbra::netswitch
