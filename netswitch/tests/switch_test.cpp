// point(), undo() and reconcile().
#include "netswitch/switch.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "netswitch/tests/node.hpp"

namespace umbra::netswitch {
namespace {

using test::ip;
using test::Node;
using test::some_vm;

const std::string kUuid = some_vm().uuid;
const std::string kOther = some_vm(2).uuid;
const IpAddress kVm = ip("10.50.0.1");
const Hop kTap = Hop::to_tap("uvm1");
const Hop kHostB = Hop::to_host(ip("10.77.0.2"));
const Hop kHostC = Hop::to_host(ip("10.77.0.3"));
constexpr int kStatic = 4;

class Routes : public testing::Test {
 protected:
  Routes() {
    attached_ = switch_.attach(some_vm()).has_value();
    kernel_.forget_changes();
  }
  void SetUp() override { ASSERT_TRUE(attached_); }
  std::optional<Hop> leads() { return switch_.where(kVm).value(); }
  Errc refusal(const Hop& hop, std::uint64_t epoch) {
    const auto pointed = switch_.point(kUuid, kVm, hop, epoch);
    return pointed ? Errc{} : pointed.error().code;
  }

  Node node_{"10.77.0.1"};
  FakeKernel& kernel_ = node_.kernel;
  Switch& switch_ = node_.fabric;
  std::uint32_t queue() { return kernel_.link("uvm1")->queue_length; }
  bool attached_ = false;
};

TEST_F(Routes, point_is_one_message_and_tells_what_was_there) {
  auto first = switch_.point(kUuid, kVm, kHostB, 1);
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(first->before, std::nullopt);
  EXPECT_EQ(kernel_.changes(), std::vector<std::string>{"route 10.50.0.1 via 10.77.0.2"});
  kernel_.forget_changes();
  auto second = switch_.point(kUuid, kVm, kTap, 2);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->before, kHostB);
  EXPECT_EQ(second->before_epoch, 1U);
  EXPECT_EQ(kernel_.changes(), (std::vector<std::string>{"change uvm1", "route 10.50.0.1 dev uvm1"}))
      << "and one before it, for the tap's queue";
  EXPECT_EQ(node_.route(kVm)->protocol, 117);
}

TEST_F(Routes, point_to_the_tap_of_a_vm_that_was_awaited_is_one_message) {
  VmNet vm = some_vm();
  vm.awaited = true;
  ASSERT_TRUE(switch_.attach(vm));
  kernel_.forget_changes();
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 1));
  EXPECT_EQ(kernel_.changes(), std::vector<std::string>{"route 10.50.0.1 dev uvm1"});
}

TEST_F(Routes, point_to_a_tap_gives_it_the_queue_of_a_flip_and_to_a_host_does_not) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  EXPECT_EQ(queue(), 4096U);
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 2));
  EXPECT_EQ(queue(), 20'000U);
}

TEST_F(Routes, point_to_the_tap_that_the_route_leads_to_leaves_its_queue_alone) {
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 1));
  kernel_.forget_changes();
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 1)) << "as an agent does that finds its guest running";
  EXPECT_TRUE(kernel_.changes().empty()) << "packets are on their way through it";
}

TEST_F(Routes, a_queue_that_cannot_be_had_fails_no_flip) {
  kernel_.fail_change(1, ENOMEM);
  EXPECT_TRUE(switch_.point(kUuid, kVm, kTap, 1));
  EXPECT_EQ(leads(), kTap);
  EXPECT_EQ(queue(), 4096U);
}

TEST_F(Routes, undo_puts_the_queue_back) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  for (const std::uint64_t epoch : {2, 3}) {
    const auto undo = switch_.point(kUuid, kVm, kTap, epoch);
    ASSERT_TRUE(undo);
    ASSERT_EQ(queue(), 20'000U);
    ASSERT_TRUE(epoch == 2 ? switch_.undo(*undo) : switch_.undo(kUuid, kVm, epoch));
    EXPECT_EQ(queue(), 4096U);
  }
  EXPECT_TRUE(switch_.unsettled().empty());
}

TEST_F(Routes, undo_of_another_epoch_leaves_the_queue_of_a_guest_that_runs_here) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 2));
  ASSERT_TRUE(switch_.undo(kUuid, kVm, 1));
  EXPECT_EQ(queue(), 20'000U);
}

TEST_F(Routes, settling_gives_the_ordinary_queue_to_what_was_pointed_here) {
  EXPECT_TRUE(switch_.unsettled().empty());
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 1));
  EXPECT_EQ(switch_.unsettled(), std::vector{kUuid});
  ASSERT_TRUE(switch_.settle(kUuid));
  EXPECT_EQ(queue(), 4096U);
  EXPECT_TRUE(switch_.unsettled().empty());
  ASSERT_TRUE(switch_.settle(kUuid)) << "once more";
}

