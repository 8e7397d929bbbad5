// Verbs that look, what operators and feeds tell, the command line itself, and whom the controller lets in.
#include <csignal>

#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Umbractl : public UmbractlTest {};

TEST_F(Umbractl, ListsTheFleetAsTablesAndAsJson) {
  EXPECT_THAT(run({"hosts"}).out, HasSubstr("host1  host  a     up"));
  EXPECT_THAT(run({"zones"}).out, HasSubstr("NAME  HEALTH"));
  const auto vms = run({"vms"});
  EXPECT_THAT(vms.out, HasSubstr("web1  running  host1  a"));
  EXPECT_THAT(vms.out, HasSubstr("60 %"));
  EXPECT_THAT(vms.out, Not(HasSubstr("\x1b["))) << "no terminal, no colour";

  EXPECT_EQ(run_json({"hosts"}).at("hosts").at(0).at("node").at("name"), "host1");
  EXPECT_EQ(run_json({"vms", "web1"}).at("vms").as_array().size(), 1U);
  EXPECT_EQ(run_json({"zones"}).at("zones").at(1).at("name"), "b");
  EXPECT_TRUE(run_json({"shadows"}).at("shadows").as_array().empty());
}

TEST_F(Umbractl, WhyExplainsCauseByCauseWithShares) {
  const auto words = run({"why", "web1"}).out;
  EXPECT_THAT(words, HasSubstr("web1 on host1 (zone a) has a migration probability of 60 %."));
  EXPECT_THAT(words, HasSubstr("   76 %  zone health, 50 % by itself: zone a is at 0.40\n"));
  EXPECT_THAT(words, HasSubstr("   24 %  capacity, 20 % by itself: demand exceeds capacity"));
  EXPECT_THAT(words, HasSubstr("Nothing comes from: maintenance."));
  EXPECT_THAT(words, HasSubstr("tier warm on host2"));
  EXPECT_THAT(words, HasSubstr("  a     none   256 MiB    -     -  never      no other host here\n"));
  EXPECT_THAT(words, HasSubstr("  b     host2  256 MiB"));
  EXPECT_THAT(run({"why", "db1"}).out, HasSubstr("Nothing speaks for a move."));

  const auto json = run_json({"why", "web1"});
  EXPECT_NEAR(json.at("vm").at("causes").at(0).at("share").as_double(), 0.756, 0.001);
  EXPECT_NEAR(json.at("decisions").at(0).at("causes").at(1).at("share").as_double(), 0.244, 0.001);
}

TEST_F(Umbractl, EventsAreListedAndFollowedOneObjectALine) {
  controller.on_loop([](FakeFleet& fake) {
    fake.happen(v1::EVENT_KIND_VM, "web1", "started");
    fake.happen(v1::EVENT_KIND_VM, "db1", "started");
  });
  EXPECT_THAT(run({"events"}).out, HasSubstr("2026-05-01 12:00:00  info     vm        web1              started\n"));
  EXPECT_EQ(run_json({"events", "--vm", "db1"}).at("events").as_array().size(), 1U);
  EXPECT_EQ(run_json({"events", "--last", "1"}).at("events").at(0).at("vm"), "db1");

  Process follower(command({"events", "--follow", "--last", "1", "-o", "json"}), environment);
  EXPECT_EQ(boost::json::parse(follower.read_line()).at("id"), 2);
  controller.on_loop([](FakeFleet& fake) { fake.happen(v1::EVENT_KIND_ZONE, "", "zone a sinks"); });
  EXPECT_EQ(boost::json::parse(follower.read_line()).at("text"), "zone a sinks");
  follower.signal(SIGINT);
  EXPECT_EQ(follower.wait().status, 130);
}

