#include "netswitch/switch.hpp"

#include <algorithm>
#include <set>

namespace umbra::netswitch {
namespace {

Hop hop_of(const Route& route) {
  return route.via ? Hop::to_host(*route.via) : Hop::to_tap(route.dev);
}

std::string to_string(const Hop& hop) {
  return hop.local ? "tap " + hop.tap : "host " + hop.via.to_string();
}

bool missing(const Result<void>& result) {
  return !result && result.error().code == Errc::kNotFound;
}

}  // namespace

Result<Undo> Switch::point(const IpAddress& address, const Hop& hop, std::uint64_t epoch) {
  const auto refuse = [&](std::string_view why) {
    return fail(Error{Errc::kConflict,
                      fmt::format("point {} to {} in epoch {}: {}", address, to_string(hop), epoch, why),
                      "ask the controller for the VM's epoch, and begin again with a new one"});
  };
  Known known;  // a copy: nothing is remembered of what fails
  if (const auto found = known_.find(address); found != known_.end()) known = found->second;
  if (epoch < known.epoch) return refuse(fmt::format("epoch {} is known here", known.epoch));
  if (epoch > known.epoch && epoch <= known.undone)
    return refuse(fmt::format("epoch {} was undone here", known.undone));
  if (epoch == known.epoch && known.hop && *known.hop != hop) {
    return refuse(fmt::format("in that epoch it leads to {}", to_string(*known.hop)));
  }
  UMBRA_TRY(const auto stands, where(address));
  if (stands != hop) UMBRA_CHECK(set_route(address, hop, stands.has_value()));
  if (!known.last || known.last->epoch != epoch) known.last = Undo{address, epoch, hop, stands, known.epoch};
  known.epoch = epoch;
  known.hop = hop;
  known_[address] = known;
  return *known.last;
}

Result<void> Switch::undo(const Undo& undo) {
  Known known;
  if (const auto found = known_.find(undo.address); found != known_.end()) known = found->second;
  if (known.epoch > undo.epoch || known.undone >= undo.epoch) return {};
  const auto stands = where(undo.address);
  // Someone else's route there now is not ours to take away.
  if (!stands && stands.error().code != Errc::kConflict) return fail(stands.error());
  if (stands && *stands == undo.now && undo.before != undo.now) {
    if (undo.before) {
      UMBRA_CHECK(set_route(undo.address, *undo.before, true));
    } else if (auto deleted = kernel_.delete_route(undo.address, config_.route_protocol);
               !deleted && !missing(deleted)) {
      return deleted;
    }
  }
  known_[undo.address] = Known{undo.before_epoch, undo.epoch, undo.before, std::nullopt};
  return {};
}

Result<void> Switch::undo(const IpAddress& address, std::uint64_t epoch) {
  Known& known = known_[address];
  if (known.last && known.last->epoch == epoch) {
    const Undo last = *known.last;  // undo() writes over it
    return undo(last);
  }
  // It never came, and may yet come. If the epoch was confirmed by reconcile(), there is nothing of point() to take
  // back.
  if (known.epoch < epoch) known.undone = std::max(known.undone, epoch);
  return {};
}

Result<ReconcileReport> Switch::reconcile(const std::vector<WantedRoute>& wanted, bool complete) {
  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  std::map<IpAddress, Hop> standing;
  for (const Route& route : routes) standing.emplace(route.destination, hop_of(route));

  ReconcileReport report;
  std::set<IpAddress> named;
  for (const WantedRoute& want : wanted) {
    named.insert(want.address);
    const auto stands = standing.find(want.address);
    auto done = reconcile_one(want, stands == standing.end() ? std::nullopt : std::optional(stands->second), report);
    if (!done) report.failed.emplace_back(want.address, std::move(done.error()));
  }
  if (!complete) return report;

  for (const auto& [address, hop] : standing) {
    if (named.contains(address) || (hop.local && is_attached(hop.tap))) continue;
    if (auto deleted = kernel_.delete_route(address, config_.route_protocol); !deleted && !missing(deleted)) {
      report.failed.emplace_back(address, std::move(deleted.error()));
    } else {
      report.removed.push_back(address);
    }
  }
  // The address of a VM that is gone may be given to another, whose epochs begin anew.
  std::erase_if(known_, [&](const auto& entry) {
    const auto& [address, known] = entry;
    return !named.contains(address) && !(known.hop && known.hop->local && is_attached(known.hop->tap));
  });
  return report;
}

Result<void> Switch::reconcile_one(const WantedRoute& wanted, const std::optional<Hop>& stands,
                                   ReconcileReport& report) {
  Known known;
  if (const auto found = known_.find(wanted.address); found != known_.end()) known = found->second;
  if (known.epoch > wanted.epoch) {
    report.newer.push_back(wanted.address);
    return {};
  }
  if (stands != wanted.hop) {
    UMBRA_CHECK(where(wanted.address));  // a foreign route in its place is an error, not replaced
    UMBRA_CHECK(set_route(wanted.address, wanted.hop, stands.has_value()));
    (stands ? report.changed : report.added).push_back(wanted.address);
  }
  if (known.last && (known.last->epoch != wanted.epoch || known.last->now != wanted.hop)) known.last.reset();
  known.epoch = wanted.epoch;
  known.hop = wanted.hop;
  known_[wanted.address] = known;
  return {};
}

Result<std::vector<OwnedRoute>> Switch::owned() const {
  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  std::vector<OwnedRoute> owned;
  for (const Route& route : routes) {
    OwnedRoute one{route.destination, hop_of(route), 0};
    if (const auto known = known_.find(one.address); known != known_.end() && known->second.hop == one.hop) {
      one.epoch = known->second.epoch;
    }
    owned.push_back(std::move(one));
  }
  return owned;
}

Result<std::optional<Hop>> Switch::where(const IpAddress& address) const {
  UMBRA_TRY(const auto route, kernel_.route_to(address));
  if (!route) return std::nullopt;
  if (route->protocol == config_.route_protocol) return hop_of(*route);
  return fail(Error{
      Errc::kConflict,
      fmt::format("{} has a route that is not Umbra's: dev {}, protocol {}", address, route->dev, route->protocol),
      fmt::format("see `ip route get {}`; remove that route or address, or give the VM another one", address)});
}

/// @param replaces whether a route of ours stands there; if not, what stands there nevertheless is foreign and is kept
Result<void> Switch::set_route(const IpAddress& address, const Hop& hop, bool replaces) {
  Route route{address, hop.tap, std::nullopt, config_.route_protocol};
  if (!hop.local) {
    if (hop.via.is_v6() != address.is_v6()) {
      return fail(Error{Errc::kInvalid, fmt::format("{} cannot be reached via {}", address, hop.via),
                        "give the host an underlay address of the same IP version"});
    }
    route.via = hop.via;
  } else if (hop.tap.empty()) {
    return fail(Errc::kInvalid, "a local hop for {} without a tap", address);
  }
  auto set = replaces ? kernel_.replace_route(route) : kernel_.add_route(route);
  if (set) return set;
  // Was it refused, or was only the answer lost? The table knows.
  const auto stands = where(address);
  if (stands && *stands == hop) return {};
  return set;
}

}  // namespace umbra::netswitch
