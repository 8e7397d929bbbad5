// What of a domain's XML needs another QEMU, and what is carried beside it.
#include "agentd/virt/definition.hpp"

#include <gmock/gmock.h>

namespace umbra::virt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// As libvirt 11.3 writes it (virsh dumpxml --migratable --security-info), cut short.
std::string domain(std::string_view devices, std::string_view more = "", std::string_view attributes = "type='kvm'") {
  return fmt::format(R"(<domain {}>
  <name>web1</name>
  <uuid>11111111-2222-3333-4444-555555555501</uuid>
  {}
  <memory unit='KiB'>262144</memory>
  <vcpu placement='static' current='1'>2</vcpu>
  <devices>{}</devices>
</domain>)",
                     attributes, more, devices);
}

std::string disk(std::string_view source, std::string_view more = "") {
  return fmt::format(
      "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>{}"
      "<target dev='vda' bus='virtio'/></disk>",
      source, more);
}

struct Change {
  std::string was, now, words;  ///< words: empty where a shadow need not be made anew
};

class DeviceDifference : public testing::TestWithParam<Change> {};

TEST_P(DeviceDifference, IsFoundAndNamed) {
  const auto& [was, now, words] = GetParam();
  const auto found = device_difference(was, now);
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->value_or(""), words);
}

const std::string kCd = "<disk type='file' device='cdrom'>{}<target dev='sda' bus='sata'{}/><readonly/></disk>";
std::string cd(std::string_view source, std::string_view tray = "") {
  return fmt::format(fmt::runtime(kCd), source, tray);
}

INSTANTIATE_TEST_SUITE_P(
    Of, DeviceDifference,
    testing::Values(
        Change{domain(disk("/a")), domain(disk("/a")), ""},
        Change{domain(disk("/a")), domain(disk("/b")), "disk vda, source: file is /b, was /a"},
        Change{domain(disk("/a")),
               domain(disk("/b", "<backingStore type='file'><format type='qcow2'/><source file='/a'/></backingStore>")),
               "disk vda, source: file is /b, was /a"},
        Change{domain(disk("/a")),
               domain(disk("/a", "<mirror type='file' job='copy' ready='yes'><source file='/c'/></mirror>")),
               "disk vda, mirror was added"},
        Change{domain(disk("/a")), domain(disk("/a", "<iotune><total_iops_sec>500</total_iops_sec></iotune>")),
               "disk vda, iotune was added"},
        Change{domain(disk("/a", "<iotune><total_iops_sec>500</total_iops_sec></iotune>")),
               domain(disk("/a", "<iotune><total_iops_sec>600</total_iops_sec></iotune>")),
               "disk vda, iotune, total_iops_sec is 600, was 500"},
        Change{domain(cd("<source file='/cd.iso'/>")), domain(cd("")), "disk sda, source was removed"},
        Change{domain(cd("<source file='/cd.iso'/>")), domain(cd("<source file='/cd.iso'/>", " tray='open'")), ""},
        Change{domain(disk("/a")),
               domain(disk("/a") + "<interface type='bridge'><mac address='52:54:00:00:00:09'/></interface>"),
               "interface 52:54:00:00:00:09 was added"},
        Change{domain(disk("/a") + "<rng model='virtio'/>"), domain(disk("/a")), "rng was removed"},
        Change{domain("<rng model='virtio'/>"), domain("<watchdog model='itco'/>"), "watchdog is where rng was"},
        Change{domain("", "<cputune><shares>1024</shares></cputune>"),
               domain("", "<cputune><shares>512</shares></cputune>"), "cputune, shares is 512, was 1024"},
        Change{domain(""), domain("", "<cputune><shares>512</shares></cputune>"), "cputune was added"},
        // Carried beside QEMU, or by its own stream.
        Change{domain("", "<title>old</title><description>old</description>"),
               domain("", "<title>new</title><description>new\n[umbra] held</description>"), ""},
        Change{domain(""), domain("", "<metadata><x:y xmlns:x='urn:x'/></metadata>"), ""},
        Change{domain("", "<currentMemory unit='KiB'>262144</currentMemory>"),
               domain("", "<currentMemory unit='KiB'>131072</currentMemory>"), ""},
        Change{domain("", "", "type='kvm' id='1'"), domain("", "", "type='kvm' id='2'"), ""},
        Change{domain("", "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055</label></seclabel>"),
               domain(""), ""},
        Change{domain("", "", "type='kvm'"), domain("", "", "type='qemu'"), "type is qemu, was kvm"}));

TEST(DeviceDifference, OfBrokenXmlIsAnError) {
  EXPECT_EQ(device_difference("<domain", domain("")).error().code, Errc::kInvalid);
  EXPECT_EQ(device_difference(domain(""), "").error().code, Errc::kInvalid);
}

TEST(Annotations, AreWhatPeopleWroteAboutTheVm) {
  const auto found = annotations_of(domain("", R"(<title>t</title><description>words
[umbra] a shadow is held</description><metadata xmlns:r="urn:r"><u:vm xmlns:u="urn:u"><u:address>10.0.0.1</u:address></u:vm></metadata>)"));
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->title, "t");
  EXPECT_EQ(found->description, "words");
  EXPECT_THAT(found->metadata, ElementsAre(MetadataElement{"urn:u", "u", "<vm><address>10.0.0.1</address></vm>"}));
}

