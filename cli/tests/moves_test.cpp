// Verbs that change the fleet: shadow, cutover, migrate, evacuate.
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Moves : public UmbractlTest {};

std::vector<std::string> keys(const boost::json::value& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.as_object()) names.emplace_back(name);
  return names;
}

TEST_F(Moves, KeepWaitsUntilTheShadowIsWarmAndDropTakesItAway) {
  const auto shadow = run_json({"shadow", "keep", "web1", "--to", "host2", "--refresh-interval", "5s"});
  EXPECT_EQ(shadow.at("standby"), "host2");
  EXPECT_EQ(shadow.at("phase"), "warm");
  EXPECT_EQ(shadow.at("refresh_interval_ms"), 5000);
  EXPECT_THAT(run({"shadows"}).out, HasSubstr("web1"));
  EXPECT_THAT(run({"shadow", "drop", "web1"}).out, "the shadow of web1 is dropped\n");
  EXPECT_EQ(run({"shadows"}).out, "no VM has a shadow\n");
  EXPECT_EQ(run({"shadow", "drop", "web1"}).err, "umbractl: web1 has no shadow\n  remedy: see umbractl shadows\n");
}

TEST_F(Moves, KeepRefusesIntervalsBeyondADay) {
  const auto seldom = run({"shadow", "keep", "web1", "--refresh-interval", "99999999d"});
  EXPECT_EQ(seldom.status, 2);
  EXPECT_THAT(seldom.err, HasSubstr("longer than a day"));
  EXPECT_EQ(run({"shadow", "keep", "web1", "--refresh-interval", "24h"}).status, 0);
}

TEST_F(Moves, KeepSaysInWordsWhatThereIsNow) {
  EXPECT_EQ(run({"shadow", "keep", "web1"}).out,
            "the shadow of web1 on host2 is warm, 256 MiB, refreshed every 10 s\n");
  EXPECT_EQ(run({"shadow", "keep", "db1", "--tier", "hot"}).out, "the shadow of db1 on host2 is hot, 256 MiB\n");
  EXPECT_THAT(run({"shadow", "keep", "db1", "--no-wait"}).out, HasSubstr("is staging"));
}

TEST_F(Moves, CutoverPrintsOneObjectWithExactlyTheseFields) {
  run({"shadow", "keep", "web1"});
  const auto moved = run_json({"cutover", "web1", "--reason", "rack 3 is hot"});
  EXPECT_THAT(keys(moved), ElementsAre("vm", "from", "to", "epoch", "blackout_ms", "reach_ms", "phases", "outcome",
                                       "blackout_error_ms", "detail", "reason"));
  EXPECT_EQ(moved.at("vm"), "web1");
  EXPECT_EQ(moved.at("from"), "host1");
  EXPECT_EQ(moved.at("to"), "host2");
  EXPECT_EQ(moved.at("epoch"), 2);
  EXPECT_EQ(moved.at("blackout_ms"), 11.5);
  EXPECT_EQ(moved.at("reach_ms").to_number<double>(), 74);
  EXPECT_EQ(moved.at("outcome"), "moved");
  EXPECT_EQ(moved.at("reason"), "rack 3 is hot");
  EXPECT_THAT(keys(moved.at("phases").at(0)), ElementsAre("name", "at_ms", "took_ms"));
  EXPECT_THAT(run({"vms", "web1"}).out, HasSubstr("host2"));
}

TEST_F(Moves, PeopleReadHowTheMoveWent) {
  const auto ran = run({"migrate", "web1", "--to", "host2"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.err, "") << "no terminal, no progress";
  EXPECT_EQ(ran.out,
            "web1 moved from host1 to host2 (epoch 2)\n"
            "  blackout  11.5 ms (± 0.2 ms)\n"
            "  reached   after 74.0 ms\n"
            "\n"
            "  PHASE      AT    TOOK\n"
            "  flip   0.0 ms  1.2 ms\n");
}

TEST_F(Moves, AMoveThatDoesNotEndMovedIsAFailureWithItsReason) {
  const std::pair<v1::Outcome, const char*> ends[] = {
      {v1::OUTCOME_ABORTED, "aborted"}, {v1::OUTCOME_REFUSED, "refused"}, {v1::OUTCOME_UNDECIDED, "undecided"}};
  for (const auto& [outcome, word] : ends) {
    controller.on_loop([outcome = outcome](FakeFleet& fake) { fake.move_outcome = outcome; });
    const auto ran = run({"migrate", "web1", "--to", "host2", "-o", "json"});
    EXPECT_EQ(ran.status, 1);
    const auto result = boost::json::parse(ran.out);
    EXPECT_EQ(result.at("outcome"), word);
    EXPECT_EQ(result.at("detail"), "the standby did not accept in time");
  }
  EXPECT_THAT(run({"migrate", "web1", "--to", "host2"}).out, HasSubstr("web1 is paused on both host1 and host2"));
}

TEST_F(Moves, AVmThatStaysIsNotSaidToRun) {
  const std::pair<v1::Outcome, const char*> ends[] = {
      {v1::OUTCOME_ABORTED, "web1 was not moved and stays on host1 (epoch 2)\n"},
      {v1::OUTCOME_REFUSED, "web1 was refused by host2 and stays on host1 (epoch 3)\n"}};
  for (const auto& [outcome, headline] : ends) {
    controller.on_loop([outcome = outcome](FakeFleet& fake) {
      fake.move_outcome = outcome;
      fake.move_detail = "its guest ended on host1 during the cutover; start it: virsh start web1";
    });
    const auto ran = run({"migrate", "web1", "--to", "host2"});
    EXPECT_TRUE(ran.out.starts_with(headline)) << ran.out;
    EXPECT_THAT(ran.out,
                HasSubstr("  detail    its guest ended on host1 during the cutover; start it: virsh start web1\n"));
    EXPECT_THAT(ran.out, Not(HasSubstr("runs on")));
  }
}

TEST_F(Moves, WhatCannotBeginIsAnErrorWithRemedyAndNoDocument) {
  const auto shadowless = run({"cutover", "web1", "-o", "json"});
  EXPECT_EQ(shadowless.status, 1);
  EXPECT_EQ(shadowless.out, "");
  EXPECT_EQ(
      shadowless.err,
      "{\"error\":{\"code\":\"conflict\",\"message\":\"web1 has no shadow\",\"remedy\":\"warm one first: umbractl "
      "shadow keep web1, or umbractl migrate web1 --to HOST\"}}\n");
  for (const auto& verb : {std::vector<std::string>{"cutover", "nosuch"},
                           {"migrate", "nosuch", "--to", "host2"},
                           {"shadow", "keep", "nosuch"},
                           {"shadow", "drop", "nosuch"}}) {
    const auto unknown = run(verb);
    EXPECT_EQ(unknown.status, 1);
    EXPECT_EQ(unknown.err, "umbractl: no VM 'nosuch'\n  remedy: see umbractl vms\n");
  }
  EXPECT_EQ(run({"migrate", "web1", "--to", "mars"}).err, "umbractl: no host 'mars'\n  remedy: see umbractl hosts\n");
}

TEST_F(Moves, AControllerThatGoesAwayInTheMiddleIsUnreachable) {
  run({"shadow", "keep", "web1"});
  controller.on_loop([](FakeFleet& fake) { fake.breaks_during_moves = true; });
  const auto ran = run({"cutover", "web1"});
  EXPECT_EQ(ran.status, 3) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("the controller stops"));
}