TEST_F(Routes, point_works_for_ipv6_alike) {
  ASSERT_TRUE(switch_.point(kUuid, ip("fd50::1"), Hop::to_host(ip("fd77::2")), 1));
  ASSERT_TRUE(switch_.point(kUuid, ip("fd50::1"), kTap, 2));
  EXPECT_EQ(switch_.where(ip("fd50::1")).value(), kTap);
}

TEST_F(Routes, an_older_epoch_is_refused_and_changes_nothing) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 5));
  EXPECT_EQ(refusal(kHostC, 4), Errc::kConflict);
  EXPECT_EQ(leads(), kHostB);
}

TEST_F(Routes, the_same_epoch_again_changes_nothing_and_remembers_the_first_undo) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 2));
  kernel_.forget_changes();
  const auto again = switch_.point(kUuid, kVm, kTap, 2);
  ASSERT_TRUE(again);
  EXPECT_TRUE(kernel_.changes().empty());
  EXPECT_EQ(again->before, kHostB) << "not the tap itself";
}

TEST_F(Routes, the_same_epoch_again_repairs_a_route_that_was_lost) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  ASSERT_TRUE(kernel_.delete_route(kVm, 117));
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  EXPECT_EQ(leads(), kHostB);
}

TEST_F(Routes, one_epoch_cannot_lead_to_two_hosts) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  EXPECT_EQ(refusal(kHostC, 1), Errc::kConflict);
  EXPECT_EQ(leads(), kHostB);
}

TEST_F(Routes, a_foreign_route_is_never_replaced) {
  ASSERT_TRUE(kernel_.replace_route({kVm, "uplink", ip("10.77.0.9"), kStatic}));
  const auto pointed = switch_.point(kUuid, kVm, kTap, 1);
  ASSERT_FALSE(pointed);
  EXPECT_EQ(pointed.error().code, Errc::kConflict);
  EXPECT_NE(pointed.error().message.find("not Umbra's"), std::string::npos);
  EXPECT_FALSE(pointed.error().remedy.empty());
  EXPECT_EQ(node_.route(kVm)->via, ip("10.77.0.9"));
}

TEST_F(Routes, a_point_that_fails_uses_up_no_epoch) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  kernel_.fail_change(2, ENOBUFS);  // the first is the tap's queue
  EXPECT_EQ(refusal(kTap, 2), Errc::kExhausted);
  EXPECT_EQ(leads(), kHostB);
  EXPECT_TRUE(switch_.point(kUuid, kVm, kHostC, 2));
}

TEST_F(Routes, a_change_that_the_kernel_made_but_failed_to_confirm_counts_as_made) {
  kernel_.lose_answer(1, ENOBUFS);
  const auto undo = switch_.point(kUuid, kVm, kHostB, 1);
  ASSERT_TRUE(undo) << undo.error().text();
  ASSERT_TRUE(switch_.undo(*undo));
  EXPECT_EQ(leads(), std::nullopt);
}

TEST_F(Routes, a_hop_that_cannot_be_is_refused) {
  EXPECT_EQ(refusal(Hop::to_tap("none"), 1), Errc::kNotFound);
  EXPECT_EQ(refusal(Hop::to_tap(""), 1), Errc::kInvalid);
  EXPECT_EQ(refusal(Hop::to_host(ip("fd77::2")), 1), Errc::kInvalid);
  EXPECT_EQ(refusal(Hop::to_host(ip("192.0.2.1")), 1), Errc::kUnavailable);
}

TEST_F(Routes, undo_restores_the_route_that_was_there) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  const auto undo = switch_.point(kUuid, kVm, kTap, 2);
  ASSERT_TRUE(undo);
  ASSERT_TRUE(switch_.undo(*undo));
  EXPECT_EQ(leads(), kHostB);
  kernel_.forget_changes();
  ASSERT_TRUE(switch_.undo(*undo)) << "once more";
  EXPECT_TRUE(kernel_.changes().empty());
}

TEST_F(Routes, undo_removes_a_route_where_there_was_none) {
  const auto undo = switch_.point(kUuid, kVm, kTap, 1);
  ASSERT_TRUE(undo);
  ASSERT_TRUE(switch_.undo(*undo));
  EXPECT_EQ(leads(), std::nullopt);
}

