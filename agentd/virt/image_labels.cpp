#include "agentd/virt/image_labels.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <pugixml.hpp>

namespace umbra::virt {
namespace {

constexpr const char* kSelinux = "security.selinux";
constexpr std::size_t kLongestContext = 4096;
constexpr int kGuardLook = 20;  // milliseconds between looks whether the guard is to end

std::string_view text(const pugi::xml_attribute& attribute) {
  return attribute.value();
}

/// "+64055": a number of the kernel's, as libvirt writes it for labels that it makes itself.
template <class Number>
std::optional<Number> number(std::string_view word) {
  if (word.starts_with('+')) word.remove_prefix(1);
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::optional<DomainImages::User> user_of(const pugi::xml_node& domain) {
  for (const auto& label : domain.children("seclabel")) {
    if (text(label.attribute("model")) != "dac" || text(label.attribute("relabel")) == "no") continue;
    const std::string_view both = label.child("imagelabel").text().get();
    const auto colon = both.find(':');
    if (colon == both.npos) continue;
    const auto uid = number<uid_t>(both.substr(0, colon));
    const auto gid = number<gid_t>(both.substr(colon + 1));
    if (uid && gid) return DomainImages::User{*uid, *gid};
  }
  return std::nullopt;
}

bool left_alone(const pugi::xml_node& source) {
  for (const auto& label : source.children("seclabel"))
    if (text(label.attribute("model")) == "dac" && text(label.attribute("relabel")) == "no") return true;
  return false;
}

/// A path of an O_PATH descriptor, for calls that take none.
std::string by_descriptor(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

std::string context_of(int fd) {
  std::string context(kLongestContext, '\0');
  const auto length = ::getxattr(by_descriptor(fd).c_str(), kSelinux, context.data(), context.size());
  context.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return context;
}

/// Whether a process of that user and group, and of no other, may read and write the file.
bool may_open(const struct stat& file, const DomainImages::User& user) {
  constexpr mode_t kReadWrite = 06;
  const mode_t granted = file.st_uid == user.uid   ? file.st_mode >> 6
                         : file.st_gid == user.gid ? file.st_mode >> 3
                                                   : file.st_mode;
  return user.uid == 0 || (granted & kReadWrite) == kReadWrite;
}

}  // namespace

bool is_image_of_its_own(const pugi::xml_node& disk) {
  return disk.child("source").attribute("file") && !disk.child("readonly") && !disk.child("shareable");
}

Result<DomainImages> images_of(std::string_view live_xml) {
  pugi::xml_document document;
  const auto parsed = document.load_buffer(live_xml.data(), live_xml.size());
  if (!parsed)
    return fail({Errc::kInvalid, fmt::format("domain XML: {}", parsed.description()), "virsh dumpxml shows it"});
  const auto domain = document.child("domain");
  DomainImages found;
  found.user = user_of(domain);
  for (const auto& disk : domain.child("devices").children("disk"))
    if (is_image_of_its_own(disk)) {
      const auto source = disk.child("source");
      found.images.push_back({source.attribute("file").value(), left_alone(source)});
    }
  return found;
}

LabelNote::File::~File() {
  if (fd >= 0) ::close(fd);
}

LabelNote LabelNote::take(const DomainImages& domain) {
  LabelNote note;
  for (const auto& image : domain.images) {
    if (image.left_alone) continue;  // libvirt takes nothing from it
    File file(::open(image.path.c_str(), O_PATH | O_CLOEXEC));
    struct stat now {};
    if (file.fd < 0 || ::fstat(file.fd, &now) != 0 || !S_ISREG(now.st_mode)) continue;  // nothing that could be lost
    auto context = context_of(file.fd);
    note.entries_.push_back({image.path, std::move(file), now.st_uid, now.st_gid, std::move(context)});
  }
  return note;
}

std::vector<std::string> LabelNote::put_back() const {
  std::vector<std::string> trouble;
  for (const auto& entry : entries_) {
    struct stat now {};
    if (::fstat(entry.file.fd, &now) != 0) continue;  // deleted on the server meanwhile
    if ((now.st_uid != entry.uid || now.st_gid != entry.gid) &&
        ::fchownat(entry.file.fd, "", entry.uid, entry.gid, AT_EMPTY_PATH) != 0)
      trouble.push_back(
          fmt::format("cannot give {} back to {}:{}: {}", entry.path, entry.uid, entry.gid, std::strerror(errno)));
    if (!entry.selinux.empty() && context_of(entry.file.fd) != entry.selinux &&
        ::setxattr(by_descriptor(entry.file.fd).c_str(), kSelinux, entry.selinux.data(), entry.selinux.size(), 0) != 0)
      trouble.push_back(fmt::format("cannot give {} its SELinux context back: {}", entry.path, std::strerror(errno)));
  }
  return trouble;
}

std::vector<std::string> LabelNote::paths() const {
  std::vector<std::string> paths;
  for (const auto& entry : entries_) paths.push_back(entry.path);
  return paths;
}

LabelGuard::LabelGuard(const LabelNote& note) {
  const int inotify = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (inotify < 0) return;  // the owner is put back a little later, by whoever took the note
  for (const auto& path : note.paths()) ::inotify_add_watch(inotify, path.c_str(), IN_ATTRIB);
  thread_ = std::jthread([inotify, &note](const std::stop_token& stop) {
    std::array<char, 4096> changes;
    pollfd changed{inotify, POLLIN, 0};
    while (!stop.stop_requested())
      if (::poll(&changed, 1, kGuardLook) > 0 && ::read(inotify, changes.data(), changes.size()) > 0) note.put_back();
    ::close(inotify);
  });
}

std::vector<std::string> tend(const DomainImages& domain) {
  std::vector<std::string> found;
  if (!domain.user) return found;
  const auto [uid, gid] = *domain.user;
  for (const auto& image : domain.images) {
    const int fd = ::open(image.path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0) continue;  // a storage that is away is found out by QEMU itself
    struct stat now {};
    if (::fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && !may_open(now, *domain.user)) {
      const auto taken = fmt::format("its image {} belonged to {}:{}, while its QEMU runs as {}:{}", image.path,
                                     now.st_uid, now.st_gid, uid, gid);
      if (!image.left_alone)
        found.push_back(fmt::format("{}; give it back: chown {}:{} {}", taken, uid, gid, image.path));
      else if (::fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0)
        found.push_back(fmt::format("{}; given back", taken));
      else
        found.push_back(fmt::format("{}, and cannot be given back ({}): chown {}:{} {}", taken, std::strerror(errno),
                                    uid, gid, image.path));
    }
    ::close(fd);
  }
  return found;
}

}  // namespace umbra::virt
