// What Switch relies on, of the kernel and of its fake alike.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>

#include "netswitch/fakes/fake_kernel.hpp"
#include "netswitch/netlink_kernel.hpp"
#include "netswitch/tests/addresses.hpp"

namespace umbra::netswitch {
namespace {

using test::ip;
using test::mac;

constexpr int kOurs = 117;
constexpr int kForeign = 4;  // "static": an operator's

std::unique_ptr<Kernel> make_fake() {
  return std::make_unique<FakeKernel>();
}

/// In a network namespace of its own, which vanishes with the next one or with the process.
std::unique_ptr<Kernel> make_real() {
  if (unshare(CLONE_NEWNET) != 0) {
    ADD_FAILURE() << "this test must run as root: unshare: " << std::strerror(errno);
    return nullptr;
  }
  return NetlinkKernel::open().value();
}

/// As `ip address del` does.
void remove_fake(Kernel& kernel, const std::string& dev, const IpAddress& address) {
  dynamic_cast<FakeKernel&>(kernel).forget_address(dev, address);
}

void remove_real(Kernel& kernel, const std::string& dev, const IpAddress& address) {
  ifaddrmsg header{};
  header.ifa_family = address.family();
  header.ifa_prefixlen = address.bits();
  header.ifa_index = static_cast<unsigned>(kernel.link(dev).value().index);
  NetlinkMessage ask(RTM_DELADDR, 0, header);
  ask.add(IFA_LOCAL, address.bytes());
  auto socket = NetlinkSocket::open();
  ASSERT_TRUE(socket);
  ASSERT_TRUE(socket->request(ask, "remove an address"));
}

/// What another process does; the real kernel may keep silent about our own.
std::unique_ptr<Kernel> other_real() {
  return NetlinkKernel::open().value();
}

struct Maker {
  const char* name;
  std::unique_ptr<Kernel> (*make)();
  void (*remove_address)(Kernel& kernel, const std::string& dev, const IpAddress& address);
  std::unique_ptr<Kernel> (*other)();  // null: the same
};

class KernelContract : public testing::TestWithParam<Maker> {
 protected:
  void SetUp() override {
    kernel_ = GetParam().make();
    ASSERT_NE(kernel_, nullptr);
    // An uplink: any link with an address will do.
    ASSERT_TRUE(kernel_->create_tap("uplink", {}));
    ASSERT_TRUE(kernel_->change_link("uplink", {.up = true}));
    ASSERT_TRUE(kernel_->add_address("uplink", ip("10.77.0.1"), 24));
    ASSERT_TRUE(kernel_->add_address("uplink", ip("fd77::1"), 64));
  }
  void make_tap(const std::string& name) {
    ASSERT_TRUE(kernel_->create_tap(name, {}));
    ASSERT_TRUE(kernel_->change_link(name, {.up = true}));
  }
  template <class T>
  static Errc code(const Result<T>& result) {
    return result ? Errc{} : result.error().code;
  }
  /// What `change` makes the watch tell, if anything, within a short while.
  Changes told(const std::function<void(Kernel& by_another)>& change) {
    asio::io_context io;
    Changes told;
    const auto ours = [](const IpAddress& address) { return address == ip("10.50.0.1") || address == ip("fd50::1"); };
    const auto watch = kernel_->watch(io.get_executor(), {ours, [&](const Changes& changes) { told |= changes; }});
    EXPECT_TRUE(watch) << watch.error().text();
    const auto other = GetParam().other != nullptr ? GetParam().other() : nullptr;
    change(other ? *other : *kernel_);
    // Netlink tells before the change is answered: what was not told by now will not be.
    for (int turn = 0; turn < 8 && !told.any(); ++turn) io.poll();
    return told;
  }
  std::unique_ptr<Kernel> kernel_;
};

TEST_P(KernelContract, a_tap_is_made_down_and_is_found_by_name) {
  ASSERT_TRUE(kernel_->create_tap("uvm1", {}));
  const auto link = kernel_->link("uvm1");
  ASSERT_TRUE(link) << link.error().text();
  EXPECT_EQ(link->name, "uvm1");
  EXPECT_EQ(link->kind, "tun");
  EXPECT_EQ(link->alias, "");
  EXPECT_FALSE(link->up);
  EXPECT_GT(link->index, 0);
  EXPECT_EQ(link->counters.rx_packets, 0U);
  const auto links = kernel_->links();
  ASSERT_TRUE(links);
  EXPECT_EQ(std::count_if(links->begin(), links->end(), [](const Link& one) { return one.name == "uvm1"; }), 1);
}

TEST_P(KernelContract, an_existing_name_is_not_taken_over) {
  ASSERT_TRUE(kernel_->create_tap("uvm1", {}));
  EXPECT_EQ(code(kernel_->create_tap("uvm1", {})), Errc::kConflict);
}

TEST_P(KernelContract, a_name_that_is_too_long_is_refused) {
  EXPECT_EQ(code(kernel_->create_tap("a-name-of-16-chr", {})), Errc::kInvalid);
  EXPECT_EQ(code(kernel_->create_tap("", {})), Errc::kInvalid);
}

TEST_P(KernelContract, taps_take_an_owner_and_several_queues) {
  EXPECT_TRUE(kernel_->create_tap("uvm1", {.owner = 65534, .multi_queue = true}));
}

TEST_P(KernelContract, mac_alias_queue_and_state_change_at_once) {
  ASSERT_TRUE(kernel_->create_tap("uvm1", {}));
  ASSERT_TRUE(kernel_->change_link(
      "uvm1", {.mac = mac("ee:ee:ee:ee:ee:01"), .alias = "umbra:1234", .queue_length = 4096, .up = true}));
  const auto link = kernel_->link("uvm1");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->mac, mac("ee:ee:ee:ee:ee:01"));
  EXPECT_EQ(link->alias, "umbra:1234");
  EXPECT_EQ(link->queue_length, 4096U);
  EXPECT_TRUE(link->up);
  ASSERT_TRUE(kernel_->change_link("uvm1", {.up = false}));
  EXPECT_FALSE(kernel_->link("uvm1")->up);
  EXPECT_EQ(kernel_->link("uvm1")->alias, "umbra:1234") << "what is absent stays";
}

TEST_P(KernelContract, a_missing_link_is_not_found_by_every_call) {
  EXPECT_EQ(code(kernel_->link("none")), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->delete_link("none")), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->change_link("none", {.up = true})), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->add_address("none", ip("10.0.0.1"), 32)), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->write_sysctl("none", Sysctl::kProxyArp, 1)), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->replace_route({ip("10.50.0.1"), "none", {}, kOurs})), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->neighbours("none")), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->replace_neighbour({"none", ip("10.50.0.1"), mac("52:54:00:00:00:01")})), Errc::kNotFound);
  EXPECT_EQ(code(kernel_->delete_neighbour("none", ip("10.50.0.1"))), Errc::kNotFound);
}

