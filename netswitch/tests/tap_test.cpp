// attach() and detach().
#include <gtest/gtest.h>

#include <cerrno>

#include "netswitch/tests/node.hpp"

namespace umbra::netswitch {
namespace {

using test::ip;
using test::mac;
using test::Node;
using test::some_vm;

class Taps : public testing::Test {
 protected:
  Node node_{"10.77.0.1"};
  FakeKernel& kernel_ = node_.kernel;
  Switch& switch_ = node_.fabric;
  VmNet vm_ = some_vm();
};

TEST_F(Taps, attach_makes_a_tap_that_any_host_of_the_fleet_would_make) {
  ASSERT_TRUE(switch_.attach(vm_));
  const auto link = kernel_.link("uvm1").value();
  EXPECT_EQ(link.mac, mac("ee:ee:ee:ee:ee:01"));
  EXPECT_EQ(link.alias, "umbra:" + vm_.uuid);
  EXPECT_EQ(link.queue_length, 4096U);
  EXPECT_TRUE(link.up);
  EXPECT_TRUE(kernel_.has_address("uvm1", ip("169.254.1.1")));
  EXPECT_EQ(kernel_.sysctl("uvm1", Sysctl::kProxyArp), 1);
  EXPECT_EQ(kernel_.sysctl("uvm1", Sysctl::kProxyArpDelay), 0);
  EXPECT_EQ(kernel_.sysctl("uvm1", Sysctl::kRpFilter), 2);
  EXPECT_EQ(kernel_.neighbours("uvm1").value(), (std::vector{Neighbour{"uvm1", ip("10.50.0.1"), vm_.guest_mac}}));
  EXPECT_EQ(node_.route(ip("10.50.0.1")), std::nullopt) << "a route is for point()";
}

TEST_F(Taps, attach_gives_the_tap_an_ipv6_gateway_only_for_a_guest_with_ipv6) {
  ASSERT_TRUE(switch_.attach(vm_));
  EXPECT_FALSE(kernel_.has_address("uvm1", ip("fe80::1")));
  vm_.addresses.push_back(ip("fd50::1"));
  ASSERT_TRUE(switch_.attach(vm_));
  EXPECT_TRUE(kernel_.has_address("uvm1", ip("fe80::1")));
  EXPECT_EQ(kernel_.sysctl("uvm1", Sysctl::kAcceptRa), 0);
  EXPECT_EQ(kernel_.neighbours("uvm1")->size(), 2U);
}

TEST_F(Taps, attach_again_repairs_what_was_spoilt_and_keeps_the_rest) {
  ASSERT_TRUE(switch_.attach(vm_));
  const int index = kernel_.link("uvm1")->index;
  ASSERT_TRUE(kernel_.change_link("uvm1", {.mac = mac("02:00:00:00:00:09"), .up = false}));
  ASSERT_TRUE(switch_.attach(vm_));
  const auto link = kernel_.link("uvm1").value();
  EXPECT_EQ(link.index, index) << "the same tap: QEMU may hold it";
  EXPECT_EQ(link.mac, mac("ee:ee:ee:ee:ee:01"));
  EXPECT_TRUE(link.up);
  EXPECT_EQ(kernel_.neighbours("uvm1")->size(), 1U);
}

TEST_F(Taps, attach_drops_the_neighbour_of_an_address_the_vm_no_longer_has) {
  ASSERT_TRUE(switch_.attach(vm_));
  vm_.addresses = {ip("10.50.0.9")};
  ASSERT_TRUE(switch_.attach(vm_));
  EXPECT_EQ(kernel_.neighbours("uvm1").value(), (std::vector{Neighbour{"uvm1", ip("10.50.0.9"), vm_.guest_mac}}));
}

TEST_F(Taps, a_tap_whose_vm_is_awaited_has_the_queue_of_a_flip_and_keeps_it_when_it_is_attached_again) {
  vm_.awaited = true;
  ASSERT_TRUE(switch_.attach(vm_));
  EXPECT_EQ(kernel_.link("uvm1")->queue_length, 20'000U);
  vm_.awaited = false;
  ASSERT_TRUE(switch_.attach(vm_)) << "as a host does with what it finds; packets may be waiting there";
  EXPECT_EQ(kernel_.link("uvm1")->queue_length, 20'000U);
}

TEST_F(Taps, detach_puts_back_the_queue_of_a_tap_that_the_operator_made) {
  ASSERT_TRUE(kernel_.create_tap("uvm1", {}));
  vm_.awaited = true;
  ASSERT_TRUE(switch_.attach(vm_));
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_tap("uvm1"), 1));
  ASSERT_EQ(kernel_.link("uvm1")->queue_length, 20'000U);
  ASSERT_TRUE(switch_.detach(vm_.uuid));
  EXPECT_EQ(kernel_.link("uvm1")->queue_length, 4096U);
}

TEST_F(Taps, attach_that_fails_anywhere_leaves_no_tap_of_its_making) {
  Node model("10.77.0.1");
  ASSERT_TRUE(model.fabric.attach(vm_));
  const int changes = static_cast<int>(model.kernel.changes().size());
  ASSERT_GT(changes, 4);
  for (int nth = 1; nth <= changes; ++nth) {
    Node node("10.77.0.1");
    node.kernel.fail_change(nth, ENOMEM);
    const auto attached = node.fabric.attach(vm_);
    ASSERT_FALSE(attached) << model.kernel.changes()[static_cast<std::size_t>(nth) - 1];
    EXPECT_EQ(attached.error().code, Errc::kExhausted);
    EXPECT_FALSE(node.kernel.link("uvm1"));
    EXPECT_TRUE(node.fabric.attach(vm_)) << "and the next try succeeds";
  }
}

TEST_F(Taps, attach_refuses_nonsense_with_a_reason) {
  const auto refused = [&](auto spoil) {
    VmNet vm = some_vm();
    spoil(vm);
    const auto attached = switch_.attach(vm);
    return !attached && attached.error().code == Errc::kInvalid && kernel_.changes().empty();
  };
  EXPECT_TRUE(refused([](VmNet& vm) { vm.uuid.clear(); }));
  for (const char* tap : {"", "sixteen-letters-", "a/b", "a b", "..", "a:b"}) {
    EXPECT_TRUE(refused([&](VmNet& vm) { vm.tap = tap; })) << tap;
  }
  EXPECT_TRUE(refused([](VmNet& vm) { vm.guest_mac = mac("01:00:5e:00:00:01"); }));
  EXPECT_TRUE(refused([](VmNet& vm) { vm.addresses.clear(); }));
  EXPECT_TRUE(refused([](VmNet& vm) { vm.addresses = {ip("127.0.0.1")}; }));
}

TEST_F(Taps, attach_refuses_the_tap_of_another_vm_and_a_link_that_is_no_tap) {
  ASSERT_TRUE(switch_.attach(vm_));
  VmNet other = some_vm(2);
  other.tap = "uvm1";
  EXPECT_EQ(switch_.attach(other).error().code, Errc::kConflict);
  Switch restarted(kernel_, {});
  const auto after_restart = restarted.attach(other);
  ASSERT_FALSE(after_restart);
  EXPECT_EQ(after_restart.error().code, Errc::kConflict);
  EXPECT_NE(after_restart.error().message.find(vm_.uuid), std::string::npos);
}

TEST_F(Taps, attach_refuses_a_second_tap_for_the_same_vm) {
  ASSERT_TRUE(switch_.attach(vm_));
  vm_.tap = "uvm9";
  EXPECT_EQ(switch_.attach(vm_).error().code, Errc::kConflict);
}

TEST_F(Taps, detach_removes_the_tap_and_the_route_to_it_and_may_be_repeated) {
  ASSERT_TRUE(switch_.attach(vm_));
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_tap("uvm1"), 1));
  ASSERT_TRUE(switch_.detach(vm_.uuid));
  EXPECT_FALSE(kernel_.link("uvm1"));
  EXPECT_EQ(node_.route(ip("10.50.0.1")), std::nullopt);
  EXPECT_TRUE(switch_.detach(vm_.uuid));
  EXPECT_TRUE(switch_.detach("never seen"));
}

TEST_F(Taps, detach_keeps_the_route_to_the_host_that_the_vm_moved_to) {
  ASSERT_TRUE(switch_.attach(vm_));
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_tap("uvm1"), 1));
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_host(ip("10.77.0.2")), 2));
  ASSERT_TRUE(switch_.detach(vm_.uuid));
  EXPECT_EQ(node_.route(ip("10.50.0.1"))->via, ip("10.77.0.2"));
}

