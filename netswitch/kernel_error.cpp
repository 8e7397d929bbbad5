#include "netswitch/kernel_error.hpp"

#include <cerrno>
#include <system_error>

namespace umbra::netswitch {
namespace {

struct Meaning {
  Errc code;
  std::string_view remedy;
};

Meaning meaning(int number) {
  switch (number) {
    case EPERM:
    case EACCES:
      return {Errc::kUnsupported, "it needs CAP_NET_ADMIN; run the agent as root or by umbra-agentd.service"};
    case EROFS:
      return {Errc::kUnsupported, "/proc/sys is read-only here; ProtectKernelTunables= of the service must be off"};
    case ENODEV:
    case ENXIO:
      return {Errc::kNotFound, "see `ip link` for the links that exist"};
    case ENOENT:
    case ESRCH:
      return {Errc::kNotFound, ""};
    case EEXIST:
    case EBUSY:
    case EADDRINUSE:
      return {Errc::kConflict, "see `ip link` and `ip route` for what is there already"};
    case ENETDOWN:
      return {Errc::kUnavailable, "bring the link up with `ip link set DEV up`"};
    case ENETUNREACH:
    case EHOSTUNREACH:
      return {Errc::kUnavailable, "the next hop must be on a network this node is attached to; see `ip route get`"};
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
      return {Errc::kExhausted, ""};
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
      return {Errc::kUnsupported, "the kernel lacks the feature, or IPv6 is switched off"};
    case EINVAL:
    case ERANGE:
    case EADDRNOTAVAIL:
      return {Errc::kInvalid, ""};
    default:
      return {Errc::kInternal, ""};
  }
}

}  // namespace

Error kernel_error(int number, std::string_view doing, std::string_view detail) {
  const Meaning what = meaning(number);
  std::string message = fmt::format("{}: {}", doing, std::generic_category().message(number));
  if (!detail.empty()) message += fmt::format(" ({})", detail);
  return Error{what.code, std::move(message), std::string(what.remedy)};
}

}  // namespace umbra::netswitch
