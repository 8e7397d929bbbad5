// Lists: narrowed, sorted, watched; and one thing of them.
#include <csignal>

#include "cli/output/table.hpp"
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Lists : public UmbractlTest {
 protected:
  /// The names in the list that these words ask for.
  std::vector<std::string> names(std::vector<std::string> words) const {
    const auto list = run_json(std::move(words));
    std::vector<std::string> found;
    for (const auto& each : list.as_object().begin()->value().as_array()) {
      const auto& one = each.as_object();
      found.emplace_back(one.contains("vm")     ? one.at("vm").at("name").as_string()
                         : one.contains("node") ? one.at("node").at("name").as_string()
                         : one.contains("name") ? one.at("name").as_string()
                                                : one.at("vm_name").as_string());
    }
    return found;
  }
};

TEST_F(Lists, AreNarrowedByHostZoneAccountAndState) {
  run({"migrate", "db1", "--to", "host2"});
  controller.on_loop([](FakeFleet& fake) { fake.own("web1", "acme"); });
  EXPECT_THAT(names({"vms"}), ElementsAre("db1", "web1"));
  EXPECT_THAT(names({"vms", "--host", "host2"}), ElementsAre("db1"));
  EXPECT_THAT(names({"vms", "--zone", "a"}), ElementsAre("web1"));
  EXPECT_THAT(names({"vms", "--account", "acme"}), ElementsAre("web1"));
  EXPECT_THAT(names({"vms", "--zone", "a", "--host", "host2"}), ElementsAre());
  EXPECT_EQ(run({"vms", "--host", "mars"}).out, "no VM to show\n");
  controller.on_loop([](FakeFleet& fake) { fake.lose("host1"); });
  EXPECT_THAT(names({"vms", "--state", "unknown"}), ElementsAre("web1"));
  EXPECT_THAT(names({"hosts", "--state", "down"}), ElementsAre("host1"));
  EXPECT_THAT(names({"hosts", "--zone", "b"}), ElementsAre("host2"));
  run({"shadow", "keep", "web1", "--to", "host2"});
  EXPECT_THAT(names({"shadows", "--host", "host2", "--state", "warm"}), ElementsAre("web1"));
  EXPECT_THAT(names({"shadows", "--state", "hot"}), ElementsAre());
  EXPECT_THAT(run({"vms", "--state", "dead"}).err, HasSubstr("--state must be one of running, paused, shut_off"));
}

TEST_F(Lists, AreSortedByTheNameOrByAColumn) {
  EXPECT_THAT(names({"vms", "--reverse"}), ElementsAre("web1", "db1"));
  EXPECT_THAT(names({"vms", "--sort", "move", "--reverse"}), ElementsAre("web1", "db1"));
  EXPECT_THAT(names({"vms", "--sort", "move"}), ElementsAre("db1", "web1"));
  EXPECT_THAT(names({"vms", "--sort", "cpu"}), ElementsAre("web1", "db1")) << "unknown comes last";
  EXPECT_THAT(names({"zones", "--sort", "hosts-up"}), ElementsAre("a", "b"));
  const auto wrong = run({"vms", "--sort", "size"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.err, HasSubstr("no column 'size'; there are name, state, host"));
}

TEST_F(Lists, AreWatchedUntilInterrupted) {
  Process watch(command({"vms", "--watch", "100ms", "-o", "json"}), environment);
  EXPECT_EQ(boost::json::parse(watch.read_line()).at("vms").as_array().size(), 2U);
  controller.on_loop([](FakeFleet& fake) { fake.lose("host1"); });
  while (boost::json::parse(watch.read_line()).at("vms").at(1).at("vm").at("state") != "unknown") {
  }
  watch.signal(SIGINT);
  const auto ended = watch.wait();
  EXPECT_EQ(ended.status, 130);
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(run({"vms", "--watch", "often"}).err, HasSubstr("'often' are no seconds"));
  EXPECT_EQ(run({"vms", "--watch", "0"}).status, 2);
}

TEST_F(Lists, AreRedrawnOnATerminalAndAppendedElsewhere) {
  Process piped(command({"vms", "--watch", "100ms"}), environment);
  EXPECT_THAT(piped.read_line(), HasSubstr("20"));
  EXPECT_THAT(piped.read_line(), testing::StartsWith("NAME  STATE"));
  Process shown(command({"vms", "--watch", "100ms"}), environment, false, true);
  EXPECT_THAT(shown.read_line(), testing::StartsWith("\x1b[H\x1b[J"));
}

TEST_F(Lists, FitTheTerminalAndAreWholeElsewhere) {
  const std::string refusal(100, 'x');
  controller.on_loop([&](FakeFleet& fake) { fake.refuse("web1", refusal); });
  EXPECT_THAT(run({"vms"}).out, HasSubstr("refused: " + refusal));
  const auto narrow = Process(command({"vms"}), environment, false, true).wait();
  EXPECT_THAT(narrow.out, AllOf(HasSubstr("refused: x"), HasSubstr("x…"), Not(HasSubstr(refusal))));
}

TEST_F(Lists, EventsAreNarrowedByTimeKindHostAndSeverity) {
  controller.on_loop([](FakeFleet& fake) {
    fake.happen(v1::EVENT_KIND_VM, "web1", "started");
    fake.happen(v1::EVENT_KIND_HOST, "", "is down", "host1", v1::SEVERITY_ALERT);
    fake.happen(v1::EVENT_KIND_SHADOW, "web1", "is warm", "host1");
  });
  const auto texts = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "events");
    std::vector<std::string> found;
    const auto list = run_json(std::move(words));
    for (const auto& event : list.at("events").as_array()) found.emplace_back(event.at("text").as_string());
    return found;
  };
  EXPECT_THAT(texts({"--kind", "vm"}), ElementsAre("started"));
  EXPECT_THAT(texts({"--host", "host1"}), ElementsAre("is down", "is warm"));
  EXPECT_THAT(texts({"--host", "host1", "--last", "1"}), ElementsAre("is warm")) << "of those that pass";
  EXPECT_THAT(texts({"--severity", "warning"}), ElementsAre("is down")) << "or worse";
  EXPECT_THAT(texts({"--since", "2026-05-01T12:00:00Z"}), ElementsAre("started", "is down", "is warm"));
  EXPECT_THAT(texts({"--since", "2026-05-01T12:00:01Z"}), ElementsAre());
  EXPECT_THAT(run({"events", "--since", "30"}).err, HasSubstr("--since: '30' is neither a duration with a unit"));
  EXPECT_THAT(run({"events", "--kind", "dog"}).err, HasSubstr("--kind must be one of host, vm, shadow, cutover"));
}