TEST_F(Taps, detach_after_a_restart_finds_the_tap_by_its_alias) {
  ASSERT_TRUE(switch_.attach(vm_));
  ASSERT_TRUE(switch_.attach(some_vm(2)));
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_tap("uvm1"), 1));
  Switch restarted(kernel_, {});
  ASSERT_TRUE(restarted.detach(vm_.uuid));
  EXPECT_FALSE(kernel_.link("uvm1"));
  EXPECT_TRUE(kernel_.link("uvm2")) << "another VM's";
}

TEST_F(Taps, detach_leaves_a_tap_that_the_operator_made) {
  ASSERT_TRUE(kernel_.create_tap("uvm1", {}));
  ASSERT_TRUE(switch_.attach(vm_));
  EXPECT_EQ(kernel_.link("uvm1")->alias, "");
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_tap("uvm1"), 1));
  ASSERT_TRUE(switch_.detach(vm_.uuid));
  EXPECT_TRUE(kernel_.link("uvm1"));
  EXPECT_TRUE(kernel_.neighbours("uvm1")->empty());
  EXPECT_EQ(node_.route(ip("10.50.0.1")), std::nullopt);
}

TEST_F(Taps, detach_still_refuses_older_epochs_afterwards) {
  ASSERT_TRUE(switch_.attach(vm_));
  ASSERT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_tap("uvm1"), 5));
  ASSERT_TRUE(switch_.detach(vm_.uuid));
  EXPECT_EQ(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_host(ip("10.77.0.2")), 4).error().code, Errc::kConflict);
  EXPECT_TRUE(switch_.point(vm_.uuid, ip("10.50.0.1"), Hop::to_host(ip("10.77.0.2")), 5));
}

TEST_F(Taps, counters_are_those_of_the_vms_tap) {
  ASSERT_TRUE(switch_.attach(vm_));
  kernel_.count("uvm1", {.rx_bytes = 100, .rx_packets = 2, .tx_bytes = 50, .tx_packets = 1});
  EXPECT_EQ(switch_.counters(vm_.uuid)->rx_packets, 2U);
  EXPECT_EQ(switch_.counters("other").error().code, Errc::kNotFound);
}

}  // namespace
}  // namespace umbra::netswitch