TEST_F(Routes, undo_leaves_what_a_newer_epoch_did) {
  const auto undo = switch_.point(kUuid, kVm, kTap, 1);
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 2));
  ASSERT_TRUE(switch_.undo(*undo));
  EXPECT_EQ(leads(), kHostB);
}

TEST_F(Routes, undo_leaves_what_someone_else_did_since) {
  const auto undo = switch_.point(kUuid, kVm, kTap, 1);
  ASSERT_TRUE(kernel_.replace_route({kVm, "uplink", ip("10.77.0.9"), kStatic}));
  ASSERT_TRUE(switch_.undo(*undo));
  EXPECT_EQ(node_.route(kVm)->via, ip("10.77.0.9"));
}

TEST_F(Routes, undo_after_a_restart_restores_what_is_still_ours) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  const auto undo = switch_.point(kUuid, kVm, kTap, 2);
  Switch restarted(kernel_, {});
  ASSERT_TRUE(restarted.undo(*undo));
  EXPECT_EQ(restarted.where(kVm).value(), kHostB);
}

TEST_F(Routes, undo_that_fails_can_be_tried_again) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  const auto undo = switch_.point(kUuid, kVm, kTap, 2);
  kernel_.fail_change(1, ENOBUFS);
  EXPECT_FALSE(switch_.undo(*undo));
  EXPECT_EQ(leads(), kTap);
  EXPECT_TRUE(switch_.undo(*undo));
  EXPECT_EQ(leads(), kHostB);
}

TEST_F(Routes, an_undone_epoch_is_used_up_and_the_next_one_is_not) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 2));
  ASSERT_TRUE(switch_.undo(kUuid, kVm, 2));
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(refusal(kTap, 2), Errc::kConflict) << "a request that comes late";
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(refusal(kHostC, 3), Errc{});
}

TEST_F(Routes, undo_of_a_point_that_is_still_on_its_way_makes_it_be_refused) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  ASSERT_TRUE(switch_.undo(kUuid, kVm, 2));
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(refusal(kTap, 2), Errc::kConflict);
  EXPECT_EQ(refusal(kHostB, 1), Errc{}) << "what stands, stands";
}

TEST_F(Routes, undo_of_an_older_epoch_is_nothing) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 3));
  ASSERT_TRUE(switch_.undo(kUuid, kVm, 2));
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(refusal(kHostB, 3), Errc{});
}

TEST_F(Routes, owned_lists_our_routes_and_their_epochs) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 3));
  ASSERT_TRUE(kernel_.replace_route({ip("10.50.0.8"), "uplink", {}, kStatic}));
  ASSERT_TRUE(kernel_.replace_route({ip("10.50.0.9"), "uplink", ip("10.77.0.3"), 117}));
  const auto owned = switch_.owned();
  ASSERT_EQ(owned->size(), 2U);
  EXPECT_EQ(owned->at(0).address, kVm);
  EXPECT_EQ(owned->at(0).vm, kUuid);
  EXPECT_EQ(owned->at(0).epoch, 3U);
  EXPECT_EQ(owned->at(1).hop, kHostC);
  EXPECT_EQ(owned->at(1).epoch, 0U) << "of an earlier process";
}

TEST_F(Routes, reconcile_adds_what_is_missing_and_corrects_what_is_stale) {
  ASSERT_TRUE(kernel_.replace_route({kVm, "", ip("10.77.0.3"), 117}));
  const auto report = switch_.reconcile({{kUuid, kVm, kHostB, 4}, {kOther, ip("10.50.0.2"), kHostC, 1}}, true);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->changed, std::vector{kVm});
  EXPECT_EQ(report->added, std::vector{ip("10.50.0.2")});
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(refusal(kHostC, 3), Errc::kConflict) << "the epoch is known from now on";
  kernel_.forget_changes();
  ASSERT_TRUE(switch_.reconcile({{kUuid, kVm, kHostB, 4}, {kOther, ip("10.50.0.2"), kHostC, 1}}, true));
  EXPECT_TRUE(kernel_.changes().empty()) << "nothing to do the second time";
}

TEST_F(Routes, reconcile_removes_ours_only_and_only_when_told_everything) {
  ASSERT_TRUE(kernel_.replace_route({kVm, "", ip("10.77.0.3"), 117}));
  ASSERT_TRUE(kernel_.replace_route({ip("10.50.0.8"), "uplink", {}, kStatic}));
  ASSERT_TRUE(switch_.reconcile({}, false));
  EXPECT_EQ(leads(), kHostC) << "unknown is not gone";
  const auto report = switch_.reconcile({}, true);
  EXPECT_EQ(report->removed, std::vector{kVm});
  EXPECT_EQ(leads(), std::nullopt);
  EXPECT_TRUE(node_.route(ip("10.50.0.8")));
}

