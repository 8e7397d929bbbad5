#include "agentd/virt/admission.hpp"

#include <fmt/format.h>

#include <boost/asio/ip/address.hpp>
#include <string_view>

namespace umbra::virt {
namespace {

std::string_view text(const pugi::xml_attribute& attribute) {
  return attribute.value();
}

/// Devices that are parts of this very host, or keep state in its files: their state cannot follow.
std::string host_device(const pugi::xml_node& devices) {
  if (const auto hostdev = devices.child("hostdev"))
    return fmt::format("it uses a device of this host (hostdev, {}); detach it", hostdev.attribute("type").value());
  if (devices.child("shmem")) return "it shares memory with other processes of this host (shmem); remove the device";
  if (devices.child("tpm")) return "its TPM keeps its state in a file of this host; remove the device";
  if (const auto filesystem = devices.child("filesystem"))
    return fmt::format("it mounts a directory of this host ({}, at {}); use a network file system inside the guest",
                       text(filesystem.child("driver").attribute("type")) == "virtiofs" ? "virtiofs" : "9p",
                       filesystem.child("target").attribute("dir").value());
  for (const auto& memory : devices.children("memory"))
    if (text(memory.attribute("model")) == "virtio-pmem")
      return "its persistent memory (virtio-pmem) is a file of this host; remove the device";
  return {};
}

std::string host_interface(const pugi::xml_node& devices) {
  for (const auto& interface : devices.children("interface")) {
    const auto type = text(interface.attribute("type"));
    const auto* mac = interface.child("mac").attribute("address").value();
    if (type == "hostdev")
      return fmt::format("its interface {} is a device of this host (hostdev); use a tap (type='ethernet')", mac);
    if (type == "vhostuser" || type == "vdpa")
      return fmt::format(
          "its interface {} is served by a process or device of this host ({}); use a tap (type='ethernet')", mac,
          type);
  }
  return {};
}

/// The file, device, volume or address behind a disk, for people.
std::string source_of(const pugi::xml_node& disk) {
  const auto source = disk.child("source");
  for (const auto* name : {"file", "dev", "volume", "dir", "name", "path"})
    if (const auto attribute = source.attribute(name)) return attribute.value();
  return disk.attribute("type").value();
}

std::string local_disk(const pugi::xml_node& devices, bool shared) {
  for (const auto& disk : devices.children("disk")) {
    const auto type = text(disk.attribute("type"));
    const auto* target = disk.child("target").attribute("dev").value();
    if (type == "nvme" || type == "vhostuser" || type == "vhostvdpa")
      return fmt::format("its disk {} is a device of this host ({}); use shared storage", target, type);
    if (!disk.child("source") || disk.child("readonly")) continue;  // an empty drive, or the same content everywhere
    if (disk.child("transient"))
      return fmt::format("its disk {} keeps its changes in a file of this host (transient); make it a plain disk",
                         target);
    const bool unix_socket = text(disk.child("source").child("host").attribute("transport")) == "unix";
    if (type == "network" && !unix_socket) continue;
    if (shared || disk.child("shareable")) continue;
    return fmt::format(
        "its disk {} ({}) is local to this host; move it to shared storage (rbd, iscsi, nbd, NFS), and where libvirt "
        "cannot tell that a file or block device is shared, say so: <umbra:shared-disks/> in the domain's metadata, or "
        "<shareable/> in the disk",
        target, source_of(disk));
  }
  return {};
}

std::string foreign_incoming(const pugi::xml_node& domain) {
  for (const auto& child : domain.children()) {
    if (!std::string_view(child.name()).ends_with(":commandline")) continue;
    for (auto argument = child.first_child(); argument; argument = argument.next_sibling()) {
      const auto value = text(argument.next_sibling().attribute("value"));
      if (text(argument.attribute("value")) == "-incoming" && value != "defer")
        return fmt::format("its qemu:commandline has -incoming {} already; remove it", value);
    }
  }
  return {};
}

/// libvirt would let QEMU live and reset it, and could not let it run again: the guest's end lifts the hold.
std::string restart_at_the_end(const pugi::xml_node& domain) {
  if (std::string_view(domain.child("on_poweroff").text().get()) != "restart") return {};
  return "it is restarted when it powers off (on_poweroff), which a held shadow makes fail; make that destroy";
}

std::string bad_address(const UmbraMetadata& metadata) {
  for (const auto& address : metadata.addresses) {
    boost::system::error_code error;
    boost::asio::ip::make_address(address, error);
    if (error) return fmt::format("'{}' in its metadata is no IP address; correct it (virsh metadata)", address);
  }
  return {};
}

}  // namespace

std::string refusal(const pugi::xml_node& domain, const UmbraMetadata& metadata, const ForeignRules& rules) {
  const auto devices = domain.child("devices");
  if (const auto security = domain.child("launchSecurity"))
    return fmt::format("its memory is encrypted ({}) and cannot be copied ahead; remove <launchSecurity>",
                       security.attribute("type").value());
  for (auto reason :
       {host_device(devices), host_interface(devices), local_disk(devices, metadata.shared_disks),
        foreign_incoming(domain), refused_extension(domain, rules), restart_at_the_end(domain), bad_address(metadata)})
    if (!reason.empty()) return reason;
  return {};
}

std::vector<std::string> warnings(const pugi::xml_node& domain) {
  std::vector<std::string> found;
  const auto mode = text(domain.child("cpu").attribute("mode"));
  if (mode == "host-passthrough" || mode == "maximum")
    found.push_back(
        fmt::format("its CPU is {}: the standby host must have the same CPU; use host-model or a named model", mode));
  return found;
}

}  // namespace umbra::virt
