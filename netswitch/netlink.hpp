/// rtnetlink requests over libnl: one message out, the answers in (rtnetlink(7), netlink(7)).
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace umbra::netswitch {

/// A request under construction: a fixed header, then attributes.
class NetlinkMessage {
 public:
  /// @param type RTM_…; @param flags NLM_F_…, besides NLM_F_REQUEST
  /// @param header the struct that the type begins with: rtmsg, ifinfomsg, ndmsg, ifaddrmsg
  template <class Header>
  NetlinkMessage(int type, int flags, const Header& header) : NetlinkMessage(type, flags, &header, sizeof header) {}

  NetlinkMessage& add(int attribute, std::span<const std::uint8_t> bytes);
  NetlinkMessage& add(int attribute, std::uint32_t value);
  NetlinkMessage& add(int attribute, const std::string& text);

  nl_msg* get() const { return message_.get(); }

 private:
  NetlinkMessage(int type, int flags, const void* header, std::size_t size);
  struct Free {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
  };
  std::unique_ptr<nl_msg, Free> message_;
};

/// A route socket of the namespace in which the calling thread opened it. One request at a time.
class NetlinkSocket {
 public:
  /// @error kUnsupported the kernel knows no strict checks (before 4.20); kExhausted
  static Result<NetlinkSocket> open();

  /// Sends, and waits for the acknowledgement or the end of the dump; `each` sees every answer before that.
  /// A dump that the kernel marks as inconsistent is asked for again, after `restart`.
  /// @param doing for the message of an Error
  Result<void> request(const NetlinkMessage& message, std::string_view doing,
                       const std::function<void(const nlmsghdr*)>& each = {},
                       const std::function<void()>& restart = {});
  /// Notifications of what this socket asked for carry it as their sender (nlmsg_pid).
  std::uint32_t port() const;

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  explicit NetlinkSocket(nl_sock* socket) : socket_(socket) {}
  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace umbra::netswitch
