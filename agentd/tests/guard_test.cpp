// What the boot guard keeps from starting.
#include "agentd/guard.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "base/temporary_directory.hpp"
#include "netswitch/fakes/fake_kernel.hpp"

namespace umbra::agent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kWeb = "11111111-2222-3333-4444-555555555501";
constexpr const char* kDb = "11111111-2222-3333-4444-555555555502";

class Guard : public testing::Test {
 protected:
  Guard() { fs::create_directories(links()); }
  fs::path links() const { return directory.path() / "qemu/autostart"; }
  fs::path list() const { return directory.path() / "libvirt-guests"; }
  fs::path definition(const std::string& name) const { return directory.path() / "qemu" / (name + ".xml"); }
  fs::path journal() const { return directory.path() / "journal.sqlite"; }
  void define(const std::string& name, const std::string& uuid, bool linked, const std::string& metadata = {},
              const std::string& devices = {}) {
    std::ofstream(definition(name))
        << "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n<domain type='kvm'><name>" << name << "</name><uuid>"
        << uuid << "</uuid><metadata>" << metadata << "</metadata><memory>65536</memory><devices>" << devices
        << "</devices></domain>";
    if (linked) fs::create_symlink(definition(name), links() / (name + ".xml"));
  }
  static std::string umbra(const std::string& text) {
    return "<umbra:vm xmlns:umbra='https://umbra.invalid/vm/1'>" + text + "</umbra:vm>";
  }
  static std::string routed(const std::string& tap) {
    return "<interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='" + tap +
           "' managed='no'/></interface>";
  }
  Autostarted found(const std::string& name) const {
    for (auto& vm : autostarted(links(), list(), {}))
      if (vm.name == name) return vm;
    ADD_FAILURE() << name << " would not be started";
    return {};
  }
  void journal_says(int side, int phase, int epoch, const std::string& cutover) const {
    auto database = sqlite::Database::open(journal(), sqlite::Durability::kFull).value();
    ASSERT_TRUE(
        database.exec("CREATE TABLE IF NOT EXISTS shadow (vm_uuid TEXT NOT NULL, side INTEGER NOT NULL, phase INTEGER "
                      "NOT NULL, epoch INTEGER NOT NULL, wish BLOB NOT NULL, cutover BLOB NOT NULL, PRIMARY KEY "
                      "(vm_uuid, side)) WITHOUT ROWID"));
    ASSERT_TRUE(database.run("INSERT INTO shadow VALUES (?1, ?2, ?3, ?4, '', ?5)", std::string(kWeb), side, phase,
                             epoch, cutover));
  }

  TemporaryDirectory directory = TemporaryDirectory::make("umbra-guard-").value();
};

TEST_F(Guard, FindsWhatLibvirtAndLibvirtGuestsWouldStart) {
  define("web1", kWeb, true);
  define("db1", kDb, false);
  EXPECT_THAT(autostarted(links(), list(), {}), SizeIs(1));
  std::ofstream(list()) << "qemu:///system " << kDb << " 99999999-2222-3333-4444-555555555501\n";
  const auto found = autostarted(links(), list(), {});
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[1].name, "db1");
  EXPECT_TRUE(found[1].link.empty());
  ASSERT_TRUE(unlist(list(), {kDb}));
  EXPECT_THAT(autostarted(links(), list(), {}), SizeIs(1));
}

TEST_F(Guard, FindsWhatLibvirtWouldStartOnce) {
  define("web1", kWeb, true);
  define("db1", kDb, false);
  for (const char* name : {"web1", "db1"})
    fs::create_symlink(definition(name), links() / (std::string(name) + ".xml.once"));
  EXPECT_THAT(autostarted(links(), list(), {}), SizeIs(2));
  EXPECT_EQ(found("web1").link, links() / "web1.xml");
  EXPECT_EQ(found("web1").once, links() / "web1.xml.once");
  EXPECT_TRUE(found("db1").link.empty()) << "no autostart is to be set again";
  EXPECT_EQ(found("db1").once, links() / "db1.xml.once");
}

TEST_F(Guard, WithholdsWhatTheControllerSaysIsNotThisHosts) {
  const std::vector<Autostarted> vms{{kWeb, "web1", "l", {}, true}, {kDb, "db1", "l"}};
  v1::WhoseVmsReply owners;
  owners.add_owners()->set_yours(true);
  owners.add_owners()->set_host("host2");
  const auto withheld = to_withhold(vms, owners, std::set<std::string>{kWeb});
  ASSERT_THAT(withheld, SizeIs(1));
  EXPECT_EQ(withheld[0].name, "db1");
}

TEST_F(Guard, WithoutTheControllerWithholdsWhatMayRunElsewhere) {
  const std::vector<Autostarted> vms{{kWeb, "web1", "l", {}, true}, {kDb, "db1", "l"}};
  EXPECT_THAT(to_withhold(vms, std::nullopt, std::set<std::string>{}), SizeIs(1)) << "it may have been taken over";
  EXPECT_THAT(to_withhold(vms, std::nullopt, std::set<std::string>{kDb}), SizeIs(2));
  EXPECT_THAT(to_withhold(vms, std::nullopt, std::nullopt), SizeIs(2)) << "unknown is not gone";
}

