// What of ours somebody else changes is put back, and told.
#include "netswitch/upkeep.hpp"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>

#include "netswitch/tests/node.hpp"

namespace umbra::netswitch {
namespace {

using namespace std::chrono_literals;
using test::ip;
using test::mac;
using test::must;
using test::Node;
using test::some_vm;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const IpAddress kHere = ip("10.50.0.1");   // of a VM on this node
const IpAddress kThere = ip("10.50.0.2");  // of one elsewhere
const Hop kElsewhere = Hop::to_host(ip("10.77.0.2"));
constexpr int kOperators = 4;

class Kept : public testing::Test {
 protected:
  void SetUp() override {
    VmNet vm = some_vm();
    vm.addresses.push_back(ip("fd50::1"));
    must(node_.fabric.attach(vm));
    must(node_.fabric.serve(vm.uuid, kHere, 1));
    ASSERT_TRUE(node_.fabric.point(some_vm(2).uuid, kThere, kElsewhere, 1));
    start();
  }
  void TearDown() override {
    upkeep_.stop();
    turn();
  }
  void start() {
    asio::co_spawn(io_, upkeep_.run(), [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    });
    turn();
    kernel_.forget_changes();
  }
  void turn() {
    io_.restart();
    io_.poll();
  }
  void pass(Milliseconds time, Milliseconds step = 100ms) {
    for (Milliseconds gone{0}; gone < time; gone += step) {
      turn();
      clock_.advance(step);
      turn();
    }
  }
  std::optional<IpAddress> via(const IpAddress& address) {
    const auto route = node_.route(address);
    return route ? route->via : std::nullopt;
  }
  bool whole() { return node_.fabric.inspect()->empty(); }

