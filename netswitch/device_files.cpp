#include "netswitch/device_files.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "netswitch/kernel_error.hpp"

namespace umbra::netswitch {
namespace {

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string path_of(const std::string& dev, Sysctl key) {
  switch (key) {
    case Sysctl::kProxyArp:
      return fmt::format("/proc/sys/net/ipv4/conf/{}/proxy_arp", dev);
    case Sysctl::kProxyArpDelay:
      return fmt::format("/proc/sys/net/ipv4/neigh/{}/proxy_delay", dev);
    case Sysctl::kRpFilter:
      return fmt::format("/proc/sys/net/ipv4/conf/{}/rp_filter", dev);
    case Sysctl::kAcceptRa:
      return fmt::format("/proc/sys/net/ipv6/conf/{}/accept_ra", dev);
  }
  return {};
}

}  // namespace

Result<void> create_persistent_tap(const std::string& name, const TapOptions& options) {
  const std::string doing = fmt::format("create tap {}", name);
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return fail(Error{Errc::kInvalid, doing + ": the name must have 1 to 15 characters", "choose a shorter name"});
  }
  const File tun("/dev/net/tun", O_RDWR);
  if (tun.get() < 0) {
    Error error = kernel_error(errno, doing + ": open /dev/net/tun");
    if (error.code == Errc::kNotFound) error.code = Errc::kUnsupported;
    return fail(
        with_remedy(std::move(error), "`modprobe tun`, and let the agent open it (DeviceAllow=/dev/net/tun rw)"));
  }
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  // IFF_TUN_EXCL: an existing link is an error, never taken over. VNET_HDR is QEMU's own choice when it attaches.
  request.ifr_flags =
      static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (options.multi_queue ? IFF_MULTI_QUEUE : 0));
  if (ioctl(tun.get(), TUNSETIFF, &request) != 0) return fail(kernel_error(errno, doing));
  if (options.owner && ioctl(tun.get(), TUNSETOWNER, static_cast<unsigned long>(*options.owner)) != 0) {
    return fail(kernel_error(errno, fmt::format("{}: give it to user {}", doing, *options.owner)));
  }
  // Last: until here closing the file takes the tap away again.
  if (ioctl(tun.get(), TUNSETPERSIST, 1UL) != 0) return fail(kernel_error(errno, doing + ": make it persistent"));
  return {};
}

Result<void> write_interface_sysctl(const std::string& dev, Sysctl key, int value) {
  const std::string path = path_of(dev, key);
  const std::string text = std::to_string(value);
  const File file(path, O_WRONLY);
  if (file.get() < 0 || ::write(file.get(), text.data(), text.size()) < 0) {
    return fail(kernel_error(errno, fmt::format("write {} to {}", text, path)));
  }
  return {};
}

}  // namespace umbra::netswitch
