// umbractl's own shell.
#include <csignal>

#include "cli/line_editor.hpp"
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Shell : public UmbractlTest {
 protected:
  Shell() { environment["XDG_STATE_HOME"] = fleet.directory().string(); }
  Ran piped(const std::string& lines) {
    const auto script = fmt::format("{} shell < {}", umbractl_path().string(), write_file("lines", lines));
    return Process({"/bin/sh", "-c", script}, environment).wait();
  }
};

TEST_F(Shell, TakesLinesApartAsShDoes) {
  EXPECT_THAT(*words_of("cutover web1 --reason 'rack 3 is hot'"),
              ElementsAre("cutover", "web1", "--reason", "rack 3 is hot"));
  EXPECT_FALSE(words_of("why 'web1"));
  EXPECT_THAT(words_typed("shadow "), ElementsAre("shadow", ""));
  EXPECT_THAT(words_typed("shadow ke"), ElementsAre("shadow", "ke"));
  EXPECT_THAT(words_typed(""), ElementsAre(""));
}

TEST_F(Shell, RunsOneVerbAfterTheOther) {
  const auto ran =
      piped("# a comment\n\nzone set a --health 40% --reason 'chiller 2'\nwhy nosuch\nversion\nexit\nvms\n");
  EXPECT_EQ(ran.status, 0) << "of the last";
  EXPECT_THAT(ran.out, HasSubstr("zone a: health 0.40"));
  EXPECT_THAT(ran.out, HasSubstr("controller  "));
  EXPECT_THAT(ran.out, testing::Not(HasSubstr("NAME"))) << "after exit";
  EXPECT_EQ(ran.err, "umbractl: no VM 'nosuch'\n  remedy: see umbractl vms\n");
  EXPECT_EQ(piped("why nosuch\n").status, 1);
}

TEST_F(Shell, OpensOnATerminalAndCompletesAndRemembers) {
  Process shell(command({}), environment, false, true);
  shell.read_until("umbra> ");
  shell.type("shadow k\t");
  shell.read_until("eep ");  // of keep, as far as it was not typed
  shell.type("w\t");
  shell.read_until("eb1 ");
  shell.type("--no-wait\n");
  shell.read_until("is staging");
  shell.read_until("umbra> ");
  shell.type("events --follow\n");
  controller.on_loop([](FakeFleet& fake) { fake.happen(v1::EVENT_KIND_ZONE, "", "zone a sinks"); });
  shell.read_until("zone a sinks");
  shell.type("\x03");  // Ctrl-C ends the verb, not the shell
  shell.read_until("umbra> ");
  shell.type("half a line");
  shell.read_until("line");
  shell.type("\x03");  // and here the line
  shell.read_until("umbra> ");
  shell.type("\x04");
  EXPECT_EQ(shell.wait().status, 0);
  std::ifstream history(fleet.directory() / "umbra/history");
  const std::string kept(std::istreambuf_iterator<char>(history), {});
  EXPECT_THAT(kept, HasSubstr("shadow"));
}

}  // namespace
}  // namespace umbra::cli::test
