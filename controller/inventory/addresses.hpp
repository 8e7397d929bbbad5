/// Which VM has which address, and what is wrong with that.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/inventory/inventory.hpp"
#include "netswitch/address_rules.hpp"

namespace umbra::controller {

/// What is wrong with one VM's address.
struct AddressFault {
  std::string vm_uuid;
  std::string address;
  std::string text;  ///< follows the VM's name: "has address …, which …"
  std::string remedy;
  v1::Severity severity = v1::SEVERITY_WARNING;
};

/// An address is led to one VM. Of several active ones that claim it, that is the one which claimed it first, across
/// moves and restarts of the controller; a VM that is shut off claims nothing. While they claim it together none of
/// them is moved: its routes would have to follow it, and are another's, or might become so.
/// Controller's thread only.
class AddressBook {
 public:
  /// @param rules `taken` is filled with the nodes' own addresses here
  AddressBook(Inventory& inventory, Store& store, EventLog& events, Clock& clock, netswitch::AddressRules rules)
      : inventory_(inventory), store_(store), events_(events), clock_(clock), rules_(std::move(rules)) {}
  /// @error of the store
  Result<void> load();

  /// Looks at the inventory if it has changed: remembers new claims, and tells what is wrong, once, when it has lasted
  /// for as long as a node may be silent. Sets VmRecord::objection.
  void refresh();

  /// May routes for this address lead to that VM?
  bool leads(const std::string& vm_uuid, const std::string& address) const;
  const std::vector<AddressFault>& faults() const { return faults_; }

 private:
  using Key = std::pair<netswitch::IpAddress, std::string>;  // and the VM's UUID
  struct Told {
    TimePoint since{};
    bool told = false;
  };
  std::set<Key> claims_now();
  void keep(const std::set<Key>& claims);
  void find_duplicates(const std::set<Key>& claims);
  void tell();
  std::string name(const std::string& vm_uuid) const;

  Inventory& inventory_;
  Store& store_;
  EventLog& events_;
  Clock& clock_;
  netswitch::AddressRules rules_;
  std::uint64_t generation_ = 0;
  std::map<Key, std::int64_t> claims_;  ///< which came first
  std::map<netswitch::IpAddress, std::string> holders_;
  std::vector<AddressFault> faults_;
  std::map<std::string, Told> told_;  ///< by VM and text
};

}  // namespace umbra::controller
