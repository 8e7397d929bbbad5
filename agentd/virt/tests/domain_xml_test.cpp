#include "agentd/virt/domain_xml.hpp"

#include <gtest/gtest.h>

namespace umbra::virt {
namespace {

std::string xml(std::string_view devices, std::string_view more = "", std::string_view attributes = "") {
  return fmt::format(R"(<domain type='kvm' {}>
  <name>web1</name>
  <uuid>11111111-2222-3333-4444-555555555501</uuid>
  <memory unit='KiB'>262144</memory>
  <vcpu placement='static' current='2'>4</vcpu>
  {}
  <devices>{}</devices>
</domain>)",
                     attributes, more, devices);
}

constexpr std::string_view kMetadata =
    R"(<metadata><other:x xmlns:other='urn:x'><other:address>no</other:address></other:x>
    <u:vm xmlns:u='https://umbra.invalid/vm/1'><u:address>10.50.0.1</u:address><u:address>fd00::1</u:address>
    <u:account>acme</u:account><u:profile>web</u:profile><u:on-host-loss>restart</u:on-host-loss></u:vm></metadata>)";

TEST(DomainXml, ReadsWhatTheAgentNeeds) {
  const auto domain = parse_domain(xml(R"(
      <interface type='network'><mac address='52:54:00:00:00:01'/><target dev='vnet0'/></interface>
      <interface type='ethernet'><mac address='52:54:00:00:00:02'/><target dev='uvm1' managed='no'/></interface>)",
                                       kMetadata));
  ASSERT_TRUE(domain) << domain.error().text();
  EXPECT_EQ(domain->name, "web1");
  EXPECT_EQ(domain->uuid, "11111111-2222-3333-4444-555555555501");
  EXPECT_EQ(domain->memory, mebibytes(256));
  EXPECT_EQ(domain->vcpus, 2U);
  EXPECT_EQ(domain->tap, "uvm1");
  EXPECT_EQ(domain->mac, "52:54:00:00:00:02");
  EXPECT_EQ(domain->addresses, (std::vector<std::string>{"10.50.0.1", "fd00::1"}));
  EXPECT_EQ(domain->account, "acme");
  EXPECT_EQ(domain->profile, "web");
  EXPECT_TRUE(domain->restart_on_host_loss);
  EXPECT_FALSE(domain->incoming);
  EXPECT_EQ(domain->refusal, "");
  EXPECT_TRUE(domain->warnings.empty());
}

TEST(DomainXml, BrokenXmlIsRefusedWithItsPosition) {
  const auto domain = parse_domain("<domain>\n  <name>x</nome>\n</domain>");
  ASSERT_FALSE(domain);
  EXPECT_EQ(domain.error().code, Errc::kInvalid);
  EXPECT_NE(domain.error().message.find("line 2, column"), std::string::npos) << domain.error().message;
  for (const auto* text : {"", "hello", "<network/>", "<domain/>", "<domain><name>x</name></domain>",
                           "<domain><name>x</name><memory unit='furlong'>3</memory></domain>"})
    EXPECT_EQ(parse_domain(text).error().code, Errc::kInvalid) << text;
  EXPECT_FALSE(shadow_xml("<domain"));
  EXPECT_FALSE(clean_xml("<domain"));
}

struct Case {
  std::string_view devices, more, reason;
};

/// Of two <devices> it gathers those of both, and we would look at the first.
TEST(DomainXml, WhatLibvirtWouldReadOtherwiseIsRefused) {
  const auto twice = [](const std::string& more, const std::string& attributes = "") {
    const auto read = parse_domain(xml("", more, attributes));
    return read ? std::string("taken") : read.error().message;
  };
  constexpr const char* kQemu = "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'";
  EXPECT_EQ(twice("<devices/>"), "domain XML: there is more than one <devices>");
  EXPECT_EQ(twice("<name>other</name>"), "domain XML: there is more than one <name>");
  EXPECT_EQ(twice("<q:commandline/><q:commandline/>", kQemu), "domain XML: there is more than one <q:commandline>");
  EXPECT_EQ(twice("", "xmlns='http://libvirt.org/schemas/domain/qemu/1.0'"),
            "domain XML: <domain> is of the namespace 'http://libvirt.org/schemas/domain/qemu/1.0'");
  EXPECT_EQ(twice("<seclabel type='none'/><seclabel type='none' model='dac'/>"), "taken");
}

class Refused : public testing::TestWithParam<Case> {};

