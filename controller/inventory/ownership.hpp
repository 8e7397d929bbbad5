/// Which host owns a VM, judged from what hosts report. Unknown is not gone.
#pragma once

#include <string>
#include <vector>

namespace umbra::controller {

/// What one host says about one VM.
struct Claim {
  std::string host;
  bool active = false;  ///< running or paused; else only defined
  /// Its journal says that it got the VM in a newer epoch than the one in which the recorded owner did: whoever had it
  /// before gave it up.
  bool newer = false;
  bool paused = false;  ///< active, and does not run
};

enum class Ruling : std::uint8_t {
  kKeep,      ///< the owner stays
  kAdopt,     ///< exactly one other host has it, and the owner, if any, is known not to
  kConflict,  ///< more than one host may be running it: somebody must look
  kGone,      ///< the owner, if any, is known not to have it, and nobody else says they do
};

struct OwnershipRuling {
  Ruling ruling = Ruling::kKeep;
  std::string host{};  ///< to adopt
};

/// An owner that cannot be asked may run the VM still, so nobody else is adopted, unless its journal proves that the
/// owner gave the VM up. A fenced host owns nothing that runs, and claims nothing: the caller leaves it out.
/// @param owner as recorded; empty for none
/// @param owner_known the owner is up and its VMs are known, so that its silence about the VM is an answer
/// @param claims of hosts that are up and know their VMs
OwnershipRuling rule(const std::string& owner, bool owner_known, const std::vector<Claim>& claims);

/// What is known of an owner that got the VM from a fenced host which is back.
enum class Taker : std::uint8_t {
  kUnknown,  ///< it may run it
  kIdle,     ///< it says that it does not run it; or there is no owner
  kOff,      ///< it is fenced itself: it runs nothing, and may have it defined
};

/// The copy of a fenced host that is back counts once nobody else runs the VM: it may be the only one left.
/// @param claims of hosts that are not fenced
/// @param returned claims of fenced hosts that are back
OwnershipRuling rule_on_returned(const std::string& owner, Taker taker, const std::vector<Claim>& claims,
                                 const std::vector<Claim>& returned);

}  // namespace umbra::controller
