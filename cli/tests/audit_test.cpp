#include "base/clock.hpp"
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class AuditVerb : public UmbractlTest {
 protected:
  void SetUp() override {
    controller.on_loop([](FakeFleet& fake) {
      const auto now = SystemClock().unix_ms();
      fake.audit = {
          event(now - 3 * kHour, "alice", v1::ROLE_ADMIN, "web1", "done", "cutover to host2"),
          event(now - 2 * kHour, "carol", v1::ROLE_VIEWER, "web1", "denied", "Fleet/Cutover vm=web1: denied: no"),
          event(now - kHour, "alice", v1::ROLE_ADMIN, "db1", "conflict", "Fleet/Migrate vm=db1: failed: moving"),
          event(now - 48 * kHour, "alice", v1::ROLE_ADMIN, "", "done", "zone a: health set to 0.50")};
      return 0;
    });
  }
  static v1::Event event(UnixMillis at, const char* actor, v1::Role role, const char* vm, const char* outcome,
                         const char* text) {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_AUDIT);
    event.set_at_unix_ms(at);
    event.set_actor(actor);
    event.set_actor_role(role);
    event.set_peer("10.0.0.7:50000");
    event.set_vm(vm);
    event.set_outcome(outcome);
    event.set_text(text);
    return event;
  }
  static constexpr UnixMillis kHour = 3'600'000;
};

TEST_F(AuditVerb, ShowsTheLastDayPageByPage) {
  const auto shown = run({"audit"});
  EXPECT_EQ(shown.status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("WHO"));
  EXPECT_THAT(shown.out, HasSubstr("carol  viewer  10.0.0.7:50000  web1  denied"));
  EXPECT_THAT(shown.out, HasSubstr("Fleet/Migrate vm=db1: failed: moving"));
  EXPECT_THAT(shown.out, Not(HasSubstr("health set"))) << "that was before";
  EXPECT_THAT(run({"audit", "--since", "7d"}).out, HasSubstr("health set to 0.50"));
}

TEST_F(AuditVerb, FiltersByActorAndVm) {
  const auto of_alice = run_json({"audit", "--actor", "alice"});
  EXPECT_EQ(of_alice.at("events").as_array().size(), 2U);
  const auto of_web1 = run_json({"audit", "--vm", "web1", "--actor", "carol"});
  ASSERT_EQ(of_web1.at("events").as_array().size(), 1U);
  EXPECT_EQ(of_web1.at("events").at(0).at("actor_role"), "viewer");
  EXPECT_EQ(of_web1.at("events").at(0).at("outcome"), "denied");
  EXPECT_EQ(run({"audit", "--actor", "nobody"}).out, "nothing was asked for in that time\n");
}

TEST_F(AuditVerb, ATimeThatIsNoneIsWrongUsage) {
  const auto wrong = run({"audit", "--since", "yesterday"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.err, HasSubstr("'yesterday' is neither a duration with a unit nor a time"));
  for (const auto* unitless : {"5", "0", "3600"}) {
    const auto refused = run({"audit", "--since", unitless});
    EXPECT_EQ(refused.status, 2) << unitless;
    EXPECT_THAT(refused.err, HasSubstr("write it as 30min, 24h, 7d or 2026-05-01T12:00:00Z"));
  }
  EXPECT_EQ(run({"audit", "--since", "1777636800"}).status, 0) << "seconds since 1970";
}

}  // namespace
}  // namespace umbra::cli::test
