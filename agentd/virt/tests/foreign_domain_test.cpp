#include "agentd/virt/foreign_domain.hpp"

#include <gtest/gtest.h>

#include "agentd/virt/domain_xml.hpp"

namespace umbra::virt {
namespace {

constexpr std::string_view kQemu = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";

const ForeignClaim kWeb1{"11111111-2222-3333-4444-555555555501", "web1", "uvm1", mebibytes(256)};

std::string foreign_xml(std::string_view devices, std::string_view more = "",
                        std::string_view attributes = "type='kvm'") {
  return fmt::format(R"(<domain {}>
  <name>web1</name>
  <uuid>11111111-2222-3333-4444-555555555501</uuid>
  <memory unit='KiB'>262144</memory>
  {}
  <devices>
    <interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='uvm1' managed='no'/></interface>
    {}
  </devices>
</domain>)",
                     attributes, more, devices);
}

std::string with_qemu(std::string_view more) {
  return foreign_xml("", more, fmt::format("type='kvm' {}", kQemu));
}

Result<void> taken(const std::string& xml, const ForeignRules& rules = {}) {
  return check_foreign(xml, kWeb1, rules);
}

TEST(ForeignDomain, what_libvirt_writes_itself_is_taken) {
  const auto plain = taken(foreign_xml(R"(
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='network' device='disk'><source protocol='http' name='/path/on/the/server'/><target dev='vda'/></disk>
    <disk type='file' device='disk'><source file='/var/lib/libvirt/images/a.qcow2'/><target dev='vdb'/><shareable/></disk>
    <serial type='pty' tty='/dev/pts/3'><source path='/dev/pts/3'/><log file='/var/log/libvirt/qemu/web1.log'/></serial>
    <channel type='unix'><source mode='bind' path='/run/libvirt/qemu/channel/1-web1/org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' socket='/var/lib/libvirt/qemu/domain-1-web1/vnc.sock'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>)",
                                       R"(<os><type>hvm</type><loader>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram></os>
    <resource><partition>/machine</partition></resource><title>/etc is no path here</title>
    <metadata><x:y xmlns:x='urn:x' z='/etc/passwd'>/etc/passwd<x:w/></x:y></metadata>
    <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+64055</label></seclabel>)"));
  EXPECT_TRUE(plain) << plain.error().text();
  const auto held =
      taken(with_qemu("<qemu:commandline><qemu:arg value='-incoming'/><qemu:arg value='defer'/></qemu:commandline>"));
  EXPECT_TRUE(held) << held.error().text();
}

TEST(ForeignDomain, it_is_the_one_that_was_announced) {
  const auto other = [](ForeignClaim claim) { return check_foreign(foreign_xml(""), claim, {}).has_value(); };
  EXPECT_TRUE(other(kWeb1));
  EXPECT_FALSE(other({"11111111-2222-3333-4444-555555555502", "web1", "uvm1", mebibytes(256)}));
  EXPECT_FALSE(other({kWeb1.uuid, "web2", "uvm1", mebibytes(256)}));
  EXPECT_FALSE(other({kWeb1.uuid, "web1", "uvm2", mebibytes(256)}));
  EXPECT_FALSE(other({kWeb1.uuid, "web1", "uvm1", mebibytes(128)}));
  EXPECT_TRUE(other({kWeb1.uuid, "web1", "uvm1", mebibytes(128), false})) << "a definition may have another memory";
}

TEST(ForeignDomain, arguments_of_qemu_are_taken_only_from_the_list) {
  const auto argued = with_qemu(
      "<qemu:commandline><qemu:arg value='-global'/><qemu:arg value='kvm-pit.lost_tick_policy=discard'/>"
      "</qemu:commandline>");
  const auto denied = taken(argued);
  ASSERT_FALSE(denied);
  EXPECT_NE(denied.error().text().find("allowed_qemu_arguments"), std::string::npos) << denied.error().text();
  ForeignRules rules;
  rules.qemu_arguments = {"-global kvm-pit.lost_tick_policy=discard"};
  EXPECT_TRUE(taken(argued, rules));
  rules.qemu_arguments = {"-global"};
  EXPECT_FALSE(taken(argued, rules)) << "its value is not on the list";
}

TEST(ForeignDomain, admission_says_so_before_anything_starts) {
  const auto xml = with_qemu("<qemu:commandline><qemu:arg value='-snapshot'/></qemu:commandline>");
  const auto here = parse_domain(xml);
  ASSERT_TRUE(here);
  EXPECT_NE(here->refusal.find("-snapshot"), std::string::npos) << here->refusal;
  ForeignRules rules;
  rules.qemu_arguments = {"-snapshot"};
  EXPECT_EQ(parse_domain(xml, rules)->refusal, "");
}

TEST(ForeignDomain, the_domains_in_a_snapshot_are_looked_at_too) {
  const auto snapshot = [](const std::string& domain, std::string_view more = "") {
    return check_foreign_snapshot(fmt::format("<domainsnapshot><name>before</name>{}<disks><disk name='vda'>"
                                              "<source file='/srv/a.1'/></disk></disks>{}</domainsnapshot>",
                                              more, domain),
                                  kWeb1, {})
        .has_value();
  };
  EXPECT_TRUE(snapshot(foreign_xml("")));
  EXPECT_TRUE(snapshot("<domain><uuid>11111111-2222-3333-4444-555555555501</uuid></domain>"));
  EXPECT_FALSE(snapshot("<domain><uuid>11111111-2222-3333-4444-555555555502</uuid></domain>"));
  EXPECT_FALSE(snapshot(foreign_xml("<emulator>/srv/evil</emulator>")));
  auto inactive = foreign_xml("<emulator>/srv/evil</emulator>");
  inactive.replace(1, 6, "inactiveDomain").replace(inactive.rfind("domain>"), 7, "inactiveDomain>");
  EXPECT_FALSE(snapshot(foreign_xml("") + inactive));
  EXPECT_FALSE(snapshot(foreign_xml(""), "<memory snapshot='external' file='/etc/cron.d/x'/>"));
  EXPECT_FALSE(check_foreign_snapshot(foreign_xml(""), kWeb1, {}));
}

struct Denied : testing::TestWithParam<std::string> {};

TEST_P(Denied, of_another_host) {
  const auto verdict = taken(GetParam());
  EXPECT_FALSE(verdict) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    ForeignDomain, Denied,
    testing::Values(
        // QEMU, told directly.
        with_qemu("<qemu:commandline><qemu:env name='LD_PRELOAD' value='/srv/x.so'/></qemu:commandline>"),
        with_qemu("<qemu:commandline><qemu:arg value='-incoming'/><qemu:arg value='exec:id'/></qemu:commandline>"),
        with_qemu("<qemu:commandline>-S<qemu:arg value='-incoming'/><qemu:arg value='defer'/></qemu:commandline>"),
        with_qemu("<qemu:commandline/><qemu:commandline><qemu:arg value='-chardev'/></qemu:commandline>"),
        with_qemu("<qemu:override><qemu:device alias='net0'/></qemu:override>"),
        with_qemu("<qemu:capabilities><qemu:del capability='x'/></qemu:capabilities>"),
        foreign_xml("", "<q:commandline><q:arg value='-S'/></q:commandline>",
                    "type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"),
        foreign_xml("",
                    "<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='-S'/></commandline>"),
        foreign_xml(
            "",
            "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-S'/></q:commandline>"),
        foreign_xml("", "<qemu:commandline><qemu:arg value='-S'/></qemu:commandline>"),
        foreign_xml("", "<qemu:commandline><qemu:arg value='-S'/></qemu:commandline>",
                    "type='kvm' xmlns:qemu='urn:another'"),
        // Programs on the host.
        foreign_xml("<emulator>/srv/evil</emulator>"),
        foreign_xml("<emulator>/usr/bin/qemu-system-x/../../../srv/evil</emulator>"),
        foreign_xml("<emulator>usr/bin/qemu-system-x86_64</emulator>"),
        foreign_xml("<emulator>/usr/bin/qemu-system-a/b</emulator>"),
        foreign_xml("<interface type='bridge'><source bridge='br0'/><script path='/srv/x'/></interface>"),
        foreign_xml("", "<bootloader>/usr/bin/pygrub</bootloader>"),
        // Files and devices of the host.
        foreign_xml("<serial type='file'><source path='/etc/cron.d/x'/></serial>"),
        foreign_xml("<serial type='pty'><log file='/etc/cron.d/x'/></serial>"),
        foreign_xml("<serial type='pipe'><source path='/srv/../etc/x'/></serial>"),
        foreign_xml("<serial type='dev'><source path='/dev/ttyS0'/></serial>"),
        foreign_xml("<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vda'/><shareable/></disk>"),
        foreign_xml(
            "<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sda'/><readonly/></disk>"),
        foreign_xml(
            "<disk type='file' device='cdrom'><source file='etc/shadow'/><target dev='sda'/><readonly/></disk>"),
        foreign_xml("<disk type='file' device='disk'><source file='/srv/a'/><backingStore><source file='/etc/shadow'/>"
                    "</backingStore><target dev='vda'/><shareable/></disk>"),
        foreign_xml(
            "<disk type='block' device='lun' rawio='yes'><source dev='/srv/a'/><target dev='sda'/><shareable/></disk>"),
        foreign_xml("", "<os><type>hvm</type><kernel>/etc/shadow</kernel></os>"),
        foreign_xml("", "<os><type>hvm</type><initrd>etc/shadow</initrd></os>"),
        foreign_xml("", "<os><type>hvm</type><nvram>/etc/cron.d/x</nvram></os>"),
        foreign_xml("", "<os><type>hvm</type><kernel>/srv/x<!-- -->/../../etc/shadow</kernel></os>"),
        foreign_xml("", "<os><type>hvm</type><kernel>/srv/x<![CDATA[/../../etc/shadow]]></kernel></os>"),
        foreign_xml("", "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>"),
        // What the host would be for it.
        foreign_xml("", "<seclabel type='static' model='dac'><label>root:root</label></seclabel>"),
        foreign_xml("", "<seclabel type='none'/>"), foreign_xml("<hostdev mode='subsystem' type='pci'/>"),
        foreign_xml("</devices><devices><hostdev mode='subsystem' type='pci'/>"),
        foreign_xml("<interface type='ethernet'><target dev='uvm2' managed='no'/></interface>"),
        foreign_xml("", "", "type='lxc'"), foreign_xml("", "<os><type>exe</type><init>/bin/sh</init></os>")));

}  // namespace
}  // namespace umbra::virt
