/// libvirt's reference-counted objects as shared pointers, and its errors as ours.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/result.hpp"

namespace umbra::virt {

using ConnectionPtr = std::shared_ptr<virConnect>;
using DomainPtr = std::shared_ptr<virDomain>;

struct CFree {
  void operator()(void* memory) const { std::free(memory); }
};
/// Text that libvirt allocated.
using CText = std::unique_ptr<char, CFree>;

inline ConnectionPtr own(virConnectPtr connection) {
  return {connection, [](virConnectPtr c) {
            if (c != nullptr) virConnectClose(c);
          }};
}
inline DomainPtr own(virDomainPtr domain) {
  return {domain, [](virDomainPtr d) {
            if (d != nullptr) virDomainFree(d);
          }};
}

/// A connection whose libvirtd leaves three messages, five seconds apart, unanswered is given up, and every call on it
/// fails.
inline constexpr int kKeepaliveSeconds = 5;
inline constexpr unsigned kKeepaliveMisses = 3;

/// What the calling thread's last libvirt call failed with: libvirt's text, after `what`, and a code by libvirt's.
Error last_error(std::string_view what);

/// libvirtd is away.
Error not_connected(std::string_view uri);

}  // namespace umbra::virt
