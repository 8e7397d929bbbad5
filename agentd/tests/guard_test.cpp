// What the boot guard keeps from starting.
#include "agentd/guard.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "base/temporary_directory.hpp"

namespace umbra::agent {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kWeb = "11111111-2222-3333-4444-555555555501";
constexpr const char* kDb = "11111111-2222-3333-4444-555555555502";

class Guard : public testing::Test {
 protected:
  Guard() { fs::create_directories(links()); }
  fs::path links() const { return directory.path() / "qemu/autostart"; }
  fs::path list() const { return directory.path() / "libvirt-guests"; }
  fs::path journal() const { return directory.path() / "journal.sqlite"; }
  void define(const std::string& name, const std::string& uuid, bool linked, const std::string& policy = "leave") {
    const auto file = directory.path() / "qemu" / (name + ".xml");
    std::ofstream(file) << "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n<domain type='kvm'><name>" << name
                        << "</name><uuid>" << uuid << "</uuid><metadata><umbra:vm "
                        << "xmlns:umbra='https://umbra.invalid/vm/1'><umbra:on-host-loss>" << policy
                        << "</umbra:on-host-loss></umbra:vm></metadata><memory>65536</memory></domain>";
    if (linked) fs::create_symlink(file, links() / (name + ".xml"));
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
  define("web1", kWeb, true, "restart");
  define("db1", kDb, false);
  EXPECT_THAT(autostarted(links(), list()), SizeIs(1));
  std::ofstream(list()) << "qemu:///system " << kDb << " 99999999-2222-3333-4444-555555555501\n";
  const auto found = autostarted(links(), list());
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_TRUE(found[0].restart_on_host_loss);
  EXPECT_EQ(found[1].name, "db1");
  EXPECT_TRUE(found[1].link.empty());
  ASSERT_TRUE(unlist(list(), {kDb}));
  EXPECT_THAT(autostarted(links(), list()), SizeIs(1));
}

TEST_F(Guard, WithholdsWhatTheControllerSaysIsNotThisHosts) {
  const std::vector<Autostarted> vms{{kWeb, "web1", "l", true}, {kDb, "db1", "l"}};
  v1::WhoseVmsReply owners;
  owners.add_owners()->set_yours(true);
  owners.add_owners()->set_host("host2");
  const auto withheld = to_withhold(vms, owners, std::set<std::string>{kWeb});
  ASSERT_THAT(withheld, SizeIs(1));
  EXPECT_EQ(withheld[0].name, "db1");
}

TEST_F(Guard, WithoutTheControllerWithholdsWhatMayRunElsewhere) {
  const std::vector<Autostarted> vms{{kWeb, "web1", "l", true}, {kDb, "db1", "l"}};
  EXPECT_THAT(to_withhold(vms, std::nullopt, std::set<std::string>{}), SizeIs(1)) << "its policy is restart";
  EXPECT_THAT(to_withhold(vms, std::nullopt, std::set<std::string>{kDb}), SizeIs(2));
  EXPECT_THAT(to_withhold(vms, std::nullopt, std::nullopt), SizeIs(2)) << "unknown is not gone";
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

}  // namespace
}  // namespace umbra::agent