TEST_F(Guard, AnyVmOfUmbrasMayRunElsewhereWhateverItsPolicy) {
  const std::string local = "<disk type='file'><source file='/var/d.img'/><target dev='vda'/></disk>";
  define("restarted", kWeb, true, umbra("<umbra:on-host-loss>restart</umbra:on-host-loss>"), local);
  define("left", "11111111-2222-3333-4444-555555555503", true, umbra("<umbra:address>10.50.0.3</umbra:address>"),
         local);
  define("shared", "11111111-2222-3333-4444-555555555504", true, umbra("<umbra:shared-disks/>"), local);
  define("plain", "11111111-2222-3333-4444-555555555505", true, {},
         "<disk type='network'><source protocol='rbd' name='pool/d'/><target dev='vda'/></disk>");
  define("local", kDb, true, {}, local);
  EXPECT_TRUE(found("restarted").may_run_elsewhere);
  EXPECT_TRUE(found("left").may_run_elsewhere) << "it has an address of Umbra's";
  EXPECT_TRUE(found("shared").may_run_elsewhere);
  EXPECT_TRUE(found("plain").may_run_elsewhere) << "umbractl restart asks for no metadata";
  EXPECT_FALSE(found("local").may_run_elsewhere) << "its disk is this host's, and it has no word of Umbra's";
}

TEST_F(Guard, MakesTheTapsOfWhatItLetsStartAsTheAgentDoes) {
  define("web1", kWeb, true, umbra("<umbra:address>10.50.0.1</umbra:address>"), routed("uvm1"));
  define("db1", kDb, true, umbra("<umbra:address>10.50.0.2</umbra:address>"), routed("uvm2"));
  netswitch::FakeKernel kernel;
  const netswitch::SwitchConfig network;
  const auto vms = autostarted(links(), list(), {});
  EXPECT_THAT(make_taps(vms, {{kDb, "db1", "it is host2's"}}, kernel, network), IsEmpty());
  const auto tap = kernel.link("uvm1").value();
  EXPECT_EQ(tap.kind, "tun");
  EXPECT_TRUE(tap.up);
  EXPECT_THAT(tap.alias, HasSubstr(kWeb)) << "the agent knows it as its own, and removes it one day";
  EXPECT_EQ(tap.mac, network.gateway_mac);
  EXPECT_FALSE(kernel.link("uvm2")) << "it is withheld";
  EXPECT_THAT(kernel.routes(network.route_protocol).value(), IsEmpty()) << "routes are the agent's work";
}

TEST_F(Guard, TakesATapThatIsThereAndLeavesOthersNicsAlone) {
  define("web1", kWeb, true, umbra("<umbra:address>10.50.0.1</umbra:address>"), routed("uvm1"));
  define("db1", kDb, true, {}, routed("mine0"));
  netswitch::FakeKernel kernel;
  ASSERT_TRUE(kernel.create_tap("uvm1", {}));
  EXPECT_THAT(make_taps(autostarted(links(), list(), {}), {}, kernel, {}), IsEmpty());
  EXPECT_TRUE(kernel.link("uvm1").value().up);
  EXPECT_FALSE(kernel.link("mine0")) << "without an address of Umbra's somebody else makes it";
}

TEST_F(Guard, ATapThatCannotBeMadeIsToldAndTheOthersAreMade) {
  define("web1", kWeb, true, umbra("<umbra:address>10.50.0.1</umbra:address>"), routed("uvm1"));
  define("db1", kDb, true, umbra("<umbra:address>10.50.0.2</umbra:address>"), routed("uvm2"));
  netswitch::FakeKernel kernel;
  kernel.fail_change(1, EPERM);
  const auto failed = make_taps(autostarted(links(), list(), {}), {}, kernel, {});
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_THAT(failed[0].text(), AllOf(HasSubstr("web1"), HasSubstr("uvm1"), HasSubstr("virsh start web1")));
  EXPECT_TRUE(kernel.link("uvm2"));
}

TEST_F(Guard, ReadsFromTheJournalWhatMovedAway) {
  EXPECT_THAT(*moved_away(journal()), IsEmpty()) << "there is none: nothing ever moved";
  journal_says(0, 9, 7, "a cutover");  // dropped, and the VM with it
  EXPECT_THAT(*moved_away(journal()), SizeIs(1));
  journal_says(1, 8, 9, "");  // came back
  EXPECT_THAT(*moved_away(journal()), IsEmpty());
}

TEST_F(Guard, RemembersWhatItWithheldUntilTheAgentHasPutItRight) {
  const auto file = withheld_file(directory.path());
  EXPECT_THAT(read_withheld(file).value(), IsEmpty());
  ASSERT_TRUE(write_withheld(file, {{kWeb, "web1", "its \"why\""}}));
  const auto read = read_withheld(file).value();
  ASSERT_THAT(read, SizeIs(1));
  EXPECT_EQ(read[0].why, "its \"why\"");
  ASSERT_TRUE(write_withheld(file, {}));
  EXPECT_FALSE(fs::exists(file));
  std::ofstream(file) << "[{\"uuid\": 3}]";
  EXPECT_FALSE(read_withheld(file));
}

TEST_F(Guard, RemovesEveryLinkOfWhatItWithholds) {
  define("web1", kWeb, true, umbra("<umbra:address>10.50.0.1</umbra:address>"));
  fs::create_symlink(definition("web1"), links() / "web1.xml.once");
  AgentConfig config;  // without certificates: the controller cannot be asked
  config.autostart_dir = links();
  config.guests_list = list();
  config.state_dir = directory.path();
  asio::io_context io;
  bool fine = false;
  asio::co_spawn(io, guard(io.get_executor(), config),
                 [&](std::exception_ptr bug, Result<void> outcome) { fine = !bug && outcome; });
  io.run();
  EXPECT_TRUE(fine);
  EXPECT_THAT(autostarted(links(), list(), {}), IsEmpty());
  EXPECT_THAT(read_withheld(withheld_file(directory.path())).value(), SizeIs(1)) << "its autostart is to be set again";
}

}  // namespace
}  // namespace umbra::agent
