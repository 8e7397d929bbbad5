// Hosts that shut down: they ask for their guests to be moved, or say when it will be.
#include "controller/tests/live_fleet.hpp"
#include "rpc/dialer.hpp"

namespace umbra::controller {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class Leave : public TwoZones {
 protected:
  std::shared_ptr<rpc::Session> session;
  v1::RegistryClient as_host(const std::string& name) {
    auto tls = fleet.node(v1::ROLE_AGENT, name + ".again");
    session = ask(rpc::connect(io.get_executor(), settings.listen, std::move(tls), rpc::Expect{}, {}, 5s)).value();
    return v1::RegistryClient(session);
  }
};

TEST_F(Leave, OfAHostThatIsNotInTheFleetMovesNothing) {
  std::optional<Error> error;
  all(as_host("host1").leave({}, 30s), &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, Errc::kNotFound);
}

class LeaveAsItself : public TwoZones {
 protected:
  /// Over the session that the host's agent has made.
  v1::RegistryClient as(FakeAgent& agent) { return v1::RegistryClient(agent.session()); }
};

TEST_F(LeaveAsItself, TakesAllGuestsAwayAlsoToAHostThatMayFallItself) {
  for (const auto* zone : {"a", "b"}) {
    v1::SetZoneRequest sick;
    sick.set_zone(zone);
    sick.set_health(0.1);
    sick.set_reason("smoke everywhere");
    ASSERT_TRUE(ask(client().set_zone(std::move(sick), 5s)));
  }
  v1::LeaveRequest request;
  request.set_patience_ms(60'000);
  const auto told = all(as(*host1).leave(std::move(request), 60s));
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told.front().plan_size(), 2);
  EXPECT_EQ(told.back().moved(), 2u);
  EXPECT_EQ(told.back().failed(), 0u);
  EXPECT_THAT(host_of("vm1"), AnyOf("host2", "host3", "host4"));
  EXPECT_TRUE(has_event("shuts down; 2 VMs are moved away"));
  const auto windows = core().store.wishes.maintenance(clock.unix_ms()).value();
  ASSERT_EQ(windows.size(), 1u) << "it gets no guests for a while";
  EXPECT_EQ(windows[0].host_or_zone(), "host1");
}

TEST_F(LeaveAsItself, IsPlannedOnceAndCalledOff) {
  const auto at = clock.unix_ms() + 7'200'000;
  for (const auto when : {at, at + 600'000}) {
    v1::AnnounceShutdownRequest request;
    request.set_at_unix_ms(when);
    ASSERT_TRUE(ask(as(*host1).announce_shutdown(std::move(request), 5s)));
  }
  auto windows = core().store.wishes.maintenance(clock.unix_ms()).value();
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].begins_unix_ms(), at + 600'000);
  ASSERT_TRUE(ask(as(*host1).announce_shutdown({}, 5s)));
  EXPECT_TRUE(core().store.wishes.maintenance(clock.unix_ms())->empty());
}

}  // namespace
}  // namespace umbra::controller
