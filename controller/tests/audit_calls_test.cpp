// Who asked, over the real wire.
#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;

class AuditCalls : public TwoZones {
 protected:
  std::vector<v1::Event> audit(v1::ListAuditRequest request = {}) {
    return [](const v1::ListAuditReply& reply) {
      return std::vector<v1::Event>(reply.events().begin(), reply.events().end());
    }(ask(client().list_audit(std::move(request), 5s)).value());
  }
};

TEST_F(AuditCalls, WhatWasDoneDeniedAndFailedIsThereWithWhoAndFromWhere) {
  v1::SetZoneRequest sick;
  sick.set_zone("a");
  sick.set_health(0.9);
  ASSERT_TRUE(ask(client().set_zone(sick, 5s)));
  EXPECT_EQ(ask(client(v1::ROLE_VIEWER, "carol").set_zone(sick, 5s)).error().code, Errc::kDenied);
  std::optional<Error> error;
  v1::StartCutoverRequest cutover;
  cutover.set_vm("vm1");
  all(client().cutover(cutover, 5s), &error);
  ASSERT_TRUE(error) << "it has no shadow";

  const auto events = audit();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].actor(), "ops");
  EXPECT_EQ(events[0].actor_role(), v1::ROLE_ADMIN);
  EXPECT_EQ(events[0].call(), "Fleet/SetZone");
  EXPECT_EQ(events[0].outcome(), "done");
  EXPECT_THAT(events[0].peer(), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(events[1].actor(), "carol");
  EXPECT_EQ(events[1].actor_role(), v1::ROLE_VIEWER);
  EXPECT_EQ(events[1].outcome(), "denied");
  EXPECT_THAT(events[1].text(), HasSubstr("Fleet/SetZone zone=a health=0.9: denied: carol has the role viewer"));
  EXPECT_EQ(events[2].vm(), "vm1");
  EXPECT_EQ(events[2].call(), "Fleet/Cutover");
  EXPECT_THAT(events[2].text(), HasSubstr("Fleet/Cutover vm=vm1: failed: "));
}

TEST_F(AuditCalls, AnAgentThatCallsWhatIsNotItsOwnIsToldOf) {
  EXPECT_EQ(ask(client(v1::ROLE_AGENT, "host9").list_vms({}, 5s)).error().code, Errc::kDenied);
  v1::ListAuditRequest of_host9;
  of_host9.set_actor("host9");
  const auto events = audit(of_host9);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].actor_role(), v1::ROLE_AGENT);
  EXPECT_EQ(events[0].outcome(), "denied");
}

TEST_F(AuditCalls, OfAVmThatNobodyKnowsAreNotFound) {
  v1::ListAuditRequest request;
  request.set_vm("vm1");
  EXPECT_TRUE(ask(client().list_audit(request, 5s))) << "nothing was asked of it yet";
  request.set_vm("nosuch");
  const auto audited = ask(client().list_audit(request, 5s));
  ASSERT_FALSE(audited);
  EXPECT_EQ(audited.error().code, Errc::kNotFound);
  EXPECT_EQ(audited.error().text(), "no VM 'nosuch', and no event tells of one (see umbractl vms)");

  v1::WatchEventsRequest events;
  events.set_vm("nosuch");
  std::optional<Error> error;
  all(client().watch_events(events, 5s), &error);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, Errc::kNotFound);

  core().events.add(v1::EVENT_KIND_VM, v1::SEVERITY_INFO, "is gone from host1", {"host1", "nosuch"});
  EXPECT_EQ(all(client().watch_events(events, 5s)).size(), 1U) << "it was there once";
}

TEST_F(AuditCalls, PagesAreWholeAndANonsensePageIsRefused) {
  for (int i = 0; i < 1'005; ++i) {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_AUDIT);
    event.set_text(fmt::format("{}", i));
    event.set_actor("ops");
    ASSERT_TRUE(core().store.log.add_event(event));
  }
  v1::ListAuditRequest request;
  int seen = 0;
  int pages = 0;
  do {
    const auto reply = ask(client().list_audit(request, 5s)).value();
    for (const auto& event : reply.events()) EXPECT_EQ(event.text(), fmt::format("{}", seen++));
    request.set_page(reply.next_page());
    ++pages;
  } while (!request.page().empty());
  EXPECT_EQ(seen, 1'005);
  EXPECT_EQ(pages, 2);
  request.set_page("'; DROP TABLE events");
  EXPECT_EQ(ask(client().list_audit(request, 5s)).error().code, Errc::kInvalid);
}

TEST_F(AuditCalls, LongAndForgedTextsOfAgentsAreCutAndShownAsTheyAre) {
  const auto uuid = vm("vm1")->vm.uuid();
  host1->vm(uuid)->set_refusal("y\n<0>\x1b[2J" + std::string(100'000, 'x'));
  host1->vm(uuid)->set_name("vm1\u202e" + std::string(200, 'n'));
  until([&] { return core().inventory.vm(uuid)->vm.refusal().find("xxx") != std::string::npos; });
  const auto& taken = core().inventory.vm(uuid)->vm;
  EXPECT_TRUE(taken.refusal().starts_with("y\\n<0>\\x1b[2Jxxx")) << taken.refusal().substr(0, 40);
  EXPECT_LE(taken.refusal().size(), 2'100U);
  EXPECT_TRUE(taken.name().starts_with("vm1\\u{202e}nnn"));
}

TEST_F(AuditCalls, AReasonThatIsTooLongIsRefused) {
  v1::SetZoneRequest request;
  request.set_zone("a");
  request.set_reason(std::string(2'001, 'x'));
  const auto refused = ask(client().set_zone(request, 5s));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("reason is longer than 2000 bytes"));
}

}  // namespace
}  // namespace umbra::controller
