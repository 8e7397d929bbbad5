#include "netswitch/netlink.hpp"

#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/handlers.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>

#include "netswitch/kernel_error.hpp"

namespace umbra::netswitch {
namespace {

// The libnl calls that fill a message fail only for want of memory, which the project treats as a bug.
void must(int code) {
  if (code < 0) throw std::bad_alloc();
}

/// What the callbacks of one request leave behind.
struct Exchange {
  const std::function<void(const nlmsghdr*)>* each = nullptr;
  bool done = false;
  int error = 0;  // positive errno
  std::string detail;
};

/// The kernel's own explanation: attributes behind an nlmsgerr that carries no copy of the request (NETLINK_CAP_ACK).
std::string extended_message(const nlmsgerr* error) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const char*>(error) - NLMSG_HDRLEN);
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  const auto* first =
      reinterpret_cast<const nlattr*>(reinterpret_cast<const char*>(error) + NLMSG_ALIGN(sizeof *error));
  const int length = static_cast<int>(header->nlmsg_len) - NLMSG_LENGTH(static_cast<int>(sizeof *error));
  const nlattr* text = nla_find(first, length, NLMSGERR_ATTR_MSG);
  return text != nullptr ? nla_get_string(text) : std::string();
}

int on_valid(nl_msg* message, void* argument) {
  const auto& exchange = *static_cast<Exchange*>(argument);
  if (exchange.each != nullptr && *exchange.each) (*exchange.each)(nlmsg_hdr(message));
  return NL_OK;
}

int on_end(nl_msg*, void* argument) {
  static_cast<Exchange*>(argument)->done = true;
  return NL_STOP;
}

int on_error(sockaddr_nl*, nlmsgerr* error, void* argument) {
  auto& exchange = *static_cast<Exchange*>(argument);
  exchange.done = true;
  exchange.error = -error->error;
  exchange.detail = extended_message(error);
  return NL_STOP;
}

struct FreeCallbacks {
  void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};

}  // namespace

NetlinkMessage::NetlinkMessage(int type, int flags, const void* header, std::size_t size)
    : message_(nlmsg_alloc_simple(type, flags | NLM_F_REQUEST)) {
  if (!message_) throw std::bad_alloc();
  must(nlmsg_append(message_.get(), const_cast<void*>(header), size, NLMSG_ALIGNTO));
}

NetlinkMessage& NetlinkMessage::add(int attribute, std::span<const std::uint8_t> bytes) {
  must(nla_put(message_.get(), attribute, static_cast<int>(bytes.size()), bytes.data()));
  return *this;
}

NetlinkMessage& NetlinkMessage::add(int attribute, std::uint32_t value) {
  must(nla_put_u32(message_.get(), attribute, value));
  return *this;
}

NetlinkMessage& NetlinkMessage::add(int attribute, const std::string& text) {
  must(nla_put_string(message_.get(), attribute, text.c_str()));
  return *this;
}

Result<NetlinkSocket> NetlinkSocket::open() {
  NetlinkSocket socket(nl_socket_alloc());
  if (!socket.socket_) throw std::bad_alloc();
  if (const int code = nl_connect(socket.socket_.get(), NETLINK_ROUTE); code < 0) {
    return fail(Error{Errc::kUnsupported, fmt::format("open a route socket: {}", nl_geterror(code)),
                      "allow AF_NETLINK to the process (RestrictAddressFamilies= of the service)"});
  }
  // Reasons in words; errors without a copy of the request; dumps filtered by the kernel, not by us.
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    if (setsockopt(nl_socket_get_fd(socket.socket_.get()), SOL_NETLINK, option, &on, sizeof on) != 0) {
      return fail(Error{Errc::kUnsupported,
                        fmt::format("set netlink option {}: {}", option, nl_geterror(nl_syserr2nlerr(errno))),
                        "Umbra needs Linux 4.20 or later"});
    }
  }
  return socket;
}

Result<void> NetlinkSocket::request(const NetlinkMessage& message, std::string_view doing,
                                    const std::function<void(const nlmsghdr*)>& each,
                                    const std::function<void()>& restart) {
  constexpr int kTries = 8;  // of a dump, against tables that change all the time
  for (int tries = 1;; ++tries) {
    Exchange exchange;
    exchange.each = &each;
    const std::unique_ptr<nl_cb, FreeCallbacks> callbacks(nl_cb_alloc(NL_CB_DEFAULT));
    if (!callbacks) throw std::bad_alloc();
    nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_valid, &exchange);
    nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, on_end, &exchange);
    nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_end, &exchange);
    nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &exchange);

    // libnl numbers a message when it is sent first; a second try needs a number of its own.
    nlmsg_hdr(message.get())->nlmsg_seq = NL_AUTO_SEQ;
    int code = nl_send_auto(socket_.get(), message.get());
    while (code >= 0 && !exchange.done) code = nl_recvmsgs(socket_.get(), callbacks.get());
    if (code == -NLE_DUMP_INTR && tries < kTries) {
      if (restart) restart();
      continue;
    }
    if (exchange.error != 0) return fail(kernel_error(exchange.error, doing, exchange.detail));
    if (code < 0) {
      return fail(Error{code == -NLE_DUMP_INTR ? Errc::kUnavailable : Errc::kInternal,
                        fmt::format("{}: {}", doing, nl_geterror(code)), "try again"});
    }
    return {};
  }
}

std::uint32_t NetlinkSocket::port() const {
  return nl_socket_get_local_port(socket_.get());
}

}  // namespace umbra::netswitch
