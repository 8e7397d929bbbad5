// What goes wrong, told to people and to programs; and that nobody is shown a name of the wire's.
#include <regex>

#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Errors : public UmbractlTest {};

TEST_F(Errors, AForeignCaOfOnesOwnIsNotTheControllersRefusal) {
  const rpc::TestFleet other;
  become(other.issue({v1::ROLE_ADMIN, "alice", {}}));
  const auto ran = run({"vms"});
  EXPECT_EQ(ran.status, 3);
  EXPECT_THAT(ran.err, HasSubstr("the CA in " + environment["UMBRA_CA"] + " does not vouch for 127.0.0.1:"));
  EXPECT_THAT(ran.err, HasSubstr("(controller1): the certificate is not signed by this fleet's CA"));
  EXPECT_THAT(ran.err, Not(HasSubstr("refused")));
  EXPECT_THAT(ran.err, HasSubstr("remedy: name the CA of that node's fleet here"));
}

TEST_F(Errors, AMissingFileIsNamedWithItsOptionVariableAndKey) {
  EXPECT_EQ(run({"vms", "--ca", "/nonexistent.pem"}).err,
            "umbractl: the CA certificate /nonexistent.pem does not exist\n"
            "  remedy: correct --ca, or UMBRA_CA, or ca in " +
                (fleet.directory() / "umbra/umbractl.toml").string() + "\n");
  EXPECT_THAT(run({"vms", "--cert", "/nonexistent.pem"}).err, HasSubstr("remedy: correct --cert, or UMBRA_CERT"));
  EXPECT_THAT(run({"vms", "--key", "/nonexistent.pem"}).err, HasSubstr("the private key /nonexistent.pem does not"));
}

TEST_F(Errors, AWrongValueIsToldByWhatIsExpected) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"maintenance", "remove", "x"}, "ID must be a number above 0, not 'x'"},
      {{"maintenance", "remove", "-1"}, "ID must be a number above 0, not '-1'"},
      {{"maintenance", "remove", "1.5"}, "ID must be a whole number, not '1.5'"},
      {{"forecast", "web1", "--capacity", "x"}, "--capacity must be a number, not 'x'"},
      {{"shadow", "keep", "web1", "--tier", "x"}, "--tier must be one of staged, warm, hot, not 'x'"},
  };
  for (const auto& [words, told] : cases) {
    const auto ran = run(words);
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.err, HasSubstr(told));
  }
}

TEST_F(Errors, ProgramsGetOneObjectOnStandardError) {
  const auto error_of = [&](std::vector<std::string> words, int status) {
    words.insert(words.end(), {"-o", "json"});
    const auto ran = run(words);
    EXPECT_EQ(ran.status, status);
    EXPECT_EQ(ran.out, "");
    return boost::json::parse(ran.err).at("error").as_object();
  };
  const auto unknown = error_of({"why", "nosuch"}, 1);
  EXPECT_EQ(unknown.at("code"), "not_found");
  EXPECT_EQ(unknown.at("message"), "no VM 'nosuch'");
  EXPECT_EQ(unknown.at("remedy"), "see umbractl vms");
  EXPECT_EQ(error_of({"vmz"}, 2).at("code"), "invalid");
  EXPECT_EQ(error_of({"vms", "--timeout", "0s"}, 2).at("code"), "invalid");
  environment["UMBRA_CONTROLLER"] = "127.0.0.1:1";
  EXPECT_EQ(error_of({"vms"}, 3).at("code"), "unavailable");
}

TEST_F(Errors, WhatIsNotKnownIsADash) {
  EXPECT_THAT(run({"vms"}).out, HasSubstr(" 0.92 "));
  controller.on_loop([](FakeFleet& fake) { fake.lose("host1"); });
  EXPECT_THAT(run({"vms"}).out, AllOf(HasSubstr("unknown"), Not(HasSubstr("0.92"))));
}

TEST_F(Errors, HelpAndListAreUnderstoodAsVirshHasThem) {
  EXPECT_EQ(run({"help"}).out, run({"--help"}).out);
  EXPECT_EQ(run({"help", "shadow", "keep"}).out, run({"shadow", "keep", "--help"}).out);
  EXPECT_EQ(run({"help", "cutover", "web1"}).out, run({"cutover", "--help"}).out);
  EXPECT_THAT(run({"help", "cutvoer"}).err, HasSubstr("did you mean 'cutover'?"));
  EXPECT_EQ(run({"list", "--all"}).out, run({"vms"}).out);
}

TEST_F(Errors, NoNameOfTheWireIsShown) {
  controller.on_loop([](FakeFleet& fake) { fake.happen(v1::EVENT_KIND_VM, "web1", "started"); });
  const std::regex raw("\\b[A-Z]+_[A-Z_]+\\b");
  const std::vector<std::vector<std::string>> verbs{{"shadow", "keep", "web1"},
                                                    {"hosts"},
                                                    {"vms"},
                                                    {"zones"},
                                                    {"shadows"},
                                                    {"events"},
                                                    {"audit"},
                                                    {"why", "web1"},
                                                    {"forecast", "web1"},
                                                    {"doctor"},
                                                    {"resolve", "web1"},
                                                    {"evacuate", "host1", "--dry-run"},
                                                    {"zone", "set", "a", "--health", "1"},
                                                    {"cutover", "web1"},
                                                    {"migrate", "web1", "--to", "host1"},
                                                    {"maintenance", "add", "host1", "--begins", "now", "--for", "1h"},
                                                    {"maintenance", "list"},
                                                    {"fence", "host1", "--confirmed"},
                                                    {"fence", "--list"},
                                                    {"restart", "web1"},
                                                    {"invite", "host9"}};
  for (auto words : verbs) {
    for (const bool json : {false, true}) {
      if (json) words.insert(words.end(), {"-o", "json"});
      const auto ran = run(words);
      EXPECT_FALSE(ran.out.empty() && ran.err.empty());
      EXPECT_FALSE(std::regex_search(ran.out + ran.err, raw)) << ran.out << ran.err;
    }
  }
}

}  // namespace
}  // namespace umbra::cli::test
