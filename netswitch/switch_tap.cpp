// Taps: the part of Switch that connects a VM to its host.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "netswitch/switch.hpp"

namespace umbra::netswitch {
namespace {

constexpr std::string_view kAliasPrefix = "umbra:";  // of taps that we made; the VM's UUID follows

std::string alias_of(const std::string& uuid) {
  return std::string(kAliasPrefix) + uuid;
}

/// A conflict is what was wanted: it is there already.
Result<void> unless_there(Result<void> result) {
  if (!result && result.error().code == Errc::kConflict) return {};
  return result;
}

/// Not found is what was wanted: it is gone already.
Result<void> unless_gone(Result<void> result) {
  if (!result && result.error().code == Errc::kNotFound) return {};
  return result;
}

Result<void> check(const VmNet& vm, const AddressRules& rules) {
  const auto refuse = [&](std::string_view cause, std::string remedy) {
    return fail(Error{Errc::kInvalid, fmt::format("attach {}: {}", vm.name, cause), std::move(remedy)});
  };
  if (vm.uuid.empty()) return refuse("the VM has no UUID", "");
  const bool named =
      !vm.tap.empty() && vm.tap.size() <= 15 && vm.tap != "." && vm.tap != ".." &&
      std::none_of(vm.tap.begin(), vm.tap.end(), [](char c) { return c == '/' || c == ':' || c <= ' '; });
  if (!named)
    return refuse(fmt::format("'{}' is no interface name", vm.tap),
                  "name the tap in 1 to 15 characters, without '/' and ':'");
  if (!vm.guest_mac.is_assignable())
    return refuse(fmt::format("{} is no station's MAC address", vm.guest_mac), "see <mac address=…/>");
  if (vm.addresses.empty()) return refuse("the VM has no IP address", "tell Umbra the guest's addresses");
  for (const IpAddress& address : vm.addresses) {
    if (const auto why = rules.objection(address); !why.empty())
      return refuse(why, "give the VM another address, or see network.allowed_addresses");
  }
  return {};
}

}  // namespace

Result<void> Switch::attach(const VmNet& vm) {
  UMBRA_CHECK(check(vm, config_.addresses));
  for (const auto& [uuid, other] : attached_) {
    if ((uuid == vm.uuid) == (other.tap == vm.tap)) continue;
    return fail(Error{Errc::kConflict,
                      fmt::format("attach {} by {}: {} is attached by {}", vm.name, vm.tap, other.name, other.tap),
                      "each VM needs a tap of its own; detach it first to change it"});
  }
  UMBRA_TRY(const auto prepared, prepare_tap(vm));
  if (auto configured = configure_tap(vm, prepared); !configured) {
    if (prepared.now) static_cast<void>(kernel_.delete_link(vm.tap));  // the first error is the one to tell
    return configured;
  }
  attached_[vm.uuid] = vm;
  if (prepared.ours) made_.insert(vm.uuid);
  if (prepared.queue > config_.tap_queue)
    wide_.insert(vm.uuid);
  else
    wide_.erase(vm.uuid);
  return {};
}

Result<Switch::Prepared> Switch::prepare_tap(const VmNet& vm) {
  const auto link = kernel_.link(vm.tap);
  if (!link && link.error().code != Errc::kNotFound) return fail(link.error());
  const auto queue = vm.awaited ? std::max(config_.flip_queue, config_.tap_queue) : config_.tap_queue;
  if (!link) {
    UMBRA_CHECK(kernel_.create_tap(vm.tap, vm.tap_options));
    return Prepared{.now = true, .ours = true, .queue = queue};
  }
  const auto refuse = [&](std::string cause) {
    return fail(Error{Errc::kConflict, fmt::format("attach {} by {}: {}", vm.name, vm.tap, cause),
                      "give the VM's <target dev=…/> another name, or remove that link"});
  };
  if (link->kind != "tun") return refuse(fmt::format("that link is no tap but '{}'", link->kind));
  if (link->alias.starts_with(kAliasPrefix) && link->alias != alias_of(vm.uuid)) {
    return refuse(fmt::format("that tap belongs to VM {}", link->alias.substr(kAliasPrefix.size())));
  }
  // A longer one may be full of what came while the guest was paused.
  return Prepared{.now = false, .ours = link->alias == alias_of(vm.uuid), .queue = std::max(queue, link->queue_length)};
}

Result<void> Switch::configure_tap(const VmNet& vm, const Prepared& prepared) {
  LinkChange change{.mac = config_.gateway_mac, .queue_length = prepared.queue, .up = true};
  if (prepared.now) change.alias = alias_of(vm.uuid);
  UMBRA_CHECK(kernel_.change_link(vm.tap, change));

  UMBRA_CHECK(unless_there(kernel_.add_address(vm.tap, config_.gateway_v4, config_.gateway_v4.bits())));
  UMBRA_CHECK(kernel_.write_sysctl(vm.tap, Sysctl::kProxyArp, 1));
  UMBRA_CHECK(kernel_.write_sysctl(vm.tap, Sysctl::kProxyArpDelay, 0));  // by default answers wait up to 0.8 s
  // Between the flip and the pause the guest still sends here, while its address already leads to the other host:
  // strict filtering, where the distribution has switched it on, would drop that.
  UMBRA_CHECK(kernel_.write_sysctl(vm.tap, Sysctl::kRpFilter, 2));
  if (std::any_of(vm.addresses.begin(), vm.addresses.end(), [](const IpAddress& a) { return a.is_v6(); })) {
    UMBRA_CHECK(kernel_.write_sysctl(vm.tap, Sysctl::kAcceptRa, 0));  // a guest must not become the host's router
    UMBRA_CHECK(unless_there(kernel_.add_address(vm.tap, config_.gateway_v6, 64)));
  }

  UMBRA_TRY(const auto standing, kernel_.neighbours(vm.tap));
  for (const Neighbour& old : standing) {
    const bool wanted = std::find(vm.addresses.begin(), vm.addresses.end(), old.address) != vm.addresses.end();
    if (!wanted) UMBRA_CHECK(unless_gone(kernel_.delete_neighbour(old.dev, old.address)));
  }
  for (const IpAddress& address : vm.addresses) {
    const Neighbour neighbour{vm.tap, address, vm.guest_mac};
    if (std::find(standing.begin(), standing.end(), neighbour) != standing.end()) continue;
    UMBRA_CHECK(kernel_.replace_neighbour(neighbour));
  }
  return {};
}

Result<void> Switch::detach(const std::string& uuid) {
  std::map<std::string, bool> taps;  // by name: did we make it?
  const auto attached = attached_.find(uuid);
  if (attached != attached_.end()) taps[attached->second.tap] = false;
  UMBRA_TRY(const auto links, kernel_.links());
  for (const Link& link : links) {
    if (link.alias == alias_of(uuid)) taps[link.name] = true;
  }

  UMBRA_TRY(const auto routes, kernel_.routes(config_.route_protocol));
  for (const Route& route : routes) {
    if (route.via || !taps.contains(route.dev)) continue;
    UMBRA_CHECK(unless_gone(kernel_.delete_route(route.destination, config_.route_protocol)));
  }
  for (const auto& [tap, made] : taps) {
    if (made) {
      UMBRA_CHECK(unless_gone(kernel_.delete_link(tap)));
    } else {
      narrow(uuid);
      for (const IpAddress& address : attached->second.addresses)
        UMBRA_CHECK(unless_gone(kernel_.delete_neighbour(tap, address)));
    }
  }
  for (auto& [address, claims] : known_) {  // the epoch stays known: an older one is still refused
    for (auto& [vm, known] : claims) {
      if (!known.hop || !known.hop->local || !taps.contains(known.hop->tap)) continue;
      known.hop.reset();
      known.last.reset();
    }
  }
  if (attached != attached_.end()) attached_.erase(attached);
  made_.erase(uuid);
  wide_.erase(uuid);
  return {};
}

/// Before a route leads to the tap. A flip does not fail for it: the queue that is there holds most of what comes.
void Switch::widen(const std::string& uuid, const Hop& hop) {
  const auto attached = attached_.find(uuid);
  if (attached == attached_.end() || !hop.local || attached->second.tap != hop.tap || wide_.contains(uuid) ||
      config_.flip_queue <= config_.tap_queue)
    return;
  const auto widened = kernel_.change_link(hop.tap, {.queue_length = config_.flip_queue});
  if (!widened) {
    spdlog::warn("{}: it may lose packets while it is paused in a cutover: {}", attached->second.name, widened.error());
    return;
  }
  wide_.insert(uuid);
}

/// When no route leads to the tap any more, so that nothing comes that could be lost.
void Switch::narrow(const std::string& uuid) {
  const auto attached = attached_.find(uuid);
  if (attached == attached_.end() || !wide_.contains(uuid)) return;
  const auto narrowed = kernel_.change_link(attached->second.tap, {.queue_length = config_.tap_queue});
  if (narrowed || narrowed.error().code == Errc::kNotFound)
    wide_.erase(uuid);
  else
    spdlog::warn("{}: {}", attached->second.name, narrowed.error());
}

std::vector<std::string> Switch::unsettled() const {
  std::vector<std::string> found;
  for (const auto& uuid : wide_) {
    const auto& vm = attached_.at(uuid);
    const bool led_to = std::ranges::any_of(vm.addresses, [&](const IpAddress& address) {
      const auto* held = holder(address);
      return held != nullptr && is_served_here(address, held->second.hop);
    });
    if (led_to) found.push_back(uuid);
  }
  return found;
}

Result<void> Switch::settle(const std::string& uuid) {
  const auto attached = attached_.find(uuid);
  if (attached == attached_.end() || !wide_.contains(uuid)) return {};
  UMBRA_TRY(const auto link, kernel_.link(attached->second.tap));
  if (link.queue_length > config_.tap_queue) {
    if (!link.resizable) return {};
    UMBRA_CHECK(kernel_.change_link(link.name, {.queue_length = config_.tap_queue}));
  }
  attached->second.awaited = false;  // or a repair would bring the longer one back
  wide_.erase(uuid);
  return {};
}

Result<Counters> Switch::counters(const std::string& uuid) const {
  const auto attached = attached_.find(uuid);
  if (attached == attached_.end()) return fail(Errc::kNotFound, "VM {} is not attached here", uuid);
  UMBRA_TRY(const auto link, kernel_.link(attached->second.tap));
  return link.counters;
}

/// Does it lead to the tap of a VM that has the address?
bool Switch::is_served_here(const IpAddress& address, const std::optional<Hop>& hop) const {
  if (!hop || !hop->local) return false;
  return std::ranges::any_of(attached_, [&](const auto& entry) {
    const VmNet& vm = entry.second;
    return vm.tap == hop->tap && std::ranges::find(vm.addresses, address) != vm.addresses.end();
  });
}

bool Switch::leads_to_attached(const std::optional<Hop>& hop) const {
  if (!hop || !hop->local) return false;
  return std::ranges::any_of(attached_, [&](const auto& entry) { return entry.second.tap == hop->tap; });
}

}  // namespace umbra::netswitch
