/// Nodes, VMs with their epochs, and the profiles of every VM in every zone.
#pragma once

#include <map>
#include <vector>

#include "base/clock.hpp"
#include "base/sqlite.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::controller {

using Epoch = std::uint64_t;

struct StoredNode {
  v1::Node node;
  std::string version;
  UnixMillis last_seen = 0;
};

struct StoredVm {
  v1::Vm vm;
  std::string host;       ///< the owner; empty when the VM is gone
  Epoch epoch = 0;        ///< the newest ever given out
  Epoch owner_epoch = 0;  ///< the one in which `host` became the owner
};

/// Which VM claims an address, and who came first: ids grow.
struct AddressClaim {
  std::int64_t id = 0;
  std::string vm_uuid;
  std::string address;
};

/// Errors are sqlite::Database's. The controller's thread only, as all of the store.
class FleetStore {
 public:
  explicit FleetStore(sqlite::Database& database) : database_(database) {}

  Result<void> save_node(const StoredNode& node);
  Result<std::vector<StoredNode>> nodes();

  /// Saves a VM's description; an unknown one is added, owned by nobody, with epoch 0.
  Result<void> save_vm(const v1::Vm& vm);
  Result<std::vector<StoredVm>> vms();
  /// The VM's epochs go on above `epoch` from now on: somebody knows that one already.
  Result<void> raise_epoch(const std::string& vm_uuid, Epoch epoch);
  /// Gives out the VM's next epoch, once: `expected` must be the newest one known.
  /// @error kConflict somebody else took an epoch since; kNotFound
  Result<Epoch> next_epoch(const std::string& vm_uuid, Epoch expected);
  /// Records that `host` owns the VM since `epoch`. @error kConflict `epoch` is older than what is recorded
  Result<void> set_owner(const std::string& vm_uuid, const std::string& host, Epoch epoch);

  Result<std::vector<AddressClaim>> address_claims();
  /// @return its id
  Result<std::int64_t> add_address_claim(const std::string& vm_uuid, const std::string& address);
  Result<void> forget_address_claim(const std::string& vm_uuid, const std::string& address);

  /// Replaces all profiles: by VM uuid, one per zone.
  Result<void> save_profiles(const std::map<std::string, std::vector<v1::Profile>>& profiles);
  Result<std::vector<v1::Profile>> profiles(const std::string& vm_uuid);

 private:
  sqlite::Database& database_;
};

}  // namespace umbra::controller