TEST_P(KernelContract, an_address_is_added_once) {
  make_tap("uvm1");
  EXPECT_TRUE(kernel_->add_address("uvm1", ip("169.254.1.1"), 32));
  EXPECT_EQ(code(kernel_->add_address("uvm1", ip("169.254.1.1"), 32)), Errc::kConflict);
  EXPECT_TRUE(kernel_->add_address("uvm1", ip("fe80::1"), 64));
  EXPECT_EQ(code(kernel_->add_address("uvm1", ip("fe80::1"), 64)), Errc::kConflict);
}

TEST_P(KernelContract, the_gateway_address_may_stand_on_many_taps) {
  for (const char* name : {"uvm1", "uvm2"}) {
    make_tap(name);
    EXPECT_TRUE(kernel_->add_address(name, ip("169.254.1.1"), 32));
    EXPECT_TRUE(kernel_->add_address(name, ip("fe80::1"), 64));
  }
}

TEST_P(KernelContract, per_interface_settings_are_written) {
  make_tap("uvm1");
  for (const auto key : {Sysctl::kProxyArp, Sysctl::kProxyArpDelay, Sysctl::kRpFilter, Sysctl::kAcceptRa}) {
    const auto written = kernel_->write_sysctl("uvm1", key, 1);
    EXPECT_TRUE(written) << written.error().text();
  }
}

TEST_P(KernelContract, a_route_to_a_tap_is_listed_and_found) {
  make_tap("uvm1");
  for (const IpAddress& vm : {ip("10.50.0.1"), ip("fd50::1")}) {
    const Route route{vm, "uvm1", {}, kOurs};
    const auto set = kernel_->replace_route(route);
    ASSERT_TRUE(set) << set.error().text();
    EXPECT_EQ(kernel_->route_to(vm).value(), route);
    const auto routes = kernel_->routes(kOurs);
    ASSERT_TRUE(routes);
    EXPECT_EQ(std::count(routes->begin(), routes->end(), route), 1);
  }
  EXPECT_EQ(kernel_->routes(kOurs)->size(), 2U);
}

