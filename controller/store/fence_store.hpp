/// What is kept for the loss of a host: who fenced it, what its VMs are defined as, and what was started elsewhere.
#pragma once

#include <optional>
#include <vector>

#include "controller/store/fleet_store.hpp"

namespace umbra::controller {

/// A VM of a fenced host that is started on another one.
struct Takeover {
  enum class State : std::uint8_t { kOpen = 0, kRuns = 1, kFailed = 2 };  ///< stored: append only
  std::string vm_uuid;
  std::string vm;  ///< name
  std::string from;
  std::string to;
  Epoch epoch = 0;
  UnixMillis at = 0;
  std::string actor;
  State state = State::kOpen;
  bool cleared = false;  ///< the copy on `from` is known to be gone
};

/// Errors are sqlite::Database's.
class FenceStore {
 public:
  /// A definition that is larger is not kept.
  static constexpr std::size_t kMostDefinition = 256 * 1024;

  explicit FenceStore(sqlite::Database& database) : database_(database) {}

  struct InForce {
    v1::Fence fence;
    bool returned = false;  ///< its host was heard since
  };
  Result<std::vector<InForce>> fences();
  Result<void> set_returned(const std::string& host);
  /// @return the same with its epoch, which is greater than that of every fence of this host before
  Result<v1::Fence> add_fence(v1::Fence fence);
  Result<void> lift_fence(const std::string& host, UnixMillis at, const std::string& actor);

  struct StoredDefinition {
    std::string xml;  ///< inactive
    bool autostart = false;
  };
  Result<void> save_definition(const std::string& vm_uuid, const StoredDefinition& definition);
  Result<void> remove_definition(const std::string& vm_uuid);
  Result<std::optional<StoredDefinition>> definition(const std::string& vm_uuid);

  Result<void> save_takeover(const Takeover& takeover);
  /// Those that nobody knows the end of, and those whose copy on the old host may still be there.
  Result<std::vector<Takeover>> takeovers();

 private:
  sqlite::Database& database_;
};

}  // namespace umbra::controller
