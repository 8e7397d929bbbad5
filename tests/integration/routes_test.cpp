// Routes that something else takes away come back, on edges and on hosts.
#include <gmock/gmock.h>

#include "tests/integration/fleet.hpp"

namespace umbra::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Routes : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fleet_ = std::make_unique<Fleet>();
    address_ = fleet_->add_vm("web1", "host1");
    await("the edge leads to it", [] { return !fleet_->route("edge1", address_).empty(); });
    await("the other host leads to it", [] { return !fleet_->route("host2", address_).empty(); });
  }
  static void TearDownTestSuite() { fleet_.reset(); }
  void SetUp() override { ASSERT_TRUE(fleet_) << "the lab did not come up"; }

  /// What `commands` take from a node is as before within 5 s.
  static void comes_back(const std::string& node, const std::string& commands) {
    SCOPED_TRACE(node + ": " + commands);
    const auto before = fleet_->route(node, address_);
    ASSERT_FALSE(before.empty());
    fleet_->in(node, {"sh", "-c", commands});
    await(
        "the route is back", [&] { return fleet_->route(node, address_) == before; }, 5s);
  }

  static std::unique_ptr<Fleet> fleet_;
  static std::string address_;
};

std::unique_ptr<Fleet> Routes::fleet_;
std::string Routes::address_;

TEST_F(Routes, ThatALinkTookWithItAreBackWithinFiveSecondsAndTold) {
  for (const auto* node : {"edge1", "host2"}) comes_back(node, "ip link set eth0 down && ip link set eth0 up");
  await("the events tell of it", [] {
    const auto told = fleet_->events("route");
    return std::ranges::count_if(told, [](const std::string& text) {
             return text.find("put back") != std::string::npos && text.find("route " + address_) != std::string::npos;
           }) >= 2;
  });
  EXPECT_THAT(fleet_->events("route", "web1"), Contains(AllOf(HasSubstr("put back"), HasSubstr(address_))))
      << "by the VM's name, also from an edge";
}

TEST_F(Routes, ThatAPersonDeletedAreBackWithinFiveSeconds) {
  for (const auto* node : {"edge1", "host1", "host2"}) comes_back(node, "ip route del " + address_);
}

TEST_F(Routes, AndTapsNeighboursOfAVmAreBackAndTheGuestNeverNoticesMore) {
  const auto tap = [&] {
    const auto route = fleet_->route("host1", address_);
    const auto begin = route.find("dev ") + 4;
    return route.substr(begin, route.find(' ', begin) - begin);
  }();
  comes_back("host1", "ip link set " + tap + " down");
  await(
      "the tap is up",
      [&] {
        return fleet_->in("host1", {"ip", "-o", "link", "show", tap}).find(",UP") != std::string::npos;
      },
      5s);
  const auto neighbour = [&] { return fleet_->in("host1", {"ip", "neigh", "show", address_, "dev", tap}); };
  await(
      "its neighbour is there", [&] { return neighbour().find("PERMANENT") != std::string::npos; }, 5s);
  fleet_->in("host1", {"ip", "neigh", "del", address_, "dev", tap});
  await(
      "its neighbour is back", [&] { return neighbour().find("PERMANENT") != std::string::npos; }, 5s);
  EXPECT_THAT(fleet_->lab({"probe", "web1", "--seconds", "1", "--rate", "100"}), HasSubstr("\"lost\": 0"));
  EXPECT_EQ(fleet_->damage("web1"), 0);
}

TEST_F(Routes, ForeignOnesAreLeftAlone) {
  fleet_->in("edge1", {"ip", "route", "add", "203.0.113.7/32", "dev", "eth0", "proto", "static"});
  comes_back("edge1", "ip route del " + address_);
  EXPECT_THAT(fleet_->route("edge1", "203.0.113.7"), Not(IsEmpty()));
  fleet_->in("edge1", {"ip", "route", "del", "203.0.113.7/32"});
}

}  // namespace
}  // namespace umbra::test