TEST_P(KernelContract, a_route_by_a_gateway_finds_its_link) {
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.1"), "", ip("10.77.0.2"), kOurs}));
  EXPECT_EQ(kernel_->route_to(ip("10.50.0.1")).value(), (Route{ip("10.50.0.1"), "uplink", ip("10.77.0.2"), kOurs}));
  ASSERT_TRUE(kernel_->replace_route({ip("fd50::1"), "", ip("fd77::2"), kOurs}));
  EXPECT_EQ(kernel_->route_to(ip("fd50::1")).value(), (Route{ip("fd50::1"), "uplink", ip("fd77::2"), kOurs}));
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.2"), "uplink", ip("10.77.0.2"), kOurs}));
  EXPECT_EQ(kernel_->route_to(ip("10.50.0.2")).value(), (Route{ip("10.50.0.2"), "uplink", ip("10.77.0.2"), kOurs}));
}

TEST_P(KernelContract, replacing_leaves_one_route_each_way) {
  make_tap("uvm1");
  for (const auto& [vm, host] :
       {std::pair(ip("10.50.0.1"), ip("10.77.0.2")), std::pair(ip("fd50::1"), ip("fd77::2"))}) {
    const Route near{vm, "uvm1", {}, kOurs};
    const Route far{vm, "uplink", host, kOurs};
    for (const Route& route : {near, far, near, far, far}) {
      const auto set = kernel_->replace_route(route);
      ASSERT_TRUE(set) << set.error().text();
      EXPECT_EQ(kernel_->route_to(vm).value(), route);
      const auto routes = kernel_->routes(kOurs);
      EXPECT_EQ(std::ranges::count(*routes, near.destination, &Route::destination), 1);
    }
  }
}

TEST_P(KernelContract, adding_replaces_nothing) {
  make_tap("uvm1");
  for (const IpAddress& vm : {ip("10.50.0.1"), ip("fd50::1")}) {
    const Route first{vm, "uvm1", {}, kForeign};
    ASSERT_TRUE(kernel_->add_route(first));
    EXPECT_EQ(code(kernel_->add_route({vm, "uplink", {}, kOurs})), Errc::kConflict);
    EXPECT_EQ(kernel_->route_to(vm).value(), first);
  }
  EXPECT_EQ(code(kernel_->add_route({ip("10.50.0.2"), "none", {}, kOurs})), Errc::kNotFound);
}

TEST_P(KernelContract, a_wider_route_is_not_an_answer) {
  EXPECT_EQ(kernel_->route_to(ip("10.77.0.9")).value(), std::nullopt) << "the uplink's own network";
  EXPECT_EQ(kernel_->route_to(ip("10.99.0.9")).value(), std::nullopt) << "unreachable";
  EXPECT_EQ(kernel_->route_to(ip("fd77::9")).value(), std::nullopt);
  EXPECT_EQ(kernel_->route_to(ip("fd99::9")).value(), std::nullopt);
}

TEST_P(KernelContract, a_foreign_route_is_found_but_neither_listed_nor_deleted) {
  const Route foreign{ip("10.50.0.1"), "uplink", ip("10.77.0.9"), kForeign};
  ASSERT_TRUE(kernel_->replace_route(foreign));
  EXPECT_EQ(kernel_->route_to(ip("10.50.0.1")).value(), foreign);
  EXPECT_TRUE(kernel_->routes(kOurs)->empty());
  EXPECT_EQ(code(kernel_->delete_route(ip("10.50.0.1"), kOurs)), Errc::kNotFound);
  EXPECT_EQ(kernel_->route_to(ip("10.50.0.1")).value(), foreign);
}

TEST_P(KernelContract, a_route_is_deleted_once) {
  make_tap("uvm1");
  for (const IpAddress& vm : {ip("10.50.0.1"), ip("fd50::1")}) {
    ASSERT_TRUE(kernel_->replace_route({vm, "uvm1", {}, kOurs}));
    EXPECT_TRUE(kernel_->delete_route(vm, kOurs));
    EXPECT_EQ(kernel_->route_to(vm).value(), std::nullopt);
    EXPECT_EQ(code(kernel_->delete_route(vm, kOurs)), Errc::kNotFound);
  }
}

