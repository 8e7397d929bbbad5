/// What of a node's report is believed.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "controller/inventory/inventory.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::controller {

/// Of one report; what is more is left out and counted. An honest agent splits what it has to tell (agentd/outbox.hpp).
struct ReportLimits {
  static constexpr int kVms = 4'096, kAddresses = 64, kSamples = 20'000, kEvents = 2'000, kCutovers = 2'000;
  static constexpr int kKnownEpochs = 100'000, kPhases = 64;
  static constexpr std::size_t kName = 255, kText = 2'048, kDefinition = 1024 * 1024;
  /// A VM's epoch may be known so far ahead of the controller's, whose store was restored. More is no honest count, and
  /// taking it would leave none for later.
  static constexpr std::uint64_t kEpochLead = 1ULL << 20;
  static constexpr UnixMillis kClockSkew = 5 * 60'000;
};

/// 8-4-4-4-12 hexadecimal digits, lower case, as libvirt writes them.
bool is_uuid(std::string_view text);

/// Goes through what nodes tell before anything acts on it. A node speaks for itself: an edge has no VMs, a host tells
/// of its own, nobody writes the audit. Entries that say what they must not, or what nothing can be, are left out one
/// by one; figures that are none become 0; texts are cut. All of that is counted by node, and what no honest agent
/// sends is an event, once a minute for each node and kind. Controller's thread only.
class ReportCheck {
 public:
  /// All outlive this.
  ReportCheck(const Inventory& inventory, EventLog& events, Clock& clock)
      : inventory_(inventory), events_(events), clock_(clock) {}

  void sift(const std::string& node, v1::Role role, v1::ReportRequest& report);
  void sift(const std::string& node, v1::Role role, v1::RegisterRequest& request);

  /// How many entries of this node's were left out or mended since the start, by what was wrong.
  const std::map<std::string, std::uint64_t>& faults(const std::string& node) { return nodes_[node].counts; }

 private:
  struct Node {
    std::map<std::string, std::uint64_t> counts;
    std::map<std::string, TimePoint> quiet_until;
  };
  class Sieve;

  const Inventory& inventory_;
  EventLog& events_;
  Clock& clock_;
  std::map<std::string, Node> nodes_;
};

}  // namespace umbra::controller
