#include "controller/inventory/ownership.hpp"

#include <algorithm>

namespace umbra::controller {

OwnershipRuling rule(const std::string& owner, bool owner_known, const std::vector<Claim>& claims) {
  std::vector<const Claim*> active, defined;
  bool owner_active = false, owner_claims = false;
  for (const auto& claim : claims) {
    (claim.active ? active : defined).push_back(&claim);
    if (claim.host != owner) continue;
    owner_claims = true;
    owner_active = claim.active;
  }
  // An owner that cannot be asked may be running it still, unless another host got it from there since.
  const bool given_up =
      std::ranges::any_of(active, [&](const Claim* claim) { return claim->host != owner && claim->newer; });
  const bool owner_may_run = owner_active || (!owner.empty() && !owner_known && !given_up);
  const auto others_active = active.size() - (owner_active ? 1 : 0);
  if (others_active + (owner_may_run ? 1 : 0) > 1) return {Ruling::kConflict};
  if (others_active == 1) {
    const auto other = std::ranges::find_if(active, [&](const Claim* claim) { return claim->host != owner; });
    // Beside what the owner has shut off, a paused copy may be one that the guest has left behind.
    if (owner_claims && (*other)->paused && !(*other)->newer) return {};
    return {Ruling::kAdopt, (*other)->host};
  }
  if (owner_may_run || owner_claims) return {};
  if (defined.size() == 1) return {Ruling::kAdopt, defined.front()->host};
  if (defined.size() > 1) return {};  // shut off, and defined in several places: whoever starts it will own it
  return {Ruling::kGone};
}

OwnershipRuling rule_on_returned(const std::string& owner, Taker taker, const std::vector<Claim>& claims,
                                 const std::vector<Claim>& returned) {
  if (std::ranges::any_of(claims, &Claim::active)) return {};
  std::vector<const Claim*> active;
  for (const auto& claim : returned)
    if (claim.active) active.push_back(&claim);
  const auto is_owner = [&](const Claim& claim) { return claim.host == owner; };
  const bool owner_active = std::ranges::any_of(active, [&](const Claim* claim) { return is_owner(*claim); });
  const bool owner_claims = std::ranges::any_of(claims, is_owner) || std::ranges::any_of(returned, is_owner);
  if (!owner_active && taker == Taker::kUnknown) return {};
  if (active.size() > 1) return {Ruling::kConflict};
  if (owner_active) return {};
  if (active.size() == 1) {
    // As in rule(): beside a copy that is shut off, a paused one may be what the guest has left behind.
    if (active.front()->paused && owner_claims) return {};
    return {Ruling::kAdopt, active.front()->host};
  }
  if (claims.empty() && returned.size() == 1 && !owner_claims && taker == Taker::kIdle)
    return {Ruling::kAdopt, returned.front().host};
  return {};
}

}  // namespace umbra::controller
