/// Counters to rates.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agentd/virt/hypervisor.hpp"
#include "base/clock.hpp"
#include "umbra/v1/fleet.pb.h"

namespace umbra::telemetry {

/// Remembers the last counters of each domain and gives rates between two looks. Pure; no threads.
class Sampler {
 public:
  /// @param at when the counters were read: monotonic for the rates, wall clock for the samples
  /// @return a sample per domain that was seen before and whose counters did not run backwards (a restarted QEMU)
  std::vector<v1::VmSample> sample(const std::vector<virt::DomainStats>& stats,
                                   std::chrono::steady_clock::time_point at, UnixMillis wall);

 private:
  struct Seen {
    virt::DomainStats stats;
    std::chrono::steady_clock::time_point at;
  };
  std::map<std::string, Seen> seen_;
};

}  // namespace umbra::telemetry
