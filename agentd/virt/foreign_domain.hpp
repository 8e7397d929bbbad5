/// Domains that another host asks this one to start or define: what of their XML is believed.
///
/// libvirt would do a great deal on a domain's word: pass arguments to QEMU, run a script or another emulator, give the
/// guest any file or device of the host, let QEMU run as root. A host may ask for none of that on another one. What it
/// may ask for is listed; what is not listed is refused, with the key of the configuration that would allow it.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace umbra::virt {

/// What this host lets others' domains have. The same on every host of a fleet, or a move one way cannot be undone.
struct ForeignRules {
  std::string emulator = "/usr/bin/qemu-system-x86_64";  ///< beside those where distributions install QEMU
  /// What <qemu:commandline> may hold beside `-incoming defer`: an option and its value, as "-cpu max", each whole.
  std::vector<std::string> qemu_arguments{};
  /// Folders whose files and devices a guest may use. Empty: any but the system's own, of which it may use
  /// /var/lib/libvirt/images, /dev/mapper and /dev/disk.
  std::vector<std::string> paths{};
};

/// What the XML must agree with.
struct ForeignClaim {
  std::string uuid, name;
  std::string tap;  ///< empty: it has none of Umbra's
  Bytes memory{};
  bool live = true;  ///< else it is an inactive definition, whose memory and tap may be others
};

/// @param xml the domain as the other host sent it
/// @error kInvalid no domain, too big, or not the one that is claimed; kDenied it asks for what others may not have
Result<void> check_foreign(std::string_view xml, const ForeignClaim& claim, const ForeignRules& rules);

/// The same of a snapshot or checkpoint of that domain: libvirt acts on the domains in it when somebody reverts to it.
Result<void> check_foreign_snapshot(std::string_view xml, const ForeignClaim& claim, const ForeignRules& rules);

/// Why other hosts of the same rules would not take `<qemu:…>` elements of this domain, in words that end with the
/// remedy; empty when they would. For admission, before anything starts.
std::string refused_extension(const pugi::xml_node& domain, const ForeignRules& rules);

}  // namespace umbra::virt
