// Contexts: several fleets, one umbractl.
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ContextVerbs : public UmbractlTest {
 protected:
  ContextVerbs() {
    other.on_loop([](FakeFleet& fake) { fake.forge("web7"); });
    EXPECT_EQ(run({"context", "add", "one"}).status, 0) << "what the environment says";
    EXPECT_EQ(run({"context", "add", "two", "--controller", other.address()}).status, 0);
  }
  void without_environment() {
    for (const auto* name : {"UMBRA_CONTROLLER", "UMBRA_CA", "UMBRA_CERT", "UMBRA_KEY"}) environment.erase(name);
  }

  FakeController other{fleet.node(v1::ROLE_CONTROLLER, "controller2")};
};

TEST_F(ContextVerbs, AreAddedListedAndRemoved) {
  EXPECT_THAT(run({"context", "list"}).out, AllOf(HasSubstr("one   " + controller.address()), Not(HasSubstr("*"))));
  EXPECT_EQ(run_json({"context", "list"}).at("contexts").at(1).at("controller").as_string(), other.address());
  const auto twice = run({"context", "add", "one"});
  EXPECT_EQ(twice.status, 1);
  EXPECT_THAT(twice.err, HasSubstr("first: umbractl context remove one"));
  EXPECT_EQ(run({"context", "remove", "one"}).out, "context one removed\n");
  EXPECT_EQ(run({"context", "remove", "one"}).err,
            "umbractl: no context 'one'\n  remedy: see `umbractl context list`\n");
  for (const auto* wrong : {"../up", "", ".hidden", "a/b"})
    EXPECT_NE(run({"context", "add", wrong}).status, 0) << wrong;
}

TEST_F(ContextVerbs, WhatIsNamedGoesBeforeTheEnvironmentAndThatBeforeWhatIsInUse) {
  EXPECT_THAT(run({"vms", "--context", "two"}).out, HasSubstr("web7")) << "though UMBRA_CONTROLLER names another";
  EXPECT_EQ(run({"context", "use", "two"}).out, "two is in use\n");
  EXPECT_THAT(run({"vms"}).out, Not(HasSubstr("web7"))) << "the environment names the first";
  without_environment();
  EXPECT_THAT(run({"vms"}).out, HasSubstr("web7"));
  EXPECT_THAT(run({"context", "list"}).out, HasSubstr("*  two   "));
  EXPECT_THAT(run({"vms", "--context", "one"}).out, Not(HasSubstr("web7")));
  environment["UMBRA_CONTEXT"] = "one";
  EXPECT_THAT(run({"vms"}).out, Not(HasSubstr("web7")));
  environment.erase("UMBRA_CONTEXT");
  EXPECT_EQ(run({"context", "use", "--none"}).status, 0);
  EXPECT_THAT(run({"vms"}).err, HasSubstr("no controller is configured"));
  EXPECT_EQ(run({"vms", "--context", "three"}).status, 2);
  EXPECT_THAT(run({"vms", "--context", "one", "--config", "/dev/null"}).err, HasSubstr("leave one of them out"));
}

TEST_F(ContextVerbs, OneThatIsGoneDoesNotStandInTheWayOfAnother) {
  without_environment();
  run({"context", "use", "two"});
  std::filesystem::remove(fleet.directory() / "umbra/contexts/two.toml");
  EXPECT_EQ(run({"vms"}).err, "umbractl: no context 'two'\n  remedy: see `umbractl context list`\n");
  EXPECT_EQ(run_json({"context", "list"}).at("contexts").as_array().size(), 1U);
  EXPECT_EQ(run({"completion", "bash"}).status, 0) << "as a package is built";
  EXPECT_EQ(run({"context", "use", "one"}).status, 0);
  EXPECT_EQ(run({"vms"}).status, 0);
}

TEST_F(ContextVerbs, NeedAllThatAConnectionNeeds) {
  environment.erase("UMBRA_KEY");
  const auto incomplete = run({"context", "add", "three"});
  EXPECT_EQ(incomplete.status, 2);
  EXPECT_THAT(incomplete.err, HasSubstr("no private key (key) is configured"));
  EXPECT_EQ(run({"context", "use"}).status, 2);
}

TEST_F(ContextVerbs, AreCompleted) {
  EXPECT_EQ(run({"complete", "--", "context", "use", "t"}).out, "two\n");
  EXPECT_EQ(run({"complete", "--", "--context", "two", "why", "w"}).out, "web7\n");
}

}  // namespace
}  // namespace umbra::cli::test
