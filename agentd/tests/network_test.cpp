#include "agentd/network.hpp"

#include <gmock/gmock.h>

#include "netswitch/tests/node.hpp"

namespace umbra::agent {
namespace {

using testing::HasSubstr;

constexpr const char* kVm = "11111111-2222-3333-4444-555555555501";

struct NetworkTest : testing::Test {
  netswitch::test::Node node{"10.0.0.1"};
  Network network{node.fabric, "host1"};

  static v1::Vm vm() {
    v1::Vm one;
    one.set_uuid(kVm);
    one.set_name("web1");
    one.set_tap("uvm1");
    one.set_mac("52:54:00:00:00:01");
    one.add_addresses("10.50.0.1");
    one.add_addresses("fd00::1");
    return one;
  }
  static v1::PointRequest point(std::string host, std::string underlay, std::uint64_t epoch) {
    v1::PointRequest request;
    request.set_vm_uuid(kVm);
    request.add_addresses("10.50.0.1");
    request.set_epoch(epoch);
    request.set_host(std::move(host));
    request.set_underlay_address(std::move(underlay));
    return request;
  }
  static v1::UnpointRequest unpoint(std::uint64_t epoch) {
    v1::UnpointRequest request;
    request.set_vm_uuid(kVm);
    request.add_addresses("10.50.0.1");
    request.set_epoch(epoch);
    return request;
  }
  static v1::WantedRoute wanted(std::string address, std::string host, std::string underlay, std::uint64_t epoch) {
    v1::WantedRoute route;
    route.set_vm_uuid(kVm);
    route.set_address(std::move(address));
    route.set_host(std::move(host));
    route.set_underlay_address(std::move(underlay));
    route.set_epoch(epoch);
    return route;
  }
  std::string leads_to(std::string_view address = "10.50.0.1") {
    const auto route = node.route(netswitch::test::ip(address));
    if (!route) return "";
    return route->via ? route->via->to_string() : route->dev;
  }
};

TEST_F(NetworkTest, MakesTheTapWithoutARoute) {
  ASSERT_TRUE(network.attach(vm()));
  EXPECT_TRUE(node.kernel.link("uvm1"));
  EXPECT_EQ(node.kernel.neighbours("uvm1")->size(), 2U);
  EXPECT_EQ(leads_to(), "");
  ASSERT_TRUE(network.attach(vm())) << "idempotent";
  ASSERT_TRUE(network.detach(kVm));
  EXPECT_FALSE(node.kernel.link("uvm1"));
  ASSERT_TRUE(network.detach(kVm)) << "idempotent";
}

TEST_F(NetworkTest, LeavesAVmWithoutATapAlone) {
  auto bridged = vm();
  bridged.clear_tap();
  ASSERT_TRUE(network.attach(bridged));
  EXPECT_TRUE(node.kernel.changes().empty());
}

TEST_F(NetworkTest, RefusesAnAddressThatIsNone) {
  auto broken = vm();
  broken.add_addresses("10.50.0");
  const auto attached = network.attach(broken);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().code, Errc::kInvalid);
  EXPECT_THAT(attached.error().message, HasSubstr("10.50.0"));
  EXPECT_FALSE(node.kernel.link("uvm1"));
}

TEST_F(NetworkTest, PointsToTheTapHereAndToTheHostElsewhere) {
  ASSERT_TRUE(network.attach(vm()));
  ASSERT_TRUE(network.point(point("host1", "10.0.0.1", 1)));
  EXPECT_EQ(leads_to(), "uvm1");
  ASSERT_TRUE(network.point(point("host2", "10.0.0.2", 2)));
  EXPECT_EQ(leads_to(), "10.0.0.2");
  ASSERT_TRUE(network.unpoint(unpoint(2)));
  EXPECT_EQ(leads_to(), "uvm1");
}

TEST_F(NetworkTest, PointsNowhereHereWithoutATap) {
  const auto pointed = network.point(point("host1", "10.0.0.1", 1));
  ASSERT_FALSE(pointed);
  EXPECT_EQ(pointed.error().code, Errc::kNotFound);
  EXPECT_THAT(pointed.error().message, HasSubstr("no tap"));
}

TEST_F(NetworkTest, RefusesAnOlderEpochAndOneThatWasUndone) {
  ASSERT_TRUE(network.point(point("host2", "10.0.0.2", 5)));
  EXPECT_EQ(network.point(point("host3", "10.0.0.3", 4)).error().code, Errc::kConflict);
  ASSERT_TRUE(network.unpoint(unpoint(5)));
  EXPECT_EQ(network.point(point("host2", "10.0.0.2", 5)).error().code, Errc::kConflict) << "a late one";
  EXPECT_EQ(leads_to(), "");
}

TEST_F(NetworkTest, PointsAVmWithoutAddressesByDoingNothing) {
  auto request = point("host2", "10.0.0.2", 1);
  request.clear_addresses();
  EXPECT_TRUE(network.point(request));
  EXPECT_TRUE(node.kernel.changes().empty());
}

TEST_F(NetworkTest, ReconcilesWhatIsWantedAndCountsIt) {
  v1::ReconcileRequest request;
  *request.add_routes() = wanted("10.50.0.1", "host2", "10.0.0.2", 1);
  *request.add_routes() = wanted("10.50.0.2", "host3", "10.0.0.3", 1);
  auto reply = network.reconcile(request);
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(reply->added(), 2U);
  request.mutable_routes()->DeleteSubrange(1, 1);
  *request.mutable_routes(0) = wanted("10.50.0.1", "host3", "10.0.0.3", 2);
  request.set_complete(true);
  reply = network.reconcile(request);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->changed(), 1U);
  EXPECT_EQ(reply->removed(), 1U);
  EXPECT_EQ(leads_to(), "10.0.0.3");
  EXPECT_EQ(leads_to("10.50.0.2"), "");
}

