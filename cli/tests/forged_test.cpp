// Names and texts that others wrote, shown by umbractl itself: none may forge a line, steer the terminal, or break
// JSON.
#include <algorithm>

#include "base/printable.hpp"
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Forged : public UmbractlTest {};

const char* const kForgeries[] = {
    "x\n<0>host1 is gone\nweb9  running",
    "x\r\x1b[2J\x1b[Hx\x1b]0;title\x07x",
    "x\u009b31mx\u0085x\u2028x\u2029x",
    "x\u202etxt.exe\u2066x\u2069x\u200bx\u200fx\u061cx\ufeffx",
    "<0>x",
    "$(touch /tmp/x)`id`;x",
};

/// Every character may be shown: nothing but line ends steers.
void expect_harmless(const std::string& text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto next = decode_utf8(rest);
    ASSERT_GT(next.length, 0U) << "no UTF-8 in " << printable(text);
    ASSERT_TRUE(next.point == '\n' || !is_steering(next.point)) << printable(text);
    rest.remove_prefix(next.length);
  }
  EXPECT_FALSE(text.starts_with("<0>"));
  EXPECT_THAT(text, Not(HasSubstr("\n<0>")));
}

TEST_F(Forged, NoVerbShowsAForgedTextAsItIs) {
  const std::vector<std::vector<std::string>> verbs{{"vms"},
                                                    {"shadows"},
                                                    {"zones"},
                                                    {"hosts"},
                                                    {"events"},
                                                    {"audit", "--since", "2020-01-01T00:00:00Z"},
                                                    {"doctor"},
                                                    {"why", "web1"},
                                                    {"vm", "show", "web1"},
                                                    {"shadow", "show", "web1"},
                                                    {"cutover", "web1"},
                                                    {"maintenance", "list"}};
  for (const std::string forgery : kForgeries) {
    controller.on_loop([&](FakeFleet& fake) {
      fake.forge(forgery);
      return 0;
    });
    for (const auto& verb : verbs) {
      const auto shown = run(verb);
      expect_harmless(shown.out);
      expect_harmless(shown.err);
      EXPECT_THAT(shown.out, Not(HasSubstr("\nweb9"))) << verb.front();
      auto as_json = verb;
      as_json.insert(as_json.end(), {"-o", "json"});
      const auto json = run(as_json);
      expect_harmless(json.out);
      if (json.out.empty()) continue;  // an error, told above
      boost::system::error_code bad;
      boost::json::parse(json.out, bad);
      EXPECT_FALSE(bad) << verb.front() << ": " << json.out;
    }
  }
}

TEST_F(Forged, AnErrorOfTheControllerIsOneLine) {
  const auto shown = run({"why", "nobody\n<0>fatal\x1b[2J"});
  EXPECT_EQ(shown.status, 1);
  expect_harmless(shown.err);
  EXPECT_EQ(std::count(shown.err.begin(), shown.err.end(), '\n'), 2) << "the error and its remedy: " << shown.err;
}

TEST_F(Forged, TheShellIsOfferedNoNameThatItWouldRun) {
  controller.on_loop([&](FakeFleet& fake) {
    fake.forge("$(touch${IFS}pwned)");
    return 0;
  });
  const auto names = run({"complete", "--", "why", ""});
  EXPECT_EQ(names.out, "db1\n");
  const auto script = write_file("completion.bash", run({"completion", "bash"}).out);
  controller.on_loop([&](FakeFleet& fake) {
    fake.forge("web1");
    return 0;
  });
  environment["PATH"] = umbractl_path().parent_path().string() + ":/usr/bin:/bin";
  const auto completed = Process({"/bin/bash", "-c",
                                  "source " + script +
                                      "; COMP_WORDS=(umbractl why w); COMP_CWORD=2; _umbractl; "
                                      "echo ${COMPREPLY[@]}"},
                                 environment)
                             .wait();
  EXPECT_EQ(completed.out, "web1\n") << completed.err;
}

}  // namespace
}  // namespace umbra::cli::test