TEST_P(KernelContract, an_unreachable_gateway_is_refused_with_a_remedy) {
  const auto set = kernel_->replace_route({ip("10.50.0.1"), "", ip("192.0.2.1"), kOurs});
  EXPECT_EQ(code(set), Errc::kUnavailable);
  EXPECT_NE(set.error().message.find("10.50.0.1 via 192.0.2.1"), std::string::npos) << set.error().text();
  EXPECT_FALSE(set.error().remedy.empty());
}

TEST_P(KernelContract, a_link_that_is_down_takes_no_route) {
  ASSERT_TRUE(kernel_->create_tap("uvm1", {}));
  EXPECT_EQ(code(kernel_->replace_route({ip("10.50.0.1"), "uvm1", {}, kOurs})), Errc::kUnavailable);
}

TEST_P(KernelContract, routes_and_neighbours_vanish_with_their_link) {
  make_tap("uvm1");
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.1"), "uvm1", {}, kOurs}));
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.2"), "", ip("10.77.0.2"), kOurs}));
  ASSERT_TRUE(kernel_->delete_link("uvm1"));
  EXPECT_EQ(kernel_->route_to(ip("10.50.0.1")).value(), std::nullopt);
  EXPECT_EQ(kernel_->routes(kOurs)->size(), 1U);
  EXPECT_EQ(code(kernel_->link("uvm1")), Errc::kNotFound);
}

TEST_P(KernelContract, a_link_that_goes_down_loses_routes_and_neighbours) {
  make_tap("uvm1");
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.1"), "uvm1", {}, kOurs}));
  ASSERT_TRUE(kernel_->replace_neighbour({"uvm1", ip("10.50.0.1"), mac("52:54:00:00:00:01")}));
  ASSERT_TRUE(kernel_->change_link("uvm1", {.up = false}));
  EXPECT_EQ(kernel_->route_to(ip("10.50.0.1")).value(), std::nullopt);
  EXPECT_TRUE(kernel_->neighbours("uvm1")->empty());
}

TEST_P(KernelContract, neighbours_are_set_replaced_listed_by_link_and_deleted) {
  make_tap("uvm1");
  make_tap("uvm2");
  for (const IpAddress& vm : {ip("10.50.0.1"), ip("fd50::1")}) {
    ASSERT_TRUE(kernel_->replace_neighbour({"uvm1", vm, mac("52:54:00:00:00:01")}));
    ASSERT_TRUE(kernel_->replace_neighbour({"uvm1", vm, mac("52:54:00:00:00:02")}));
    const auto standing = kernel_->neighbours("uvm1");
    ASSERT_TRUE(standing) << standing.error().text();
    EXPECT_EQ(*standing, (std::vector{Neighbour{"uvm1", vm, mac("52:54:00:00:00:02")}}));
    EXPECT_TRUE(kernel_->neighbours("uvm2")->empty());
    EXPECT_TRUE(kernel_->delete_neighbour("uvm1", vm));
    EXPECT_EQ(code(kernel_->delete_neighbour("uvm1", vm)), Errc::kNotFound);
    EXPECT_TRUE(kernel_->neighbours("uvm1")->empty());
  }
}

TEST_P(KernelContract, addresses_are_listed_by_link) {
  make_tap("uvm1");
  ASSERT_TRUE(kernel_->add_address("uvm1", ip("169.254.1.1"), 32));
  auto addresses = kernel_->addresses();
  ASSERT_TRUE(addresses) << addresses.error().text();
  EXPECT_EQ(std::ranges::count(*addresses, LinkAddress{"uvm1", ip("169.254.1.1"), 32}), 1);
  EXPECT_EQ(std::ranges::count(*addresses, LinkAddress{"uplink", ip("fd77::1"), 64}), 1);
  GetParam().remove_address(*kernel_, "uvm1", ip("169.254.1.1"));
  EXPECT_EQ(std::ranges::count(*kernel_->addresses(), LinkAddress{"uvm1", ip("169.254.1.1"), 32}), 0);
}

TEST_P(KernelContract, a_link_that_goes_down_keeps_its_ipv4_addresses_alone) {
  make_tap("uvm1");
  ASSERT_TRUE(kernel_->add_address("uvm1", ip("169.254.1.1"), 32));
  ASSERT_TRUE(kernel_->add_address("uvm1", ip("fe80::1"), 64));
  ASSERT_TRUE(kernel_->change_link("uvm1", {.up = false}));
  const auto addresses = kernel_->addresses().value();
  EXPECT_EQ(std::ranges::count(addresses, LinkAddress{"uvm1", ip("169.254.1.1"), 32}), 1);
  EXPECT_EQ(std::ranges::count(addresses, LinkAddress{"uvm1", ip("fe80::1"), 64}), 0);
}

