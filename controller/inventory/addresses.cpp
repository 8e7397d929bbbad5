#include "controller/inventory/addresses.hpp"

#include <spdlog/spdlog.h>

namespace umbra::controller {

using netswitch::IpAddress;

Result<void> AddressBook::load() {
  UMBRA_TRY(const auto stored, store_.fleet.address_claims());
  for (const auto& claim : stored) {
    if (const auto address = IpAddress::parse(claim.address)) claims_[{*address, claim.vm_uuid}] = claim.id;
  }
  return {};
}

std::string AddressBook::name(const std::string& vm_uuid) const {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) return vm_uuid;
  return fmt::format("{} on {}", record->vm.name(), record->host);
}

void AddressBook::refresh() {
  if (generation_ != inventory_.generation()) {
    faults_.clear();
    const auto claims = claims_now();
    keep(claims);
    find_duplicates(claims);
    std::map<std::string, std::string> objections;
    for (const auto& fault : faults_) objections.emplace(fault.vm_uuid, fmt::format("it {}", fault.text));
    inventory_.object(objections);
    generation_ = inventory_.generation();
  }
  tell();
}

/// What active VMs claim of what they may. The others are faults.
std::set<AddressBook::Key> AddressBook::claims_now() {
  rules_.taken.clear();
  for (const auto& [node_name, node] : inventory_.nodes()) {
    for (const auto& text : {node.node.underlay_address(), node.node.migration_address()})
      if (const auto address = IpAddress::parse(text)) rules_.taken.push_back(*address);
  }
  std::set<Key> claims;
  for (const auto& [uuid, record] : inventory_.vms()) {
    if (!record.active()) continue;
    for (const auto& text : record.vm.addresses()) {
      const auto address = IpAddress::parse(text);
      const auto why = address ? rules_.objection(*address) : address.error().message;
      if (why.empty())
        claims.emplace(*address, uuid);
      else
        faults_.push_back({uuid, text, fmt::format("has an address that is not routed: {}", why),
                           "give it another address, or see network.allowed_addresses", v1::SEVERITY_WARNING});
    }
  }
  return claims;
}

void AddressBook::keep(const std::set<Key>& claims) {
  const auto complain = [](const auto& stored) {
    if (!stored) spdlog::error("who had an address first could not be stored: {}", stored.error());
  };
  std::erase_if(claims_, [&](const auto& entry) {
    if (claims.contains(entry.first)) return false;
    complain(store_.fleet.forget_address_claim(entry.first.second, entry.first.first.to_string()));
    return true;
  });
  for (const auto& key : claims) {
    if (claims_.contains(key)) continue;
    const auto id = store_.fleet.add_address_claim(key.second, key.first.to_string());
    complain(id);
    const auto last = std::ranges::max_element(claims_, {}, [](const auto& entry) { return entry.second; });
    claims_[key] = id ? *id : (last == claims_.end() ? 1 : last->second + 1);
  }
}

void AddressBook::find_duplicates(const std::set<Key>& claims) {
  std::map<IpAddress, std::vector<std::string>> by_address;
  for (const auto& [address, uuid] : claims) by_address[address].push_back(uuid);
  holders_.clear();
  for (auto& [address, uuids] : by_address) {
    const auto first = *std::ranges::min_element(uuids, {}, [&](const auto& uuid) {
      return claims_.at({address, uuid});
    });
    holders_[address] = first;
    if (uuids.size() == 1) continue;
    std::string others;
    for (const auto& uuid : uuids) {
      if (uuid == first) continue;
      others += (others.empty() ? "" : ", ") + name(uuid);
      faults_.push_back({uuid, address.to_string(),
                         fmt::format("has address {}, which is that of {} too. That one had it first and keeps the "
                                     "routes; none of them is moved",
                                     address, name(first)),
                         "give one of them another address, or shut it down", v1::SEVERITY_ALERT});
    }
    faults_.push_back(
        {first, address.to_string(),
         fmt::format("has address {}, which is that of {} too. It had it first and keeps the routes; none "
                     "of them is moved",
                     address, others),
         "give one of them another address, or shut it down", v1::SEVERITY_INFO});
  }
}

/// Reports of two hosts are not of the same moment: an address that passes from one VM to another is no duplicate.
void AddressBook::tell() {
  std::map<std::string, Told> told;
  for (const auto& fault : faults_) {
    if (fault.severity == v1::SEVERITY_INFO) continue;  // the other one's tells of both
    const auto key = fault.vm_uuid + fault.text;
    auto& one = told[key];
    const auto before = told_.find(key);
    one = before == told_.end() ? Told{clock_.steady(), false} : before->second;
    if (one.told || clock_.steady() - one.since < inventory_.heartbeat().silence()) continue;
    one.told = true;
    const auto* record = inventory_.vm(fault.vm_uuid);
    if (record == nullptr) continue;
    events_.add(v1::EVENT_KIND_ROUTE, fault.severity, fmt::format("{}. Remedy: {}", fault.text, fault.remedy),
                {record->host, record->vm.name()});
  }
  told_ = std::move(told);
}

bool AddressBook::leads(const std::string& vm_uuid, const std::string& address) const {
  const auto parsed = IpAddress::parse(address);
  if (!parsed) return false;
  const auto holder = holders_.find(*parsed);
  return holder != holders_.end() && holder->second == vm_uuid;
}

}  // namespace umbra::controller