TEST_F(Umbractl, ZoneHealthIsSetAsNumberOrPercentage) {
  EXPECT_EQ(run({"zone", "set", "a", "--health", "40%", "--reason", "chiller 2 failed"}).out,
            "zone a: health 0.40 (set 0.40, heartbeats 1.00)\n");
  EXPECT_EQ(run_json({"zone", "set", "a", "--health", "0.25"}).at("set_by"), "alice");
  const auto unknown = run({"zone", "set", "mars", "--health", "1"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_EQ(unknown.err, "umbractl: no zone 'mars'\n  remedy: see umbractl zones\n");
  for (const auto* wrong : {"1.5", "-1", "fine", "nan", "140%", ""}) {
    const auto ran = run({"zone", "set", "a", fmt::format("--health={}", wrong)});
    EXPECT_EQ(ran.status, 2) << wrong;
  }
}

TEST_F(Umbractl, MaintenanceIsAddedListedAndRemoved) {
  EXPECT_EQ(run({"maintenance", "list"}).out, "no maintenance is planned\n");
  const auto window = run_json(
      {"maintenance", "add", "host1", "--begins", "2100-01-01T22:00:00+02:00", "--for", "2h", "--reason", "firmware"});
  EXPECT_EQ(window.at("id"), 1);
  EXPECT_EQ(window.at("begins_unix_ms"), 4'102'516'800'000);
  EXPECT_EQ(window.at("ends_unix_ms"), 4'102'524'000'000);
  EXPECT_THAT(run({"maintenance", "list"}).out,
              HasSubstr("1  host1         2100-01-01 20:00:00  2100-01-01 22:00:00  2 h"));
  EXPECT_EQ(run({"maintenance", "remove", "1"}).out, "maintenance 1 removed\n");
  const auto again = run({"maintenance", "remove", "1"});
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(again.err, "umbractl: no maintenance window 1\n  remedy: see umbractl maintenance list\n");
  EXPECT_EQ(run({"maintenance", "add", "mars", "--begins", "now", "--for", "1h"}).err,
            "umbractl: no host or zone 'mars'\n  remedy: see umbractl hosts and umbractl zones\n");

  EXPECT_THAT(run({"maintenance", "add", "host1", "--begins", "noon", "--for", "1h"}).err,
              HasSubstr("--begins: 'noon' is not a time"));
  EXPECT_THAT(run({"maintenance", "add", "host1", "--begins", "now", "--ends", "2020-01-01T00:00:00Z"}).err,
              HasSubstr("ends before it begins"));
  EXPECT_EQ(run({"maintenance", "add", "host1", "--begins", "now"}).status, 2);
}

TEST_F(Umbractl, TelemetryIsImportedInBatchesAndAgainReplacesItself) {
  std::string rows = "vm,metric,timestamp,value\n";
  for (int i = 0; i < 12'000; ++i)
    rows += fmt::format("{},cpu,{},0.5\n", i % 2 == 0 ? "web1" : "uuid-of-db1", 1'700'000'000 + i);
  const auto file = write_file("history.csv", rows);
  const auto first = run_json({"telemetry", "import", file});
  EXPECT_EQ(first.at("rows"), 12'000);
  EXPECT_EQ(first.at("stored"), 12'000);
  EXPECT_THAT(controller.on_loop([](FakeFleet& fake) { return fake.batches; }), ElementsAre(5'000, 5'000, 2'000));
  EXPECT_THAT(run({"telemetry", "import", file}).out,
              HasSubstr("12000 rows of 2 VMs imported, 0 new and 12000 replaced"));
  EXPECT_EQ(controller.on_loop([](FakeFleet& fake) { return fake.telemetry.size(); }), 12'000U);
}

TEST_F(Umbractl, NothingOfABadTelemetryFileIsImported) {
  std::string rows;
  for (int i = 0; i < 6'000; ++i) rows += fmt::format("web1,cpu,{},0.5\n", 1'700'000'000 + i);
  const auto malformed = run({"telemetry", "import", write_file("bad.csv", rows + "web1,cpu,noon,1\n")});
  EXPECT_EQ(malformed.status, 2);
  EXPECT_THAT(malformed.err, HasSubstr("bad.csv:6001: column 3 (timestamp): 'noon' is not a time"));
  EXPECT_THAT(malformed.err, HasSubstr("remedy: write it like"));
  const auto unknown = run({"telemetry", "import", write_file("unknown.csv", rows + "wbe1,cpu,1,1\n")});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_THAT(unknown.err, HasSubstr("unknown.csv:6001: column 1 (vm): the fleet has no VM 'wbe1'"));
  EXPECT_TRUE(controller.on_loop([](FakeFleet& fake) { return fake.telemetry.empty(); }));
  EXPECT_EQ(run({"telemetry", "import", write_file("empty.csv", "")}).status, 2);
  EXPECT_EQ(run({"telemetry", "import", "/nonexistent.csv"}).status, 2);
  EXPECT_THAT(run({"telemetry", "import", fleet.directory().string()}).err, HasSubstr("not a regular file"));
}

TEST_F(Umbractl, DoctorFailsWhenACheckFailsAndShowsTheRemedy) {
  EXPECT_EQ(run_json({"doctor"}).at("ok"), true);
  become(fleet.issue({v1::ROLE_ADMIN, "dave", {}}, std::chrono::hours(24 * 7)));
  const auto expiring = run({"doctor"});
  EXPECT_EQ(expiring.status, 1);
  EXPECT_THAT(expiring.out, HasSubstr("umbractl, certificate: renew it with `umbractl pki renew`"));
  become(alice);
  controller.on_loop([](FakeFleet& fake) { fake.healthy = false; });
  const auto ill = run({"doctor"});
  EXPECT_EQ(ill.status, 1);
  EXPECT_THAT(ill.out, HasSubstr("host1, hold: install QEMU 8.1 or newer"));
  environment["UMBRA_CONTROLLER"] = "127.0.0.1:1";
  const auto alone = run({"doctor"});
  EXPECT_EQ(alone.status, 3);
  EXPECT_THAT(alone.out, HasSubstr("FAILED"));
}

TEST_F(Umbractl, VersionNeedsNoControllerButNamesItsVersionWhenThereIsOne) {
  EXPECT_EQ(run_json({"version"}).at("controller"), UMBRA_VERSION);
  environment.erase("UMBRA_CONTROLLER");
  const auto alone = run_json({"version"});
  EXPECT_EQ(alone.at("client"), UMBRA_VERSION);
  EXPECT_TRUE(alone.at("controller").is_null());
  environment["UMBRA_CONTROLLER"] = "127.0.0.1:1";
  EXPECT_THAT(run({"version"}).out, HasSubstr("controller  unknown: "));
}

TEST_F(Umbractl, ADeadControllerIsUnreachable) {
  environment["UMBRA_CONTROLLER"] = "127.0.0.1:1";
  const auto ran = run({"vms"});
  EXPECT_EQ(ran.status, 3);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(ran.err, HasSubstr("\n  remedy: "));
  environment["UMBRA_CONTROLLER"] = "no address";
  EXPECT_EQ(run({"vms"}).status, 2);
}

TEST_F(Umbractl, AViewerMayLookButNotTouch) {
  become(fleet.issue({v1::ROLE_VIEWER, "bob", {}}));
  EXPECT_EQ(run({"vms"}).status, 0);
  for (const auto& verb : {std::vector<std::string>{"cutover", "web1"},
                           {"migrate", "web1", "--to", "host2"},
                           {"shadow", "drop", "web1"},
                           {"zone", "set", "a", "--health", "0"}}) {
    const auto denied = run(verb);
    EXPECT_EQ(denied.status, 1) << denied.err;
    EXPECT_THAT(denied.err, HasSubstr("viewer"));
  }
  EXPECT_THAT(run({"vms"}).out, Not(HasSubstr("host2")));
}

TEST_F(Umbractl, AStrangerAndAFalseControllerAreTurnedAway) {
  const rpc::TestFleet other;
  auto mixed = other.issue({v1::ROLE_ADMIN, "mallory", {}});
  become(mixed);
  EXPECT_EQ(run({"vms"}).status, 3) << "the controller is not of this CA";
  const FakeController impostor(fleet.node(v1::ROLE_AGENT, "host9"));
  become(alice);
  environment["UMBRA_CONTROLLER"] = impostor.address();
  EXPECT_EQ(run({"vms"}).status, 3) << "an agent's certificate does not make a controller";
}

TEST_F(Umbractl, MissingCredentialsAreAUsageErrorThatSaysHow) {
  environment.erase("UMBRA_KEY");
  const auto ran = run({"vms"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("no private key (key) is configured"));
  EXPECT_THAT(ran.err, HasSubstr("UMBRA_KEY"));
  environment["UMBRA_KEY"] = "/nonexistent.pem";
  EXPECT_EQ(run({"vms"}).status, 2);
}

TEST_F(Umbractl, MistypedVerbsAndOptionsGetASuggestion) {
  EXPECT_EQ(run({"vmz"}).err, "umbractl: no verb 'vmz'; did you mean 'vms'?\n  remedy: see `umbractl --help`\n");
  EXPECT_THAT(run({"cutvoer", "web1"}).err, HasSubstr("did you mean 'cutover'?"));
  EXPECT_THAT(run({"shadow", "kep", "web1"}).err, HasSubstr("shadow: no verb 'kep'; did you mean 'keep'?"));
  EXPECT_THAT(run({"cutover", "web1", "--resaon", "x"}).err,
              HasSubstr("no option '--resaon'; did you mean '--reason'?"));
  EXPECT_THAT(run({"frobnicate"}).err, Not(HasSubstr("did you mean")));
  for (const auto& wrong : {std::vector<std::string>{},
                            {"vmz"},
                            {"shadow"},
                            {"cutover"},
                            {"vms", "a", "b"},
                            {"vms", "-o", "xml"},
                            {"vms", "--timeout", "soon"},
                            {"events", "--last", "-1"}}) {
    const auto ran = run(wrong);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("\n  remedy: "));
  }
}

TEST_F(Umbractl, EveryVerbHasHelpWithAnExample) {
  EXPECT_THAT(run({"--help"}).out, HasSubstr("Exit status:\n  0  done as asked"));
  const std::vector<std::vector<std::string>> verbs{{"hosts"},
                                                    {"vms"},
                                                    {"zones"},
                                                    {"shadows"},
                                                    {"events"},
                                                    {"shadow"},
                                                    {"shadow", "keep"},
                                                    {"shadow", "drop"},
                                                    {"shadow", "show"},
                                                    {"vm"},
                                                    {"vm", "show"},
                                                    {"cutover"},
                                                    {"migrate"},
                                                    {"evacuate"},
                                                    {"why"},
                                                    {"zone"},
                                                    {"zone", "set"},
                                                    {"maintenance"},
                                                    {"maintenance", "add"},
                                                    {"maintenance", "list"},
                                                    {"maintenance", "remove"},
                                                    {"telemetry"},
                                                    {"telemetry", "import"},
                                                    {"forecast"},
                                                    {"backtest"},
                                                    {"plot"},
                                                    {"doctor"},
                                                    {"pki"},
                                                    {"pki", "init"},
                                                    {"pki", "issue"},
                                                    {"pki", "show"},
                                                    {"pki", "renew"},
                                                    {"pki", "revoke"},
                                                    {"pki", "crl"},
                                                    {"audit"},
                                                    {"version"},
                                                    {"shell"},
                                                    {"help"},
                                                    {"list"},
                                                    {"context"},
                                                    {"context", "add"},
                                                    {"context", "list"},
                                                    {"context", "use"},
                                                    {"context", "remove"},
                                                    {"completion"},
                                                    {"completion", "bash"},
                                                    {"completion", "zsh"},
                                                    {"completion", "fish"}};
  for (auto verb : verbs) {
    verb.emplace_back("--help");
    const auto ran = run(verb);
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, HasSubstr("Example:\n  ")) << verb.front();
  }
}

TEST_F(Umbractl, PkiMakesCredentialsThatTheWireAccepts) {
  const auto ca = (fleet.directory() / "own").string();
  const auto out = [&](const char* name) { return (fleet.directory() / name).string(); };
  EXPECT_EQ(run({"pki", "init", "--dir", ca, "--name", "production"}).status, 0);
  EXPECT_EQ(run({"pki", "init", "--dir", ca}).status, 1) << "never a second CA over the first";
  EXPECT_EQ(run({"pki", "issue", "--dir", ca, "--role", "controller", "--name", "c1", "--dns", "127.0.0.1", "--out",
                 out("c1")})
                .status,
            0);
  EXPECT_EQ(
      run({"pki", "issue", "--dir", ca, "--role", "viewer", "--name", "carol", "--days", "2", "--out", out("carol")})
          .status,
      0);
  EXPECT_EQ(run({"pki", "issue", "--dir", ca, "--role", "viewer", "--name", "carol", "--out", out("carol")}).status, 1);
  EXPECT_EQ(run({"pki", "issue", "--dir", ca, "--role", "king", "--name", "k", "--out", out("k")}).status, 2);

  const auto files = [&](const char* name) {
    const std::filesystem::path dir(out(name));
    return rpc::TlsFiles{dir / "ca.pem", dir / "cert.pem", dir / "key.pem"};
  };
  const auto tls = rpc::Tls::load(files("c1"), v1::ROLE_CONTROLLER);
  ASSERT_TRUE(tls) << tls.error().text();
  const FakeController own(*tls);
  environment["UMBRA_CONTROLLER"] = own.address();
  become(files("carol"));
  EXPECT_EQ(run({"vms"}).status, 0);

  const auto before = run_json({"pki", "show", out("carol") + "/cert.pem"});
  EXPECT_EQ(before.at("role"), "viewer");
  EXPECT_EQ(run({"pki", "renew", "--dir", ca, "--out", out("carol"), "--days", "30"}).status, 0);
  const auto after = run_json({"pki", "show", out("carol") + "/cert.pem"});
  EXPECT_GT(after.at("not_after_unix_ms").as_int64(), before.at("not_after_unix_ms").as_int64());
  EXPECT_EQ(run({"vms"}).status, 0);
  EXPECT_THAT(run({"pki", "show", out("carol") + "/cert.pem"}).out, HasSubstr("carol"));
}

TEST_F(Umbractl, PkiOverwritesNothingOfAnotherFleet) {
  const auto at = [&](const std::string& name) { return (fleet.directory() / name).string(); };
  const auto issue = [&](const std::string& ca, const std::string& name, const std::string& out, bool renew = false) {
    std::vector<std::string> arguments{"pki",   "issue",  "--dir", at(ca),  "--role",
                                       "agent", "--name", name,    "--out", at(out)};
    if (renew) arguments.emplace_back("--renew");
    return run(arguments);
  };
  const auto content = [&](const std::string& file) {
    std::ifstream in(at(file));
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  ASSERT_EQ(run({"pki", "init", "--dir", at("one")}).status, 0);
  ASSERT_EQ(run({"pki", "init", "--dir", at("two")}).status, 0);
  ASSERT_EQ(issue("one", "host1", "out").status, 0);
  const auto ca = content("out/ca.pem");
  const auto key = content("out/key.pem");

  EXPECT_EQ(issue("one", "host1", "out").status, 1) << "not even of the same";
  const auto other_fleet = issue("two", "host1", "out", true);
  EXPECT_EQ(other_fleet.status, 1);
  EXPECT_THAT(other_fleet.err, HasSubstr("holds credentials of another fleet"));
  const auto other_node = issue("one", "host2", "out", true);
  EXPECT_EQ(other_node.status, 1);
  EXPECT_THAT(other_node.err, HasSubstr("is not host2's of role agent"));
  std::filesystem::create_directory(at("only-ca"));
  std::filesystem::copy_file(at("out/ca.pem"), at("only-ca/ca.pem"));
  EXPECT_EQ(issue("two", "host3", "only-ca").status, 1);
  EXPECT_EQ(run({"pki", "init", "--dir", at("out")}).status, 1);
  EXPECT_EQ(content("out/ca.pem"), ca);
  EXPECT_EQ(content("out/key.pem"), key);

  EXPECT_EQ(issue("one", "host1", "out", true).status, 0);
  EXPECT_NE(content("out/key.pem"), key);
  EXPECT_EQ(content("out/ca.pem"), ca);
}

TEST_F(Umbractl, PkiRevokesByNameAndByFile) {
  const auto at = [&](const std::string& name) { return (fleet.directory() / name).string(); };
  ASSERT_EQ(run({"pki", "init", "--dir", at("ca")}).status, 0);
  for (const std::string name : {"host1", "host2"})
    ASSERT_EQ(run({"pki", "issue", "--dir", at("ca"), "--role", "agent", "--name", name, "--out", at(name)}).status, 0);
  const auto by_name = run_json({"pki", "revoke", "--dir", at("ca"), "host1"});
  EXPECT_EQ(by_name.at("revoked").as_array().size(), 1U);
  EXPECT_EQ(by_name.at("crl").as_string(), at("ca/ca.crl"));
  EXPECT_THAT(run({"pki", "revoke", "--dir", at("ca"), "host1"}).out, HasSubstr("nothing to revoke"));
  EXPECT_EQ(run({"pki", "revoke", "--dir", at("ca"), "nobody"}).status, 1);
  EXPECT_EQ(run({"pki", "crl", "--dir", at("ca"), "--out", at("crl.pem")}).status, 0);
  const auto load = [&](const std::string& name) {
    return rpc::Tls::load({at(name + "/ca.pem"), at(name + "/cert.pem"), at(name + "/key.pem"), at("crl.pem")});
  };
  EXPECT_THAT(load("host1").error().message, HasSubstr("the certificate is revoked"));
  EXPECT_TRUE(load("host2"));
  const auto renewed = run({"pki", "renew", "--dir", at("ca"), "--out", at("host1")});
  EXPECT_EQ(renewed.status, 1);
  EXPECT_THAT(renewed.err, AllOf(HasSubstr("was revoked on"), HasSubstr("umbractl pki issue")));
  EXPECT_FALSE(load("host1"));

  const auto list = run({"pki", "show", at("ca/ca.crl")});
  EXPECT_EQ(list.status, 0) << list.err;
  const auto serial = std::string(by_name.at("revoked").at(0).as_string());
  EXPECT_THAT(list.out, AllOf(HasSubstr("CN=umbra Umbra CA"), HasSubstr("Next update: 20"), HasSubstr(serial),
                              HasSubstr("host1 (agent)")));
  const auto shown = run_json({"pki", "show", at("ca/ca.crl")}).at("revocation_lists").at(0);
  EXPECT_EQ(shown.at("revoked").at(0).at("serial").as_string(), serial);
  EXPECT_EQ(shown.at("revoked").at(0).at("name").as_string(), "host1");
  EXPECT_THAT(run({"pki", "show", at("crl.pem")}).out, HasSubstr("not in the register beside this file"));
  EXPECT_EQ(run({"pki", "revoke", "--dir", at("ca"), at("host2/cert.pem")}).status, 0);
  EXPECT_EQ(run({"pki", "crl", "--dir", at("ca"), "--out", at("crl.pem")}).status, 0);
  EXPECT_FALSE(load("host2"));
}

}  // namespace
}  // namespace umbra::cli::test
