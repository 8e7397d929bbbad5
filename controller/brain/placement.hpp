/// Where a VM's shadow should be: constraints first, then a score.
#pragma once

#include <set>

#include "controller/brain/picture.hpp"
#include "controller/brain/settings.hpp"

namespace umbra::controller {

/// What is asked for a VM.
struct PlacementQuery {
  const VmPicture* vm = nullptr;
  bool other_zone = false;          ///< its zone is the trouble
  double probability_here = 1;      ///< of having to leave where it is
  double least_gain = 0;            ///< probability here less probability there
  bool whatever_threatens = false;  ///< a host that may fall itself is better than none
  std::set<std::string> avoid{};    ///< hosts that failed it lately, or are being emptied
};

/// What has been promised since the picture was taken, so that two VMs do not count on the same room.
struct Promises {
  std::map<std::string, Bytes> memory;                    ///< by host
  std::map<std::string, std::set<std::string>> arrivals;  ///< uuids of VMs on their way, by host
};

struct Placement {
  std::string host;              ///< empty: no host will do
  double probability_there = 0;  ///< of having to leave that host
  std::string why;               ///< why this one; without a host, what speaks against each
};

/// Memory that a paused QEMU takes on top of its guest's.
inline constexpr Bytes kShadowOverhead = mebibytes(64);

/// Probability of having to leave `host` were the VM there: zone, maintenance, and shortage with the VM's demand added.
double probability_there(const Picture& picture, const VmPicture& vm, const HostPicture& host, const Promises& promises,
                         const BrainSettings& settings);

/// Why `host` cannot take the VM's shadow, as a predicate of which the host is the subject ("is down"); empty when it
/// can.
std::string objection(const Picture& picture, const PlacementQuery& query, const HostPicture& host,
                      const Promises& promises, const BrainSettings& settings);

/// The best host: least probability of having to leave again (in steps of 5 %), then most memory left, then by name.
Placement place(const Picture& picture, const PlacementQuery& query, const Promises& promises,
                const BrainSettings& settings);

}  // namespace umbra::controller