TEST_P(Refused, ForTheReasonInWords) {
  const auto domain =
      parse_domain(xml(GetParam().devices, GetParam().more, "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"));
  ASSERT_TRUE(domain) << domain.error().text();
  EXPECT_NE(domain->refusal.find(GetParam().reason), std::string::npos) << "refusal: " << domain->refusal;
}

INSTANTIATE_TEST_SUITE_P(
    Admission, Refused,
    testing::Values(
        Case{"<hostdev mode='subsystem' type='pci'/>", "", "(hostdev, pci)"},
        Case{"<interface type='hostdev'><mac address='52:54:00:00:00:09'/></interface>", "", "52:54:00:00:00:09"},
        Case{"<interface type='vhostuser'/>", "", "vhostuser"}, Case{"<interface type='vdpa'/>", "", "vdpa"},
        Case{"<disk type='file' device='disk'><source file='/var/a.qcow2'/><target dev='vda'/></disk>", "",
             "vda (/var/a.qcow2)"},
        Case{"<disk type='block' device='disk'><source dev='/dev/vg/a'/><target dev='vda'/></disk>", "", "/dev/vg/a"},
        Case{"<disk type='volume' device='disk'><source pool='p' volume='a'/><target dev='vda'/></disk>", "",
             "local to this host"},
        Case{"<disk type='network' device='disk'><source protocol='nbd'><host transport='unix' socket='/s'/></source>"
             "<target dev='vda'/></disk>",
             "", "local to this host"},
        Case{"<disk type='vhostuser' device='disk'><source type='unix' path='/s'/><target dev='vda'/></disk>", "",
             "vhostuser"},
        Case{"<disk type='nvme' device='disk'><source/><target dev='vda'/></disk>", "", "nvme"},
        Case{"<disk type='network' device='disk'><source protocol='rbd' name='p/a'/><transient/><target "
             "dev='vda'/></disk>",
             "", "transient"},
        Case{"<disk type='file' device='cdrom'><source file='/x.iso'/><target dev='sda'/></disk>", "", "/x.iso"},
        Case{"<tpm model='tpm-crb'><backend type='emulator'/></tpm>", "", "TPM"},
        Case{"<filesystem type='mount'><driver type='virtiofs'/><target dir='share'/></filesystem>", "",
             "virtiofs, at share"},
        Case{"<filesystem type='mount'><target dir='share'/></filesystem>", "", "9p"},
        Case{"<shmem name='x'/>", "", "shmem"}, Case{"<memory model='virtio-pmem'/>", "", "virtio-pmem"},
        Case{"", "<launchSecurity type='sev'/>", "encrypted (sev)"},
        Case{"", "<on_poweroff>restart</on_poweroff>", "on_poweroff"},
        Case{"", "<qemu:commandline><qemu:arg value='-incoming'/><qemu:arg value='tcp:0:1'/></qemu:commandline>",
             "-incoming tcp:0:1"},
        Case{"", "<metadata><u:vm xmlns:u='https://umbra.invalid/vm/1'><u:address>10.50</u:address></u:vm></metadata>",
             "'10.50' in its metadata is no IP address"}));

class Admitted : public testing::TestWithParam<std::string_view> {};

TEST_P(Admitted, WithoutAReasonAgainstIt) {
  const auto domain = parse_domain(xml(GetParam()));
  ASSERT_TRUE(domain) << domain.error().text();
  EXPECT_EQ(domain->refusal, "");
}

INSTANTIATE_TEST_SUITE_P(
    Admission, Admitted,
    testing::Values(
        "", "<disk type='network' device='disk'><source protocol='rbd' name='p/a'/><target dev='vda'/></disk>",
        "<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>",
        "<disk type='file' device='cdrom'><source file='/x.iso'/><target dev='sda'/><readonly/></disk>",
        "<disk type='file' device='floppy'><target dev='fda'/></disk>",
        "<disk type='block' device='disk'><source dev='/dev/mapper/mp'/><target dev='vda'/><shareable/></disk>",
        "<interface type='bridge'><source bridge='br0'/></interface><rng model='virtio'/>"));

TEST(Admission, AnOperatorsWordMakesLocalDisksShared) {
  const std::string disk = "<disk type='file' device='disk'><source file='/nfs/a'/><target dev='vda'/></disk>";
  const auto domain = parse_domain(
      xml(disk, "<metadata><u:vm xmlns:u='https://umbra.invalid/vm/1'><u:shared-disks/></u:vm></metadata>"));
  ASSERT_TRUE(domain);
  EXPECT_EQ(domain->refusal, "");
}

