#include "agentd/virt/foreign_paths.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string>

namespace umbra::virt {
namespace {

using Names = std::initializer_list<std::string_view>;

bool among(std::string_view name, Names names) {
  return std::ranges::find(names, name) != names.end();
}

template <class... Args>
tl::unexpected<Error> deny(std::string remedy, fmt::format_string<Args...> format, Args&&... args) {
  return fail({Errc::kDenied, fmt::format(format, std::forward<Args>(args)...), std::move(remedy)});
}

bool below(const std::string& path, std::string_view folder) {
  return path.starts_with(folder) &&
         (folder.ends_with('/') || path.size() == folder.size() || path[folder.size()] == '/');
}

bool below_any(const std::string& path, Names folders) {
  return std::ranges::any_of(folders, [&](std::string_view folder) { return below(path, folder); });
}

/// What libvirt and distributions put into domains themselves, by where it stands.
bool is_of_the_system(const pugi::xml_node& node, const std::string& path, const ForeignRules& rules) {
  const std::string_view name = node.name();
  if (name == "emulator")
    return path == rules.emulator || among(path, {"/usr/bin/qemu-kvm", "/usr/bin/kvm", "/usr/libexec/qemu-kvm"}) ||
           (path.starts_with("/usr/bin/qemu-system-") && path.find('/', 9) == path.npos);
  if (name == "loader" || name == "nvram")
    return below_any(path, {"/usr/share/OVMF", "/usr/share/AAVMF", "/usr/share/ovmf", "/usr/share/qemu",
                            "/usr/share/qemu-efi-aarch64", "/usr/share/edk2", "/usr/share/seabios"}) ||
           (name == "nvram" && below(path, "/var/lib/libvirt/qemu/nvram"));
  if (name == "backend")
    return among(path, {"/dev/random", "/dev/urandom", "/dev/hwrng", "/dev/net/tun", "/dev/vhost-net"});
  if (name == "log") return below(path, "/var/log/libvirt/qemu");
  const bool own_socket = below_any(path, {"/var/lib/libvirt/qemu/channel", "/run/libvirt/qemu/channel",
                                           "/var/run/libvirt/qemu/channel"}) ||
                          path.starts_with("/var/lib/libvirt/qemu/domain-");
  if (name == "source") return own_socket || below(path, "/var/log/libvirt/qemu") || below(path, "/dev/pts");
  if (among(name, {"serial", "console", "parallel", "channel"})) return below(path, "/dev/pts");
  if (among(name, {"graphics", "listen"})) return own_socket;
  return false;
}

/// Folders that belong to a host and not to its guests: there a file that is written, or a disk that is taken, ends the
/// host or gives it away.
bool is_the_hosts_own(const std::string& path) {
  if (below_any(path, {"/var/lib/libvirt/images", "/dev/mapper", "/dev/disk"})) return false;
  return path == "/" || below_any(path, {"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32",
                                         "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var"});
}

bool may_use(const std::string& path, const ForeignRules& rules) {
  if (rules.paths.empty()) return !is_the_hosts_own(path);
  return std::ranges::any_of(rules.paths, [&](const auto& folder) { return below(path, folder); });
}

/// Attributes and elements that hold a path and nothing else: there a relative one counts too.
bool holds_path(const pugi::xml_node& node, std::string_view attribute_name) {
  if (attribute_name.empty())
    return among(node.name(), {"emulator", "kernel", "initrd", "loader", "nvram", "dtb", "table", "shim"});
  if (among(attribute_name, {"file", "path", "socket", "template", "rendernode", "logFile"})) return true;
  return attribute_name == "dev" && std::string_view(node.name()) == "source" &&
         std::string_view(node.parent().name()) == "disk";
}

/// Words that begin with a slash and name nothing on the host.
bool is_no_path(const pugi::xml_node& node, std::string_view attribute_name) {
  const std::string_view name = node.name(), parent = node.parent().name();
  if (name == "source" && node.attribute("protocol")) return among(attribute_name, {"name", "query"});  // on a server
  if (name == "partition") return parent == "resource";                                                 // of cgroups
  if (name == "path") return parent == "device" && std::string_view(node.parent().parent().name()) == "blkiotune";
  return among(name, {"title", "description", "cmdline"});
}

Result<void> check_path(const pugi::xml_node& node, std::string_view attribute_name, std::string_view value,
                        const ForeignRules& rules) {
  if (value.empty() || is_no_path(node, attribute_name)) return {};
  if (value[0] != '/' && !holds_path(node, attribute_name)) return {};
  const std::filesystem::path path(value);
  const auto normal = path.lexically_normal().string();
  const bool climbs = std::ranges::find(path, "..") != path.end();
  if (path.is_absolute() && !climbs) {
    if (is_of_the_system(node, normal, rules)) return {};
    if (std::string_view(node.name()) != "emulator" && may_use(normal, rules)) return {};
  }
  if (std::string_view(node.name()) == "emulator")
    return deny("make it the emulator of [libvirt] emulator there", "its emulator {} is not one of this host's", value);
  return deny("add its folder to [shadow] allowed_paths there, if other hosts may use what is in it",
              "it uses {} ({}), which is not below what other hosts' domains may use here", value, node.name());
}

}  // namespace

Result<void> check_paths(const pugi::xml_node& node, const ForeignRules& rules) {
  for (const auto& each : node.attributes()) {
    if (std::string_view(each.name()).starts_with("xmlns")) continue;
    UMBRA_CHECK(check_path(node, each.name(), each.value(), rules));
  }
  return check_path(node, {}, node.text().get(), rules);
}

}  // namespace umbra::virt
