#include "netswitch/switch.hpp"

#include <algorithm>
#include <set>

namespace umbra::netswitch {
namespace {

std::string to_string(const Hop& hop) {
  return hop.local ? "tap " + hop.tap : "host " + hop.via.to_string();
}

bool missing(const Result<void>& result) {
  return !result && result.error().code == Errc::kNotFound;
}

}  // namespace

/// A copy: nothing is remembered of what fails.
Switch::Claim Switch::claim(const std::string& vm, const IpAddress& address) const {
  const auto claims = known_.find(address);
  if (claims == known_.end()) return {};
  const auto found = claims->second.find(vm);
  return found == claims->second.end() ? Claim{} : found->second;
}

/// The VM whose route stands; null if there is none. Its name is empty if an earlier process made it.
const Switch::Claims::value_type* Switch::holder(const IpAddress& address) const {
  const auto claims = known_.find(address);
  if (claims == known_.end()) return nullptr;
  const auto found =
      std::ranges::find_if(claims->second, [](const auto& entry) { return entry.second.hop.has_value(); });
  return found == claims->second.end() ? nullptr : &*found;
}

Result<void> Switch::check_allowed(const IpAddress& address) const {
  const auto why = config_.addresses.objection(address);
  if (why.empty()) return {};
  return fail(Error{Errc::kInvalid, why, "give the VM another address, or see network.allowed_addresses"});
}

Result<void> Switch::check_free(const std::string& vm, const IpAddress& address) const {
  const auto* held = holder(address);
  if (held == nullptr || held->first.empty() || held->first == vm) return {};
  return fail(Error{Errc::kConflict,
                    fmt::format("{} is the address of VM {}, and leads to {} here; VM {} does not get it", address,
                                held->first, to_string(*held->second.hop), vm),
                    "give one of the two VMs another address; umbractl doctor names them"});
}

void Switch::hold(const std::string& vm, const IpAddress& address, Claim claim) {
  auto& claims = known_[address];
  for (auto& [other, theirs] : claims) {
    if (other == vm) continue;
    theirs.hop.reset();
    theirs.last.reset();
  }
  claims[vm] = std::move(claim);
}

Result<Undo> Switch::point(const std::string& vm, const IpAddress& address, const Hop& hop, std::uint64_t epoch) {
  const auto refuse = [&](std::string_view why) {
    return fail(Error{Errc::kConflict,
                      fmt::format("point {} to {} in epoch {}: {}", address, to_string(hop), epoch, why),
                      "ask the controller for the VM's epoch, and begin again with a new one"});
  };
  Claim known = claim(vm, address);
  if (epoch < known.epoch) return refuse(fmt::format("epoch {} is known here", known.epoch));
  if (epoch > known.epoch && epoch <= known.undone)
    return refuse(fmt::format("epoch {} was undone here", known.undone));
  if (epoch == known.epoch && known.hop && *known.hop != hop) {
    return refuse(fmt::format("in that epoch it leads to {}", to_string(*known.hop)));
  }
  UMBRA_CHECK(check_allowed(address));
  UMBRA_CHECK(check_free(vm, address));
  UMBRA_TRY(const auto stands, where(address));
  if (stands != hop) {
    widen(vm, hop);
    UMBRA_CHECK(set_route(address, hop, stands.has_value()));
  }
  if (!known.last || known.last->epoch != epoch) known.last = Undo{vm, address, epoch, hop, stands, known.epoch};
  known.epoch = epoch;
  known.hop = hop;
  const Undo undo = *known.last;
  hold(vm, address, std::move(known));
  return undo;
}

Result<void> Switch::undo(const Undo& undo) {
  const Claim known = claim(undo.vm, undo.address);
  if (known.epoch > undo.epoch || known.undone >= undo.epoch) return {};
  if (!check_free(undo.vm, undo.address)) {  // another VM's by now: nothing of this one stands
    known_[undo.address][undo.vm] = Claim{undo.before_epoch, undo.epoch, std::nullopt, std::nullopt};
    return {};
  }
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
    if (undo.now.local) narrow(undo.vm);
  }
  hold(undo.vm, undo.address, Claim{undo.before_epoch, undo.epoch, undo.before, std::nullopt});
  return {};
}

Result<void> Switch::undo(const std::string& vm, const IpAddress& address, std::uint64_t epoch) {
  Claim& known = known_[address][vm];
  if (known.last && known.last->epoch == epoch) {
    const Undo last = *known.last;  // undo() writes over it
    return undo(last);
  }
  // It never came, and may yet come. If the epoch was confirmed by reconcile(), there is nothing of point() to take
  // back.
  if (known.epoch < epoch) known.undone = std::max(known.undone, epoch);
  return {};
}

