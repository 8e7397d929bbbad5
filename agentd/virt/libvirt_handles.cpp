#include "agentd/virt/libvirt_handles.hpp"

#include <libvirt/virterror.h>

namespace umbra::virt {
namespace {

Errc code_of(const virError& error) {
  // The connection itself: the socket was closed under the call, or never opened.
  if (error.domain == VIR_FROM_RPC || error.domain == VIR_FROM_REMOTE) {
    if (error.code == VIR_ERR_SYSTEM_ERROR || error.code == VIR_ERR_INTERNAL_ERROR || error.code == VIR_ERR_RPC)
      return Errc::kUnavailable;
  }
  switch (error.code) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_DOMAIN_METADATA:
      return Errc::kNotFound;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_OPERATION_TIMEOUT:  // another job holds the domain
    case VIR_ERR_AGENT_UNRESPONSIVE:
      return Errc::kUnavailable;
    case VIR_ERR_INVALID_ARG:
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
    case VIR_ERR_OS_TYPE:
      return Errc::kInvalid;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
      return Errc::kUnsupported;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_ACCESS_DENIED:
      return Errc::kDenied;
    case VIR_ERR_NO_MEMORY:
      return Errc::kExhausted;
    default:
      return Errc::kConflict;  // operation invalid, failed, domain exists: the state does not allow it
  }
}

std::string remedy_for(Errc code) {
  switch (code) {
    case Errc::kUnavailable:
      return "start libvirtd or fix [libvirt] uri; if it runs, try again";
    case Errc::kDenied:
      return "run the agent as a user who may use libvirt's socket";
    case Errc::kInvalid:
      return "correct the domain's XML (virsh edit)";
    default:
      return {};
  }
}

}  // namespace

Error last_error(std::string_view what) {
  const auto* error = virGetLastError();
  if (error == nullptr || error->code == VIR_ERR_OK)
    return {Errc::kInternal, fmt::format("{}: libvirt failed without saying why", what), "see libvirtd's log"};
  const auto code = code_of(*error);
  return {code, fmt::format("{}: {}", what, error->message != nullptr ? error->message : "unknown error"),
          remedy_for(code)};
}

Error not_connected(std::string_view uri) {
  return {Errc::kUnavailable, fmt::format("libvirtd cannot be reached at {}", uri),
          "start libvirtd or fix [libvirt] uri"};
}

}  // namespace umbra::virt
