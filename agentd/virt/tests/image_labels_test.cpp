#include "agentd/virt/image_labels.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agentd/virt/domain_xml.hpp"
#include "base/temporary_directory.hpp"

namespace umbra::virt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kDac =
    "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+993</label>"
    "<imagelabel>+64055:+994</imagelabel></seclabel>";

std::string domain(const std::string& disks, const std::string& more = kDac) {
  return fmt::format(
      "<domain type='qemu'><name>x</name><uuid>1</uuid><memory unit='MiB'>1</memory><devices>{}</devices>{}</domain>",
      disks, more);
}

std::string disk(const std::string& path, const std::string& inside = "", const std::string& beside = "") {
  return fmt::format("<disk type='file'><source file='{}'>{}</source>{}<target dev='vda'/></disk>", path, inside,
                     beside);
}

/// A file of the test's own. Needs root, as giving files away does.
class ImageLabels : public testing::Test {
 protected:
  std::string file(const std::string& name, uid_t uid, gid_t gid, mode_t mode = 0600) {
    auto path = (directory_.path() / name).string();
    std::ofstream(path) << "image";
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    EXPECT_EQ(::chown(path.c_str(), uid, gid), 0) << "run this as root";
    return path;
  }
  static std::string owner(const std::string& path) {
    struct stat now {};
    EXPECT_EQ(::stat(path.c_str(), &now), 0);
    return fmt::format("{}:{}", now.st_uid, now.st_gid);
  }
  static std::vector<std::string> tended(const std::string& xml) { return tend(images_of(xml).value()); }

  TemporaryDirectory directory_ = TemporaryDirectory::make("umbra-images-").value();
};

TEST_F(ImageLabels, AreThoseOfWritableFilesThatNoOtherDomainUses) {
  const auto found = images_of(domain(disk("/a") + disk("/cd", "", "<readonly/>") + disk("/both", "", "<shareable/>") +
                                      "<disk type='block'><source dev='/dev/sdb'/></disk>"
                                      "<disk type='network'><source protocol='rbd' name='p/i'/></disk>"
                                      "<disk type='file' device='cdrom'><target dev='sda'/></disk>" +
                                      disk("/b", "<seclabel model='dac' relabel='no'/>")));
  ASSERT_TRUE(found);
  ASSERT_EQ(found->images.size(), 2U);
  EXPECT_EQ(found->images[0].path, "/a");
  EXPECT_FALSE(found->images[0].left_alone);
  EXPECT_EQ(found->images[1].path, "/b");
  EXPECT_TRUE(found->images[1].left_alone);
  ASSERT_TRUE(found->user);
  EXPECT_EQ(found->user->uid, 64055U);
  EXPECT_EQ(found->user->gid, 994U);
}

TEST_F(ImageLabels, OfADomainWhoseImagesLibvirtGivesToNobodyHaveNoUser) {
  for (const auto* label : {"", "<seclabel type='none' model='dac'/>", "<seclabel model='dac' relabel='no'/>",
                            "<seclabel model='dac' relabel='yes'><imagelabel>qemu:kvm</imagelabel></seclabel>",
                            "<seclabel model='dac' relabel='yes'><imagelabel>+1:+99999999999</imagelabel></seclabel>",
                            "<seclabel model='selinux' relabel='yes'><imagelabel>a:b</imagelabel></seclabel>"})
    EXPECT_FALSE(images_of(domain(disk("/a"), label))->user) << label;
  EXPECT_EQ(images_of("<domain").error().code, Errc::kInvalid);
}

TEST_F(ImageLabels, OfAShadowAreLeftAloneAndThoseOfItsDefinitionAreNot) {
  const auto primary = domain(disk("/a", "<seclabel model='dac' relabel='yes'><label>1:1</label></seclabel>") +
                              disk("/cd", "", "<readonly/>"));
  const auto shadow = shadow_xml(primary).value();
  const auto images = images_of(shadow)->images;
  ASSERT_EQ(images.size(), 1U);
  EXPECT_TRUE(images[0].left_alone);
  EXPECT_EQ(shadow_xml(shadow).value(), shadow) << "it may move again";
  EXPECT_THAT(shadow, testing::Not(HasSubstr("1:1")));
  EXPECT_FALSE(images_of(clean_xml(primary).value())->images[0].left_alone);
}

TEST_F(ImageLabels, ThatLibvirtTookAwayArePutBack) {
  const auto taken = file("taken", 64055, 993), kept = file("kept", 64055, 993), foreign = file("foreign", 64055, 993);
  ASSERT_EQ(::setxattr(taken.c_str(), "security.selinux", "u:r:t:s0:c1", 11, 0), 0);
  const auto note =
      LabelNote::take(images_of(domain(disk(taken) + disk(kept) +
                                       disk(foreign, "<seclabel model='dac' relabel='no'/>") + disk("/no/such")))
                          .value());
  ASSERT_EQ(::chown(taken.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown(foreign.c_str(), 0, 0), 0);
  ASSERT_EQ(::setxattr(taken.c_str(), "security.selinux", "u:r:default:s0", 14, 0), 0);
  std::filesystem::rename(taken, taken + ".elsewhere");
  EXPECT_THAT(note.put_back(), IsEmpty());
  EXPECT_EQ(owner(taken + ".elsewhere"), "64055:993") << "the very file, whatever its name";
  EXPECT_EQ(owner(kept), "64055:993");
  EXPECT_EQ(owner(foreign), "0:0") << "libvirt took nothing from it: somebody else did";
  char context[64] = "";
  EXPECT_EQ(::getxattr((taken + ".elsewhere").c_str(), "security.selinux", context, sizeof context), 11);
  EXPECT_STREQ(context, "u:r:t:s0:c1");
}

TEST_F(ImageLabels, ThatAreGuardedAreBackBeforeAnybodyAsks) {
  const auto path = file("guarded", 64055, 993);
  const auto note = LabelNote::take(images_of(domain(disk(path))).value());
  const LabelGuard guard(note);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(::chown(path.c_str(), 0, 0), 0);
    for (int tries = 0; tries < 5000 && owner(path) != "64055:993"; ++tries) ::usleep(1000);
    EXPECT_EQ(owner(path), "64055:993");
  }
}

TEST_F(ImageLabels, ThatAMoveBroughtAreGivenBackAndOthersReported) {
  const auto moved = file("moved", 0, 0), own = file("own", 0, 0);
  const auto xml = domain(disk(moved, "<seclabel model='dac' relabel='no'/>") + disk(own));
  EXPECT_THAT(tended(xml), ElementsAre(testing::AllOf(HasSubstr(moved), HasSubstr("0:0"), HasSubstr("given back")),
                                       HasSubstr("chown 64055:994 " + own)));
  EXPECT_EQ(owner(moved), "64055:994");
  EXPECT_EQ(owner(own), "0:0");
}

TEST_F(ImageLabels, ThatItsQemuMayOpenAnywayAreLeftAsTheyAre) {
  const auto label = "<seclabel model='dac' relabel='no'/>";
  const auto xml = domain(disk(file("user", 64055, 0), label) + disk(file("group", 0, 994, 0660), label) +
                          disk(file("all", 0, 0, 0666), label) + disk("/no/such", label));
  EXPECT_THAT(tended(xml), IsEmpty());
  EXPECT_EQ(owner((directory_.path() / "group").string()), "0:994");
  const auto locked = file("locked", 64055, 994, 0060);
  EXPECT_THAT(tended(domain(disk(locked, label))), ElementsAre(HasSubstr(locked)))
      << "its own bits count for its owner";
}

}  // namespace
}  // namespace umbra::virt