TEST(Admission, ACpuThatIsTheHostsOwnIsAWarningOnly) {
  const auto domain = parse_domain(xml("", "<cpu mode='host-passthrough'/>"));
  ASSERT_TRUE(domain);
  EXPECT_EQ(domain->refusal, "");
  ASSERT_EQ(domain->warnings.size(), 1U);
  EXPECT_NE(domain->warnings[0].find("host-passthrough"), std::string::npos);
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(ShadowXml, WaitsForAMigrationAndKeepsTheRest) {
  const auto shadow =
      shadow_xml(xml("<serial type='file'><source path='/run/vm1.log'/></serial>",
                     "<on_reboot>destroy</on_reboot><description>mine\n[umbra] held\nstill mine</description>"
                     "<seclabel type='dynamic' model='apparmor'><label>x</label></seclabel>"
                     "<seclabel type='none' model='dac'/>",
                     "id='7'"));
  ASSERT_TRUE(shadow) << shadow.error().text();
  const auto domain = parse_domain(*shadow);
  ASSERT_TRUE(domain);
  EXPECT_TRUE(domain->incoming);
  EXPECT_EQ(domain->refusal, "");
  EXPECT_NE(shadow->find("xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\""), std::string::npos);
  EXPECT_NE(shadow->find("/run/vm1.log"), std::string::npos);
  EXPECT_NE(shadow->find("<on_reboot>destroy</on_reboot>"), std::string::npos);
  EXPECT_NE(shadow->find("<description>mine\nstill mine</description>"), std::string::npos) << *shadow;
  EXPECT_EQ(shadow->find("dynamic"), std::string::npos);
  EXPECT_NE(shadow->find("type=\"none\" model=\"dac\""), std::string::npos);
  EXPECT_EQ(shadow->find("id=\"7\""), std::string::npos);
}

TEST(ShadowXml, JoinsAnExistingCommandlineUnderItsOwnPrefix) {
  const auto shadow = shadow_xml(xml("", "<q:commandline><q:arg value='-snapshot'/></q:commandline>",
                                     "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"));
  ASSERT_TRUE(shadow);
  EXPECT_EQ(count(*shadow, "<q:commandline>"), 1U);
  EXPECT_EQ(count(*shadow, "<q:arg"), 3U);
  EXPECT_EQ(shadow->find("xmlns:qemu"), std::string::npos);
}

TEST(ShadowXml, AddsNothingTwice) {
  const auto once = shadow_xml(xml(""));
  ASSERT_TRUE(once);
  const auto twice = shadow_xml(*once);
  ASSERT_TRUE(twice);
  EXPECT_EQ(*once, *twice);
}

TEST(CleanXml, TakesBackWhatAShadowAdded) {
  const auto original = xml("<serial type='pty'/>");
  const auto clean = clean_xml(shadow_xml(original).value());
  ASSERT_TRUE(clean);
  EXPECT_EQ(*clean, clean_xml(original).value());
  EXPECT_EQ(clean->find("incoming"), std::string::npos);
  EXPECT_EQ(clean->find("qemu:"), std::string::npos);
  EXPECT_EQ(clean->find("xmlns:qemu"), std::string::npos);
}

TEST(CleanXml, KeepsWhatIsNotOurs) {
  const auto original =
      xml("",
          "<description>[umbra] held</description><qemu:commandline><qemu:arg value='-snapshot'/></qemu:commandline>"
          "<qemu:override/>",
          "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'");
  const auto clean = clean_xml(shadow_xml(original).value());
  ASSERT_TRUE(clean);
  EXPECT_EQ(count(*clean, "<qemu:arg"), 1U);
  EXPECT_NE(clean->find("-snapshot"), std::string::npos);
  EXPECT_NE(clean->find("<qemu:override"), std::string::npos);
  EXPECT_EQ(clean->find("description"), std::string::npos);
}

TEST(Annotated, TouchesOnlyOurLines) {
  EXPECT_EQ(annotated("", "held on host2"), "[umbra] held on host2");
  EXPECT_EQ(annotated("web server", "[umbra] held"), "web server\n[umbra] held");
  EXPECT_EQ(annotated("web server\n[umbra] held", "[umbra] moving"), "web server\n[umbra] moving");
  EXPECT_EQ(annotated("web server\n[umbra] held", ""), "web server");
  EXPECT_EQ(annotated("[umbra] held", ""), "");
  EXPECT_EQ(annotated("a\n\nb", ""), "a\n\nb");
}

}  // namespace
}  // namespace umbra::virt