TEST_F(Moves, ProgressIsALiveLineOnATerminalALinePerPhaseWhenVerboseElseSilence) {
  Process on_terminal(command({"migrate", "web1", "--to", "host2", "-o", "json"}), environment, true);
  const auto live = on_terminal.wait();
  EXPECT_EQ(live.status, 0);
  EXPECT_THAT(live.err, HasSubstr("\rweb1  precopy  ["));
  EXPECT_THAT(live.err, HasSubstr("75 %  192 MiB/256 MiB  50.0 MiB/s  dirty 8.00 MiB/s  ETA"));
  EXPECT_TRUE(live.err.ends_with("\r\x1b[K"));
  EXPECT_NO_THROW(boost::json::parse(live.out));

  const auto verbose = run({"migrate", "web1", "--to", "host1", "-v"});
  EXPECT_EQ(std::count(verbose.err.begin(), verbose.err.end(), '\n'), 1) << verbose.err;
  EXPECT_THAT(verbose.err, HasSubstr("web1  precopy"));
  EXPECT_THAT(run({"migrate", "web1", "--to", "host2"}).err, IsEmpty());
}

TEST_F(Moves, EvacuateShowsItsPlanAndWithDryRunNothingElse) {
  const auto plan = run({"evacuate", "host1", "--dry-run"});
  EXPECT_EQ(plan.status, 0);
  EXPECT_THAT(plan.out, HasSubstr("web1  host1  host2  256 MiB"));
  EXPECT_THAT(run({"vms"}).out, Not(HasSubstr("host2")));

  const auto done = run_json({"evacuate", "a"});
  EXPECT_EQ(done.at("dry_run"), false);
  EXPECT_EQ(done.at("plan").as_array().size(), 2U);
  EXPECT_EQ(done.at("moves").at(0).at("outcome"), "moved");
  EXPECT_EQ(done.at("moved"), 2);
  EXPECT_EQ(done.at("failed"), 0);
  EXPECT_EQ(done.at("complete"), true);
  EXPECT_EQ(run({"evacuate", "a"}).out, "no VM runs on a\n");
}

TEST_F(Moves, AnEvacuationThatLeavesAVmBehindFails) {
  controller.on_loop([](FakeFleet& fake) { fake.move_outcome = v1::OUTCOME_ABORTED; });
  const auto ran = run({"evacuate", "host1"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.out, HasSubstr("0 moved, 2 failed, 0 had nowhere to go"));
}

TEST_F(Moves, FencesAHostByItsAgentOrByAPersonsWord) {
  const auto refused = run({"fence", "host1"});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("umbractl fence host1 --confirmed"));
  EXPECT_THAT(run({"fence", "host1", "--confirmed", "--reason", "plug pulled"}).out,
              HasSubstr("host1 is fenced: confirmed by alice"));
  EXPECT_THAT(run({"fence", "--list"}).out, HasSubstr("plug pulled"));
  EXPECT_THAT(run({"hosts"}).out, HasSubstr("fenced"));
  EXPECT_EQ(run_json({"fence", "--list"}).at("agents").at(0), "host2");
  EXPECT_EQ(run_json({"restart", "web1"}).at("to"), "host2");
  EXPECT_EQ(run({"unfence", "host1"}).out, "host1 is not fenced any more\n");
  EXPECT_EQ(run({"fence"}).status, 2);
}

TEST_F(Moves, RestartsOnlyWhatAFencedHostHad) {
  const auto refused = run({"restart", "web1"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("umbractl fence host1"));
}

TEST_F(Moves, ShowsWhatEachSideKnowsBeforeItDecides) {
  const auto shown = run({"resolve", "web1"}).out;
  EXPECT_THAT(shown, HasSubstr("promised, epoch 7"));
  EXPECT_THAT(shown, HasSubstr("no answer"));
  EXPECT_THAT(run({"resolve", "web1", "--keep", "host1"}).out, HasSubstr("host1 runs it, in epoch 8"));
}

}  // namespace
}  // namespace umbra::cli::test