TEST_F(NetworkTest, TellsWhatItLeavesAloneBecauseItKnowsANewerEpoch) {
  ASSERT_TRUE(network.point(point("host2", "10.0.0.2", 5)));
  v1::ReconcileRequest request;
  *request.add_routes() = wanted("10.50.0.1", "host3", "10.0.0.3", 4);
  const auto reply = network.reconcile(request);
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->newer_size(), 1);
  EXPECT_EQ(reply->newer(0).vm_uuid(), kVm);
  EXPECT_EQ(reply->newer(0).address(), "10.50.0.1");
  EXPECT_EQ(reply->newer(0).epoch(), 5U);
  EXPECT_EQ(leads_to(), "10.0.0.2");
  v1::RegisterRequest introduction;
  network.fill(introduction);
  ASSERT_EQ(introduction.known_epochs_size(), 1);
  EXPECT_EQ(introduction.known_epochs(0).epoch(), 5U);
}

TEST_F(NetworkTest, LeadsNoNodesOwnAddressAnywhereAndDoesTheOthers) {
  v1::ReconcileRequest request;
  *request.add_routes() = wanted("10.0.0.3", "host2", "10.0.0.2", 1);
  *request.add_routes() = wanted("10.50.0.1", "host3", "10.0.0.3", 1);
  const auto reply = network.reconcile(request);
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().message, HasSubstr("10.0.0.3 is a node's own address"));
  EXPECT_EQ(leads_to("10.0.0.3"), "");
  EXPECT_EQ(leads_to(), "10.0.0.3");
}

TEST_F(NetworkTest, ServesAVmUnlessItsAddressIsAnothers) {
  ASSERT_TRUE(network.attach(vm()));
  ASSERT_TRUE(network.serve(vm(), 0));
  EXPECT_EQ(leads_to(), "uvm1");
  auto second = vm();
  second.set_uuid("11111111-2222-3333-4444-555555555502");
  second.set_tap("uvm2");
  ASSERT_TRUE(network.attach(second));
  const auto served = network.serve(second, 0);
  ASSERT_FALSE(served);
  EXPECT_THAT(served.error().message, HasSubstr(kVm));
  EXPECT_EQ(leads_to(), "uvm1");
}

/// The controller may know of a VM here sooner than this agent has made its tap.
TEST_F(NetworkTest, RemovesNothingWhileARouteOfOursCannotBeMadeYet) {
  ASSERT_TRUE(network.point(point("host2", "10.0.0.2", 1)));
  v1::ReconcileRequest request;
  *request.add_routes() = wanted("10.50.0.7", "host1", "10.0.0.1", 1);
  request.set_complete(true);
  const auto reply = network.reconcile(request);
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ(reply->removed(), 0U);
  EXPECT_EQ(leads_to(), "10.0.0.2");
}

TEST_F(NetworkTest, DoesAllThatCanBeDoneAndNamesWhatFailed) {
  ASSERT_TRUE(node.kernel.create_tap("foreign", {}));
  ASSERT_TRUE(node.kernel.change_link("foreign", {.up = true}));
  ASSERT_TRUE(node.kernel.replace_route({netswitch::test::ip("10.50.0.1"), "foreign", std::nullopt, 4}));
  v1::ReconcileRequest request;
  *request.add_routes() = wanted("10.50.0.1", "host2", "10.0.0.2", 1);
  *request.add_routes() = wanted("10.50.0.2", "host2", "10.0.0.2", 1);
  const auto reply = network.reconcile(request);
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().message, HasSubstr("1 of 2 routes failed"));
  EXPECT_THAT(reply.error().message, HasSubstr("10.50.0.1"));
  EXPECT_EQ(leads_to("10.50.0.2"), "10.0.0.2");
  EXPECT_EQ(leads_to("10.50.0.1"), "foreign") << "foreign routes stay untouched";
}

}  // namespace
}  // namespace umbra::agent