TEST_F(Lists, FitEightyColumns) {
  environment["PATH"] = umbractl_path().parent_path().string() + ":/usr/bin:/bin";
  environment["NO_COLOR"] = "1";
  run({"shadow", "keep", "web1", "--to", "host2"});
  run({"zone", "set", "a", "--health", "0.4", "--reason", "chiller 2 failed and chiller 1 is being repaired"});
  for (const auto* verb : {"vms", "hosts", "shadows", "zones"}) {
    const auto narrow = fmt::format("stty cols 80; exec umbractl {}", verb);
    const auto ran = Process({"/bin/sh", "-c", narrow}, environment, false, true).wait();
    std::istringstream lines(ran.out);
    // The terminal ends lines with "\r\n".
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), 80U + 1) << ran.out;
  }
}

TEST_F(Lists, OneVmIsShownLineByLine) {
  run({"shadow", "keep", "web1", "--to", "host2"});
  const auto shown = run({"vm", "show", "web1"});
  EXPECT_THAT(shown.out, AllOf(HasSubstr("name:          web1\n"), HasSubstr("state:         running\n"),
                               HasSubstr("cpu:           0.92\n"), HasSubstr("move:          60 %\n"),
                               HasSubstr("shadow on:     host2\n"), Not(HasSubstr("mac:"))));
  EXPECT_EQ(run_json({"vm", "show", "uuid-of-web1"}).at("vm").at("name"), "web1");
  EXPECT_EQ(run({"vm", "show", "nosuch"}).err, "umbractl: no VM 'nosuch'\n  remedy: see umbractl vms\n");
}

TEST_F(Lists, OneShadowIsShownLineByLine) {
  const auto none = run({"shadow", "show", "web1"});
  EXPECT_EQ(none.status, 1);
  EXPECT_EQ(none.err, "umbractl: web1 has no shadow\n  remedy: make one: umbractl shadow keep web1\n");
  run({"shadow", "keep", "web1", "--to", "host2"});
  EXPECT_THAT(run({"shadow", "show", "web1"}).out,
              AllOf(HasSubstr("from:             host1\n"), HasSubstr("is:               warm\n"),
                    HasSubstr("refreshed every:  10 s\n")));
  EXPECT_EQ(run_json({"shadow", "show", "web1"}).at("standby"), "host2");
  EXPECT_EQ(run({"shadow", "show", "nosuch"}).status, 1);
}

}  // namespace
}  // namespace umbra::cli::test