  Node node_{"10.77.0.1"};
  FakeKernel& kernel_ = node_.kernel;
  asio::io_context io_;
  FakeClock clock_;
  std::vector<std::string> notices_, alerts_, vms_;
  Upkeep upkeep_{io_.get_executor(), clock_, kernel_, node_.fabric,
                 [this](Upkeep::Tone tone, const std::string& vm, const std::string& text) {
                   (tone == Upkeep::Tone::kAlert ? alerts_ : notices_).push_back(text);
                   vms_.push_back(vm);
                 }};
};

TEST_F(Kept, a_route_that_a_person_deleted_is_back_and_told) {
  must(kernel_.delete_route(kThere, 117));
  pass(200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
  ASSERT_THAT(notices_, SizeIs(1));
  EXPECT_THAT(notices_[0], AllOf(HasSubstr("put back"), HasSubstr("route 10.50.0.2 via 10.77.0.2")));
  EXPECT_EQ(vms_[0], some_vm(2).uuid);
  EXPECT_THAT(alerts_, IsEmpty());
}

TEST_F(Kept, a_route_that_was_led_elsewhere_under_our_number_leads_back) {
  must(kernel_.replace_route({kThere, "", ip("10.77.0.9"), 117}));
  pass(200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
  EXPECT_THAT(notices_[0], HasSubstr("leads elsewhere"));
}

TEST_F(Kept, all_that_a_flapping_uplink_took_is_back_soon_after_it_is_up) {
  must(kernel_.change_link("uplink", {.up = false}));
  pass(3s);
  EXPECT_EQ(node_.route(kThere), std::nullopt);
  EXPECT_THAT(alerts_, IsEmpty()) << "a link may be on its way up";
  must(kernel_.change_link("uplink", {.up = true}));
  pass(1200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
  EXPECT_TRUE(whole());
}

TEST_F(Kept, a_link_that_stays_down_is_an_alert_once) {
  must(kernel_.change_link("uplink", {.up = false}));
  pass(60s, 500ms);
  ASSERT_THAT(alerts_, SizeIs(1));
  EXPECT_THAT(alerts_[0], AllOf(HasSubstr("cannot put back"), HasSubstr("route 10.50.0.2")));
  must(kernel_.change_link("uplink", {.up = true}));
  pass(1200ms);
  EXPECT_TRUE(whole());
  EXPECT_THAT(notices_, SizeIs(1));
}

TEST_F(Kept, a_tap_gets_back_its_state_mac_addresses_neighbours_and_routes) {
  must(kernel_.change_link("uvm1", {.mac = mac("02:00:00:00:00:09"), .up = false}));
  kernel_.forget_address("uvm1", ip("169.254.1.1"));
  pass(200ms);
  EXPECT_TRUE(whole());
  EXPECT_TRUE(kernel_.link("uvm1")->up);
  EXPECT_EQ(kernel_.link("uvm1")->mac, mac("ee:ee:ee:ee:ee:01"));
  EXPECT_EQ(kernel_.neighbours("uvm1")->size(), 2U);
  EXPECT_TRUE(kernel_.has_address("uvm1", ip("169.254.1.1")));
  EXPECT_TRUE(kernel_.has_address("uvm1", ip("fe80::1")));
  EXPECT_EQ(node_.route(kHere)->dev, "uvm1");
  ASSERT_THAT(notices_, SizeIs(1));
  EXPECT_THAT(notices_[0], AllOf(HasSubstr("tap uvm1, which is down"), HasSubstr("lacks neighbour 10.50.0.1"),
                                 HasSubstr("route 10.50.0.1 dev uvm1")));
}

TEST_F(Kept, a_neighbour_that_was_deleted_is_back) {
  must(kernel_.delete_neighbour("uvm1", kHere));
  pass(200ms);
  EXPECT_EQ(kernel_.neighbours("uvm1")->size(), 2U);
  EXPECT_THAT(notices_, SizeIs(1));
}

TEST_F(Kept, a_tap_of_ours_that_was_deleted_is_made_anew_and_one_of_the_operator_is_not) {
  must(kernel_.create_tap("theirs", {}));
  VmNet vm = some_vm(3);
  vm.tap = "theirs";
  must(node_.fabric.attach(vm));
  must(node_.fabric.serve(vm.uuid, vm.addresses[0], 1));
  must(kernel_.delete_link("theirs"));
  must(kernel_.delete_link("uvm1"));
  pass(200ms);
  EXPECT_TRUE(kernel_.link("uvm1"));
  EXPECT_EQ(node_.route(kHere)->dev, "uvm1");
  EXPECT_FALSE(kernel_.link("theirs"));
  EXPECT_THAT(notices_[0], AllOf(HasSubstr("tap uvm1, which is gone"), Not(HasSubstr("theirs"))));
  must(kernel_.create_tap("theirs", {}));
  pass(200ms);
  EXPECT_EQ(node_.route(vm.addresses[0])->dev, "theirs") << "once the operator brings it back";
}

TEST_F(Kept, a_foreign_route_in_the_place_of_ours_stays_and_is_an_alert) {
  must(kernel_.replace_route({kThere, "uplink", ip("10.77.0.9"), kOperators}));
  pass(20s, 500ms);
  EXPECT_EQ(node_.route(kThere)->protocol, kOperators);
  ASSERT_THAT(alerts_, SizeIs(1));
  EXPECT_THAT(alerts_[0], AllOf(HasSubstr("route 10.50.0.2"), HasSubstr("not Umbra's")));
  must(kernel_.delete_route(kThere, kOperators));
  pass(1200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
}

TEST_F(Kept, other_foreign_routes_and_links_are_left_alone) {
  must(kernel_.create_tap("docker0", {}));
  must(kernel_.replace_route({ip("10.60.0.1"), "uplink", ip("10.77.0.9"), kOperators}));
  must(kernel_.delete_route(ip("10.60.0.1"), kOperators));
  kernel_.forget_changes();
  pass(1s);
  EXPECT_THAT(kernel_.changes(), IsEmpty());
  EXPECT_THAT(notices_, IsEmpty());
}

TEST_F(Kept, what_is_removed_again_and_again_is_disputed_and_not_fought_for) {
  int removed = 0;
  for (int second = 0; second < 120; ++second) {
    removed += kernel_.delete_route(kThere, 117).has_value();
    pass(1s);
  }
  EXPECT_LE(removed, 12) << "a few at first, then one every half minute";
  ASSERT_THAT(alerts_, SizeIs(1));
  EXPECT_THAT(alerts_[0],
              AllOf(HasSubstr("something else keeps changing"), HasSubstr("route 10.50.0.2"), HasSubstr("ip monitor")));
  EXPECT_LE(notices_.size(), 6U);
  notices_.clear();
  pass(6min, 1s);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
  must(kernel_.delete_route(kThere, 117));
  pass(200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2")) << "after five quiet minutes it is as before";
  EXPECT_THAT(notices_, SizeIs(1));
}

TEST_F(Kept, thousands_of_routes_are_back_within_seconds_and_told_in_few_events) {
  std::vector<WantedRoute> wanted;
  for (int i = 0; i < 3500; ++i)
    wanted.push_back({some_vm(2).uuid, ip(fmt::format("10.60.{}.{}", i / 250, i % 250 + 1)), kElsewhere, 1});
  ASSERT_TRUE(node_.fabric.reconcile(wanted, false));
  pass(1s);
  notices_.clear();
  must(kernel_.change_link("uplink", {.up = false}));
  must(kernel_.change_link("uplink", {.up = true}));
  pass(200ms);
  EXPECT_FALSE(whole()) << "at most so many at once";
  pass(1s);
  EXPECT_TRUE(whole());
  pass(3s);
  EXPECT_LE(notices_.size(), 2U);
  EXPECT_THAT(notices_.back(), HasSubstr("more"));
}

TEST_F(Kept, what_the_kernel_did_not_tell_is_found_all_the_same) {
  must(kernel_.delete_route(kThere, 117));
  kernel_.lose_changes();
  pass(200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
}

TEST_F(Kept, tables_that_cannot_be_changed_are_tried_again) {
  kernel_.fail_change(2, ENOBUFS);  // the first is the deletion itself
  must(kernel_.delete_route(kThere, 117));
  pass(200ms);
  EXPECT_EQ(node_.route(kThere), std::nullopt);
  pass(1200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
}

TEST_F(Kept, what_point_undo_and_detach_do_is_not_taken_back) {
  ASSERT_TRUE(node_.fabric.point(some_vm(2).uuid, kThere, Hop::to_host(ip("10.77.0.3")), 2));
  pass(40s, 1s);
  EXPECT_EQ(via(kThere), ip("10.77.0.3"));
  must(node_.fabric.undo(some_vm(2).uuid, kThere, 2));
  pass(40s, 1s);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
  must(node_.fabric.detach(some_vm().uuid));
  ASSERT_TRUE(node_.fabric.reconcile({}, true));
  pass(40s, 1s);
  EXPECT_EQ(node_.route(kHere), std::nullopt);
  EXPECT_EQ(node_.route(kThere), std::nullopt);
  EXPECT_FALSE(kernel_.link("uvm1"));
  EXPECT_THAT(notices_, IsEmpty());
}

TEST_F(Kept, a_vm_that_came_by_a_cutover_gets_the_ordinary_queue_once_it_has_settled) {
  const auto queue = [&] { return kernel_.link("uvm2")->queue_length; };
  VmNet vm = some_vm(2);
  vm.awaited = true;
  must(node_.fabric.attach(vm));
  pass(3min, 1s);
  EXPECT_EQ(queue(), 20'000U) << "no route leads to a shadow, whose cutover is still to come";
  ASSERT_TRUE(node_.fabric.point(vm.uuid, kThere, Hop::to_tap("uvm2"), 2));
  pass(29s, 1s);
  EXPECT_EQ(queue(), 20'000U) << "longer than a cutover lasts";
  pass(61s, 1s);
  EXPECT_EQ(queue(), 4096U);
  must(kernel_.change_link("uvm2", {.up = false}));
  pass(3s);
  EXPECT_TRUE(whole());
  EXPECT_EQ(queue(), 4096U) << "nor does a repair bring it back";
  EXPECT_THAT(alerts_, IsEmpty());
}

TEST_F(Kept, a_queue_that_cannot_be_changed_without_loss_stays_until_the_vm_leaves) {
  kernel_.add_discipline("uvm1");
  ASSERT_TRUE(node_.fabric.point(some_vm().uuid, kHere, kElsewhere, 2));
  ASSERT_TRUE(node_.fabric.point(some_vm().uuid, kHere, Hop::to_tap("uvm1"), 3));
  kernel_.forget_changes();
  pass(3min, 1s);
  EXPECT_THAT(kernel_.changes(), IsEmpty());
  EXPECT_EQ(kernel_.link("uvm1")->queue_length, 20'000U);
  must(node_.fabric.detach(some_vm().uuid));
  pass(1min, 1s);
  EXPECT_FALSE(kernel_.link("uvm1"));
}

TEST_F(Kept, a_queue_that_could_not_be_put_back_is_tried_again) {
  ASSERT_TRUE(node_.fabric.point(some_vm().uuid, kHere, kElsewhere, 2));
  ASSERT_TRUE(node_.fabric.point(some_vm().uuid, kHere, Hop::to_tap("uvm1"), 3));
  kernel_.fail_change(1, ENOMEM);
  pass(45s, 1s);
  EXPECT_EQ(kernel_.link("uvm1")->queue_length, 20'000U);
  pass(45s, 1s);
  EXPECT_EQ(kernel_.link("uvm1")->queue_length, 4096U);
}

/// Without notifications: a kernel that refuses them.
class Blind : public Kept {
 protected:
  Blind() { kernel_.refuse_watches(); }
};

TEST_F(Blind, a_node_without_notifications_looks_often_enough) {
  ASSERT_THAT(alerts_, SizeIs(1));
  EXPECT_THAT(alerts_[0], HasSubstr("looks every 2 s"));
  must(kernel_.delete_route(kThere, 117));
  pass(2200ms);
  EXPECT_EQ(via(kThere), ip("10.77.0.2"));
}

TEST(KeptAfterARestart, the_queue_of_a_flip_in_an_earlier_life_is_put_back) {
  Node node("10.77.0.1");
  must(node.fabric.attach(some_vm()));
  ASSERT_TRUE(node.fabric.point(some_vm().uuid, kHere, Hop::to_tap("uvm1"), 7));
  ASSERT_EQ(node.kernel.link("uvm1")->queue_length, 20'000U);

  Switch restarted(node.kernel, {});
  asio::io_context io;
  FakeClock clock;
  Upkeep upkeep(io.get_executor(), clock, node.kernel, restarted, [](auto, const auto&, const auto&) {});
  must(restarted.adopt());
  asio::co_spawn(io, upkeep.run(), asio::detached);
  must(restarted.attach(some_vm()));
  ASSERT_TRUE(restarted.reconcile({{some_vm().uuid, kHere, Hop::to_tap("uvm1"), 7}}, true));
  EXPECT_EQ(node.kernel.link("uvm1")->queue_length, 20'000U) << "what waits there may not have been read";
  for (int second = 0; second < 91; ++second) {
    io.restart();
    io.poll();
    clock.advance(1s);
  }
  io.restart();
  io.poll();
  EXPECT_EQ(node.kernel.link("uvm1")->queue_length, 4096U);
  upkeep.stop();
  io.restart();
  io.poll();
}

TEST(KeptAfterARestart, routes_of_an_earlier_process_are_kept_until_the_controller_has_spoken) {
  Node node("10.77.0.1");
  must(node.kernel.replace_route({kThere, "", ip("10.77.0.2"), 117}));
  must(node.fabric.adopt());
  must(node.kernel.delete_route(kThere, 117));
  const auto damages = node.fabric.inspect().value();
  ASSERT_EQ(damages.size(), 1U);
  must(node.fabric.repair(damages[0]));
  EXPECT_EQ(node.route(kThere)->via, ip("10.77.0.2"));
  EXPECT_EQ(node.fabric.owned()->at(0).epoch, 0U);
  ASSERT_TRUE(node.fabric.point(some_vm(2).uuid, kThere, Hop::to_host(ip("10.77.0.3")), 1)) << "nobody's yet";
  ASSERT_TRUE(node.fabric.reconcile({}, true));
  EXPECT_EQ(node.route(kThere), std::nullopt);
  EXPECT_TRUE(node.fabric.inspect()->empty());
}

}  // namespace
}  // namespace umbra::netswitch