TEST(ChangeBetween, TellsWhatIsNotCarriedAnyMore) {
  Definition before;
  before.live_xml = before.inactive_xml = domain(disk("/a"));
  before.autostart = true;
  auto now = before;
  now.autostart = false;  // a cutover withdraws it itself
  EXPECT_EQ(change_between(before, now)->value_or(""), "");
  now.inactive_xml = domain(disk("/a"), "<title>t</title>");
  EXPECT_THAT(change_between(before, now)->value_or(""), HasSubstr("stored definition"));
  now.inactive_xml.clear();
  EXPECT_EQ(change_between(before, now)->value_or(""), "it was undefined");
  now = before;
  now.live_xml = domain(disk("/a"), "<title>t</title>");
  EXPECT_THAT(change_between(before, now)->value_or(""), HasSubstr("title"));
  now = before;
  now.snapshots = {"<domainsnapshot><name>s1</name></domainsnapshot>"};
  EXPECT_EQ(change_between(before, now)->value_or(""), "its snapshots were changed");
  now = before;
  now.live_xml = domain(disk("/b"));
  EXPECT_EQ(change_between(before, now)->value_or(""), "disk vda, source: file is /b, was /a");
}

/// A guest that has moved is made persistent after it runs, and somebody may have taken a snapshot in between.
TEST(FollowDisks, WhatIsStoredIsWhatTheGuestWritesTo) {
  const auto stored = domain(disk("/s/web.qcow2") + "<filesystem/>");
  const auto was = domain(disk("/s/web.qcow2", "<backingStore/>"));
  const auto now = domain(R"(<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/s/web.overlay' index='3'><seclabel model='dac' relabel='no'/></source>
      <backingStore type='file' index='1'><format type='qcow2'/><source file='/s/web.qcow2'/><backingStore/></backingStore>
      <target dev='vda' bus='virtio'/></disk>)");
  const auto followed = follow_disks(stored, was, now);
  ASSERT_TRUE(followed) << followed.error().text();
  EXPECT_THAT(*followed, HasSubstr("<source file=\"/s/web.overlay\" />"));
  EXPECT_THAT(*followed, testing::Not(HasSubstr("web.qcow2")));
  EXPECT_THAT(*followed, HasSubstr("<filesystem"));
  EXPECT_EQ(follow_disks(*followed, was, now).value(), *followed);
  EXPECT_EQ(follow_disks(stored, was, was).value(), stored);
  const auto back = follow_disks(*followed, now, was);  // blockcommit
  ASSERT_TRUE(back);
  EXPECT_THAT(*back, HasSubstr("<source file=\"/s/web.qcow2\" />"));
  const auto elsewhere = follow_disks(stored, domain(disk("/s/other.qcow2")), now);
  ASSERT_TRUE(elsewhere);
  EXPECT_THAT(*elsewhere, HasSubstr("web.overlay")) << "an image below the one that is written to is old";
}

TEST(FollowDisks, ADiskThatWasMeantToDifferStays) {
  const auto meant = domain(disk("/s/next-boot.qcow2"));
  EXPECT_EQ(follow_disks(meant, domain(disk("/s/web.qcow2")), domain(disk("/s/web.overlay"))).value(), meant);
  EXPECT_FALSE(follow_disks("<domain>", meant, meant));
}

/// What a VM that came as a shadow has in its live XML until it is started anew, its snapshots have too.
TEST(CleanSnapshot, WaitsForNoMigration) {
  const auto snapshot = [](std::string_view arguments) {
    return fmt::format(
        "<domainsnapshot><name>s1</name><domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<name>web1</name><qemu:commandline>{}</qemu:commandline></domain></domainsnapshot>",
        arguments);
  };
  constexpr std::string_view kOurs = "<qemu:arg value='-incoming'/><qemu:arg value='defer'/>";
  const auto clean = clean_snapshot(snapshot(fmt::format("<qemu:arg value='-snapshot'/>{}", kOurs)));
  ASSERT_TRUE(clean) << clean.error().text();
  ASSERT_TRUE(*clean);
  EXPECT_THAT(**clean, testing::AllOf(HasSubstr("-snapshot"), testing::Not(HasSubstr("incoming"))));
  EXPECT_THAT(**clean_snapshot(snapshot(kOurs)), testing::Not(HasSubstr("qemu:")));
  EXPECT_FALSE(clean_snapshot(snapshot("<qemu:arg value='-snapshot'/>")).value());
  EXPECT_FALSE(clean_snapshot("<domainsnapshot>"));
}

TEST(Belongings, ThatCannotFollowAreRefusedWithTheRemedy) {
  Definition definition;
  EXPECT_EQ(belongings_refusal(definition), "");
  definition.snapshots = {"<domainsnapshot><name>s1</name><memory snapshot='no'/></domainsnapshot>"};
  EXPECT_EQ(belongings_refusal(definition), "");
  definition.snapshots.push_back(
      "<domainsnapshot><name>s2</name><memory snapshot='external' file='/m'/></domainsnapshot>");
  EXPECT_THAT(belongings_refusal(definition), testing::AllOf(HasSubstr("s2"), HasSubstr("/m"), HasSubstr("virsh")));
  definition.snapshots.assign(501, "<domainsnapshot><name>s</name></domainsnapshot>");
  EXPECT_THAT(belongings_refusal(definition), HasSubstr("501 snapshots"));
  definition.snapshots = {std::string(std::size_t{9} << 20, ' ')};
  EXPECT_THAT(belongings_refusal(definition), HasSubstr("MiB"));
}

}  // namespace
}  // namespace umbra::virt
