/// The kernel's own notifications of changes: rtnetlink(7) multicast groups.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "netswitch/kernel.hpp"

struct nlmsghdr;

namespace umbra::netswitch {

/// A socket of the namespace in which the calling thread opened it.
///
/// At most kMostAtOnce messages are taken at a time, with kPause between: what a storm of changes costs is bounded.
/// What does not fit into the kernel's buffer meanwhile is lost there, and told as such (ENOBUFS).
class NetlinkWatch final : public KernelWatch {
 public:
  static constexpr int kMostAtOnce = 512;
  static constexpr std::chrono::milliseconds kPause{10};
  static constexpr int kReceiveBuffer = 1 << 20;

  /// @param own_port changes asked for by that socket are not told
  /// @param receive_buffer bytes that the kernel keeps for us
  static Result<std::unique_ptr<KernelWatch>> open(asio::any_io_executor executor, Watcher watcher,
                                                   std::uint32_t own_port, int receive_buffer = kReceiveBuffer);
  ~NetlinkWatch() override;

 private:
  struct Core;  // with its handlers, which may be called once more after our end
  explicit NetlinkWatch(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

}  // namespace umbra::netswitch