TEST_F(Routes, reconcile_never_takes_the_route_of_a_vm_that_is_attached_here) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kTap, 1));
  ASSERT_TRUE(switch_.reconcile({}, true));
  EXPECT_EQ(leads(), kTap);
  EXPECT_EQ(refusal(kHostB, 0), Errc::kConflict) << "nor forgets its epoch";
}

TEST_F(Routes, reconcile_takes_the_route_of_an_address_that_the_vm_here_has_no_longer) {
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 1));
  VmNet vm = some_vm();
  vm.addresses = {ip("10.50.0.9")};
  ASSERT_TRUE(switch_.attach(vm));
  ASSERT_TRUE(switch_.reconcile({}, true));
  EXPECT_EQ(leads(), std::nullopt);
}

TEST_F(Routes, reconcile_leaves_what_a_newer_epoch_did_here) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 5));
  const auto report = switch_.reconcile({{kUuid, kVm, kHostC, 4}}, true);
  ASSERT_EQ(report->newer.size(), 1U);
  EXPECT_EQ(report->newer[0].vm, kUuid);
  EXPECT_EQ(report->newer[0].address, kVm);
  EXPECT_EQ(report->newer[0].epoch, 5U);
  EXPECT_EQ(leads(), kHostB);
  ASSERT_TRUE(switch_.reconcile({{kUuid, kVm, kHostC, 6}}, true));
  EXPECT_EQ(leads(), kHostC);
}

TEST_F(Routes, reconcile_reports_bad_entries_and_does_the_others) {
  ASSERT_TRUE(kernel_.replace_route({ip("10.50.0.8"), "uplink", {}, kStatic}));
  const auto report = switch_.reconcile({{kOther, ip("10.50.0.8"), kHostB, 1},
                                         {kOther, ip("10.50.0.2"), Hop::to_tap("none"), 1},
                                         {kUuid, kVm, kHostB, 1}},
                                        true);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->failed.size(), 2U);
  EXPECT_EQ(report->failed[0].second.code, Errc::kConflict);
  EXPECT_EQ(report->failed[1].second.code, Errc::kNotFound);
  EXPECT_EQ(report->added, std::vector{kVm});
  EXPECT_EQ(node_.route(ip("10.50.0.8"))->protocol, kStatic);
}

TEST_F(Routes, the_address_of_a_vm_that_is_gone_begins_anew) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 9));
  ASSERT_TRUE(switch_.reconcile({}, true));
  EXPECT_EQ(refusal(kHostC, 1), Errc{});
}

TEST_F(Routes, the_address_of_a_vm_that_is_gone_goes_to_another_whatever_its_epoch) {
  ASSERT_TRUE(switch_.reconcile({{kUuid, kVm, kHostB, 3}}, true));
  const auto report = switch_.reconcile({{kOther, kVm, kHostC, 1}}, true);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->newer.empty());
  EXPECT_EQ(report->changed, std::vector{kVm});
  EXPECT_EQ(leads(), kHostC);
  ASSERT_TRUE(switch_.point(kOther, kVm, kHostB, 2)) << "and moves with it";
}

TEST_F(Routes, an_address_passes_to_another_vm_also_while_some_host_is_unknown) {
  ASSERT_TRUE(switch_.reconcile({{kUuid, kVm, kHostB, 3}}, true));
  ASSERT_TRUE(switch_.reconcile({{kOther, kVm, kHostC, 1}}, false));
  EXPECT_EQ(leads(), kHostC);
  EXPECT_EQ(refusal(kHostB, 2), Errc::kConflict) << "the epochs of the one before still count for it";
  EXPECT_EQ(refusal(kHostB, 4), Errc::kConflict) << "and it does not get the address back by itself";
  EXPECT_EQ(leads(), kHostC);
}

TEST_F(Routes, a_vm_cannot_point_the_address_of_another) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 1));
  const auto pointed = switch_.point(kOther, kVm, kHostC, 7);
  ASSERT_FALSE(pointed);
  EXPECT_EQ(pointed.error().code, Errc::kConflict);
  EXPECT_NE(pointed.error().message.find(kUuid), std::string::npos) << pointed.error().text();
  ASSERT_TRUE(switch_.undo(kOther, kVm, 7));
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(refusal(kHostC, 2), Errc{}) << "nor use up the other's epochs";
}

