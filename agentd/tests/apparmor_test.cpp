// Whether libvirt's AppArmor profile of a QEMU lets it use its end of a stream: by the program that writes those
// profiles.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agentd/shadow/gate.hpp"
#include "base/subprocess.hpp"
#include "base/temporary_directory.hpp"

namespace umbra::shadow {
namespace {

TEST(AppArmor, LetsQemuUseTheSocketOfItsStream) {
  const std::filesystem::path helper = "/usr/lib/libvirt/virt-aa-helper";
  ASSERT_TRUE(std::filesystem::exists(helper)) << "libvirt-daemon-system has it";
  const auto directory = TemporaryDirectory::make("umbra-apparmor-");
  ASSERT_TRUE(directory);
  const auto file = (directory->path() / "domain.xml").string();
  std::ofstream(file) << R"(<domain type='qemu' id='4'>
  <name>a-vm-with-a-rather-long-name</name>
  <uuid>11111111-2222-3333-4444-555555555501</uuid>
  <memory unit='KiB'>65536</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>)";
  Command command;
  command.words = {"sh", "-c", "exec \"$0\" -c -d -u libvirt-11111111-2222-3333-4444-555555555501 < \"$1\"",
                   helper.string(), file};
  command.most_output = 65536;
  const std::atomic<bool> stop{false};
  const auto written = run_command(command, stop);
  ASSERT_TRUE(written) << written.error().text();
  ASSERT_EQ(written->status, 0) << written->output;

  // libvirt's short name of a domain has twenty characters of it, and so has its directory.
  v1::ShadowId id;
  id.set_number(17);
  const auto socket = stream_socket("/var/lib/libvirt/qemu/domain-4-a-vm-with-a-rather-l", id);
  const auto rule = std::filesystem::path(socket).parent_path().string();
  EXPECT_NE(written->output.find('"' + rule + "/*\" rw"), std::string::npos) << written->output;
  EXPECT_EQ(std::filesystem::path(socket).filename(), "umbra-17.sock") << "in that directory itself: * is no **";
}

}  // namespace
}  // namespace umbra::shadow