TEST_P(KernelContract, neighbours_of_all_links_are_listed_at_once) {
  make_tap("uvm1");
  make_tap("uvm2");
  const Neighbour one{"uvm1", ip("10.50.0.1"), mac("52:54:00:00:00:01")};
  const Neighbour two{"uvm2", ip("fd50::2"), mac("52:54:00:00:00:02")};
  ASSERT_TRUE(kernel_->replace_neighbour(one));
  ASSERT_TRUE(kernel_->replace_neighbour(two));
  const auto all = kernel_->neighbours("");
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(std::ranges::count(*all, one), 1);
  EXPECT_EQ(std::ranges::count(*all, two), 1);
}

TEST_P(KernelContract, a_watch_tells_of_routes_that_come_and_go) {
  make_tap("uvm1");
  for (const IpAddress& vm : {ip("10.50.0.1"), ip("fd50::1")}) {
    EXPECT_TRUE(told([&](Kernel& other) { ASSERT_TRUE(other.replace_route({vm, "uvm1", {}, kForeign})); }).routes);
    EXPECT_TRUE(told([&](Kernel& other) { ASSERT_TRUE(other.delete_route(vm, kForeign)); }).routes);
  }
}

TEST_P(KernelContract, a_watch_tells_of_neighbours_and_addresses_that_go) {
  make_tap("uvm1");
  ASSERT_TRUE(kernel_->replace_neighbour({"uvm1", ip("10.50.0.1"), mac("52:54:00:00:00:01")}));
  EXPECT_TRUE(told([](Kernel& other) { ASSERT_TRUE(other.delete_neighbour("uvm1", ip("10.50.0.1"))); }).neighbours);
  ASSERT_TRUE(kernel_->add_address("uvm1", ip("10.50.0.1"), 32));
  EXPECT_TRUE(told([](Kernel& other) { GetParam().remove_address(other, "uvm1", ip("10.50.0.1")); }).addresses);
}

TEST_P(KernelContract, a_watch_tells_of_links_that_go_down_or_come_or_change) {
  make_tap("uvm1");
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.1"), "uvm1", {}, kOurs}));
  EXPECT_TRUE(told([](Kernel& other) { ASSERT_TRUE(other.change_link("uvm1", {.up = false})); }).links);
  EXPECT_TRUE(told([](Kernel& other) { ASSERT_TRUE(other.change_link("uvm1", {.up = true})); }).links);
  EXPECT_TRUE(
      told([](Kernel& other) { ASSERT_TRUE(other.change_link("uvm1", {.mac = mac("02:00:00:00:00:09")})); }).links);
  EXPECT_TRUE(told([](Kernel& other) { ASSERT_TRUE(other.delete_link("uvm1")); }).links);
}

TEST_P(KernelContract, a_watch_leaves_out_addresses_of_no_interest) {
  make_tap("uvm1");
  const auto told_of = told([](Kernel& other) {
    ASSERT_TRUE(other.replace_route({ip("10.50.0.2"), "uvm1", {}, kForeign}));
    ASSERT_TRUE(other.delete_route(ip("10.50.0.2"), kForeign));
    ASSERT_TRUE(other.replace_neighbour({"uvm1", ip("10.50.0.2"), mac("52:54:00:00:00:01")}));
    ASSERT_TRUE(other.add_address("uvm1", ip("10.50.0.3"), 32));
    GetParam().remove_address(other, "uvm1", ip("10.50.0.3"));
  });
  EXPECT_FALSE(told_of.routes || told_of.neighbours || told_of.addresses || told_of.lost);
}

TEST_P(KernelContract, a_watch_that_has_ended_tells_nothing) {
  asio::io_context io;
  bool called = false;
  auto watch = kernel_->watch(io.get_executor(),
                              {[](const IpAddress&) { return true; }, [&](const Changes&) { called = true; }});
  ASSERT_TRUE(watch);
  make_tap("uvm1");
  watch->reset();
  for (int turn = 0; turn < 8; ++turn) io.poll();
  EXPECT_FALSE(called);
}

INSTANTIATE_TEST_SUITE_P(Both, KernelContract,
                         testing::Values(Maker{"fake", make_fake, remove_fake, nullptr},
                                         Maker{"real", make_real, remove_real, other_real}),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace umbra::netswitch