TEST_F(Routes, undo_leaves_an_address_that_became_another_vms) {
  const auto undo = switch_.point(kUuid, kVm, kHostB, 1);
  ASSERT_TRUE(undo);
  ASSERT_TRUE(switch_.reconcile({{kOther, kVm, kHostB, 1}}, false)) << "on the same host even";
  ASSERT_TRUE(switch_.undo(*undo));
  ASSERT_TRUE(switch_.undo(kUuid, kVm, 1));
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(switch_.owned()->at(0).vm, kOther);
}

TEST_F(Routes, serving_leads_an_address_to_the_vms_tap) {
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 0));
  EXPECT_EQ(leads(), kTap);
  EXPECT_EQ(switch_.serve(kOther, kVm, 0).error().code, Errc::kNotFound) << "that one has no tap here";
}

TEST_F(Routes, serving_leaves_what_a_newer_epoch_did) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 5));
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 4));
  EXPECT_EQ(leads(), kHostB);
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 6));
  EXPECT_EQ(leads(), kTap);
}

TEST_F(Routes, a_second_vm_here_does_not_get_the_address_of_the_first) {
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 0));
  VmNet second = some_vm(2);
  second.addresses = {kVm};
  ASSERT_TRUE(switch_.attach(second));
  const auto served = switch_.serve(kOther, kVm, 9);
  ASSERT_FALSE(served);
  EXPECT_EQ(served.error().code, Errc::kConflict);
  EXPECT_NE(served.error().message.find(kUuid), std::string::npos) << served.error().text();
  EXPECT_EQ(leads(), kTap);
  ASSERT_TRUE(switch_.detach(kUuid));
  ASSERT_TRUE(switch_.serve(kOther, kVm, 9)) << "once the first has left";
  EXPECT_EQ(leads(), Hop::to_tap("uvm2"));
}

TEST_F(Routes, a_vm_that_runs_here_keeps_its_address_until_the_controller_knows_all_vms) {
  ASSERT_TRUE(switch_.serve(kUuid, kVm, 0));
  const auto refused = switch_.reconcile({{kOther, kVm, kHostB, 4}}, false);
  ASSERT_EQ(refused->failed.size(), 1U);
  EXPECT_EQ(refused->failed[0].second.code, Errc::kConflict);
  EXPECT_EQ(leads(), kTap);
  ASSERT_TRUE(switch_.reconcile({{kOther, kVm, kHostB, 4}}, true));
  EXPECT_EQ(leads(), kHostB);
  EXPECT_EQ(switch_.serve(kUuid, kVm, 0).error().code, Errc::kConflict);
}

TEST_F(Routes, epochs_are_told_undone_ones_included) {
  ASSERT_TRUE(switch_.point(kUuid, kVm, kHostB, 4));
  ASSERT_TRUE(switch_.point(kOther, ip("10.50.0.2"), kHostB, 2));
  ASSERT_TRUE(switch_.undo(kUuid, kVm, 7));
  const auto epochs = switch_.epochs();
  ASSERT_EQ(epochs.size(), 2U);
  EXPECT_EQ(epochs[0].vm, kUuid);
  EXPECT_EQ(epochs[0].epoch, 7U);
  EXPECT_EQ(epochs[1].vm, kOther);
  EXPECT_EQ(epochs[1].epoch, 2U);
}

TEST_F(Routes, addresses_that_no_vm_may_have_are_refused_by_every_call) {
  SwitchConfig config;
  config.addresses.allowed = AddressRules::parse_allowed({"10.50.0.0/24"}).value();
  config.addresses.taken = {ip("10.50.0.9")};
  Switch limited(kernel_, config);
  ASSERT_TRUE(limited.attach(some_vm()));
  for (const char* wrong : {"10.50.1.1", "169.254.1.1", "127.0.0.1", "224.0.0.1", "10.50.0.9"}) {
    const auto pointed = limited.point(kUuid, ip(wrong), kHostB, 1);
    ASSERT_FALSE(pointed) << wrong;
    EXPECT_EQ(pointed.error().code, Errc::kInvalid);
    EXPECT_EQ(limited.serve(kUuid, ip(wrong), 1).error().code, Errc::kInvalid);
    const auto report = limited.reconcile({{kUuid, ip(wrong), kHostB, 1}, {kUuid, kVm, kHostB, 1}}, true);
    EXPECT_EQ(report->failed.size(), 1U);
    VmNet other = some_vm(2);
    other.addresses = {ip(wrong)};
    const auto attached = limited.attach(other);
    EXPECT_EQ(attached.error().code, Errc::kInvalid);
    EXPECT_NE(attached.error().remedy.find("network.allowed_addresses"), std::string::npos);
  }
  EXPECT_EQ(leads(), kHostB);
}

}  // namespace
}  // namespace umbra::netswitch