Result<void> Switch::serve(const std::string& vm, const IpAddress& address, std::uint64_t epoch) {
  const auto attached = attached_.find(vm);
  if (attached == attached_.end()) return fail(Errc::kNotFound, "VM {} is not attached here", vm);
  UMBRA_CHECK(check_free(vm, address));
  UMBRA_TRY(const auto stands, where(address));
  ReconcileReport report;
  return reconcile_one({vm, address, Hop::to_tap(attached->second.tap), epoch}, stands, false, report);
}

Result<ReconcileReport> Switch::reconcile(const std::vector<WantedRoute>& wanted, bool complete) {
  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  std::map<IpAddress, Hop> standing;
  for (const Route& route : routes) standing.emplace(route.destination, Hop::of(route));

  ReconcileReport report;
  std::set<std::pair<IpAddress, std::string>> named;
  std::set<IpAddress> named_addresses;
  for (const WantedRoute& want : wanted) {
    named.emplace(want.address, want.vm);
    named_addresses.insert(want.address);
    const auto stands = standing.find(want.address);
    auto done =
        reconcile_one(want, stands == standing.end() ? std::nullopt : std::optional(stands->second), complete, report);
    if (!done) report.failed.emplace_back(want.address, std::move(done.error()));
  }
  if (!complete) return report;

  for (const auto& [address, hop] : standing) {
    if (named_addresses.contains(address) || is_served_here(address, hop)) continue;
    if (auto deleted = kernel_.delete_route(address, config_.route_protocol); !deleted && !missing(deleted)) {
      report.failed.emplace_back(address, std::move(deleted.error()));
    } else {
      report.removed.push_back(address);
    }
  }
  // A VM that is gone and comes back begins its epochs anew.
  for (auto& [address, claims] : known_) {
    std::erase_if(claims, [&](const auto& entry) {
      return !named.contains({address, entry.first}) && !is_served_here(address, entry.second.hop);
    });
  }
  std::erase_if(known_, [](const auto& entry) { return entry.second.empty(); });
  return report;
}

Result<void> Switch::reconcile_one(const WantedRoute& wanted, const std::optional<Hop>& stands, bool complete,
                                   ReconcileReport& report) {
  UMBRA_CHECK(check_allowed(wanted.address));
  Claim known = claim(wanted.vm, wanted.address);
  if (known.epoch > wanted.epoch) {
    report.newer.push_back({wanted.vm, wanted.address, known.epoch});
    return {};
  }
  // A VM that runs here keeps what it has until the controller has heard of it.
  const auto* held = holder(wanted.address);
  if (held != nullptr && is_served_here(wanted.address, held->second.hop) && !complete)
    UMBRA_CHECK(check_free(wanted.vm, wanted.address));
  if (stands != wanted.hop) {
    UMBRA_CHECK(where(wanted.address));  // a foreign route in its place is an error, not replaced
    UMBRA_CHECK(set_route(wanted.address, wanted.hop, stands.has_value()));
    (stands ? report.changed : report.added).push_back(wanted.address);
  } else if (held != nullptr && held->first != wanted.vm) {
    report.changed.push_back(wanted.address);
  }
  if (known.last && (known.last->epoch != wanted.epoch || known.last->now != wanted.hop)) known.last.reset();
  known.epoch = wanted.epoch;
  known.hop = wanted.hop;
  hold(wanted.vm, wanted.address, std::move(known));
  return {};
}

std::vector<KnownEpoch> Switch::epochs() const {
  std::vector<KnownEpoch> epochs;
  for (const auto& [address, claims] : known_) {
    for (const auto& [vm, known] : claims) {
      if (const auto newest = std::max(known.epoch, known.undone); newest > 0) epochs.push_back({vm, address, newest});
    }
  }
  return epochs;
}

Result<std::vector<OwnedRoute>> Switch::owned() const {
  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  std::vector<OwnedRoute> owned;
  for (const Route& route : routes) {
    OwnedRoute one{"", route.destination, Hop::of(route), 0};
    if (const auto* held = holder(one.address); held != nullptr && held->second.hop == one.hop) {
      one.vm = held->first;
      one.epoch = held->second.epoch;
    }
    owned.push_back(std::move(one));
  }
  return owned;
}

Result<std::optional<Hop>> Switch::where(const IpAddress& address) const {
  UMBRA_TRY(const auto route, kernel_.route_to(address));
  if (!route) return std::nullopt;
  if (route->protocol == config_.route_protocol) return Hop::of(*route);
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
