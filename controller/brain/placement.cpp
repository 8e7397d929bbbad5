#include "controller/brain/placement.hpp"

#include <cmath>
#include <tuple>

#include "controller/brain/capacity.hpp"
#include "controller/brain/causes.hpp"

namespace umbra::controller {
namespace {

Bytes room(const PlacementQuery& query, const HostPicture& host, const Promises& promises,
           const BrainSettings& settings) {
  const auto promised = promises.memory.find(host.name);
  auto free =
      host.memory_free - settings.memory_reserve - (promised == promises.memory.end() ? Bytes{} : promised->second);
  // The shadow that it has there already took its memory.
  const auto& shadow = query.vm->shadow;
  if (shadow && shadow->standby() == host.name && shadow->tier() >= v1::TIER_STAGED)
    free = free + query.vm->memory + kShadowOverhead;
  return free;
}

}  // namespace

double probability_there(const Picture& picture, const VmPicture& vm, const HostPicture& host, const Promises& promises,
                         const BrainSettings& settings) {
  auto causes = location_causes(picture, host, settings);
  const auto arrivals = promises.arrivals.find(host.name);
  std::vector<const VmPicture*> guests{&vm};
  for (const auto& [uuid, other] : picture.vms) {
    const bool arriving = arrivals != promises.arrivals.end() && arrivals->second.contains(uuid);
    if (uuid != vm.uuid && (other.host == host.name || arriving)) guests.push_back(&other);
  }
  auto& capacity = causes.emplace_back();
  capacity.set_probability(shortage(joint_demand(guests), host.cpus, settings.window));
  return noisy_or(causes);
}

std::string objection(const Picture& picture, const PlacementQuery& query, const HostPicture& host,
                      const Promises& promises, const BrainSettings& settings) {
  const auto source = picture.hosts.find(query.vm->host);
  if (host.name == query.vm->host) return "has it already";
  if (!host.up) return "is down";
  if (!host.hypervisor_up) return "is up, but its libvirtd does not answer";
  if (!host.proven)
    return fmt::format("has not proven the hold{}{}", host.proof_detail.empty() ? "" : ": ", host.proof_detail);
  if (query.avoid.contains(host.name)) return "failed it lately, or is being emptied";
  if (query.other_zone && source != picture.hosts.end() && host.zone == source->second.zone)
    return fmt::format("is in the troubled zone {}", host.zone);
  const auto need = query.vm->memory + kShadowOverhead;
  const auto free = room(query, host, promises, settings);
  if (free < need) return fmt::format("has {} for a shadow that needs {}", to_string(free), to_string(need));
  const auto threats = location_causes(picture, host, settings);
  if (!query.whatever_threatens && noisy_or(threats) >= settings.hot)
    return fmt::format("may fall itself: {}", threats.front().detail());
  if (query.least_gain > 0) {
    const double there = probability_there(picture, *query.vm, host, promises, settings);
    if (query.probability_here - there < query.least_gain)
      return fmt::format("would be left again with {:.0f} %", 100 * there);
  }
  return {};
}

Placement place(const Picture& picture, const PlacementQuery& query, const Promises& promises,
                const BrainSettings& settings) {
  Placement best;
  std::tuple<double, double, std::string> best_score;
  std::string objections;
  for (const auto& [name, host] : picture.hosts) {
    if (name == query.vm->host) continue;
    if (auto reason = objection(picture, query, host, promises, settings); !reason.empty()) {
      objections += fmt::format("{}{} {}", objections.empty() ? "" : "; ", name, reason);
      continue;
    }
    const double there = probability_there(picture, *query.vm, host, promises, settings);
    const auto free = room(query, host, promises, settings);
    // Smaller is better.
    const std::tuple score{std::round(there * 20), -static_cast<double>(free.count), name};
    if (!best.host.empty() && best_score <= score) continue;
    best_score = score;
    best = {name, there,
            fmt::format("{} in zone {}: {:.0f} % to leave it again, {} free", name, host.zone, 100 * there,
                        to_string(free))};
  }
  if (best.host.empty()) best.why = objections.empty() ? "there is no other host" : objections;
  return best;
}

}  // namespace umbra::controller
