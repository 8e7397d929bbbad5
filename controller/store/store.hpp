/// The controller's memory on disk: <state_dir>/state.db, and telemetry.db beside it.
#pragma once

#include <memory>

#include "controller/store/fence_store.hpp"
#include "controller/store/fleet_store.hpp"
#include "controller/store/invitation_store.hpp"
#include "controller/store/log_store.hpp"
#include "controller/store/telemetry_store.hpp"
#include "controller/store/wish_store.hpp"

namespace umbra::controller {

/// Calls block for as long as the disk takes; they are short, and made on the controller's one thread.
class Store {
 public:
  /// Opens or creates both files, checks state.db for damage and brings the schemas up to date.
  /// @error sqlite::Database's; kUnsupported written by a newer program
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& directory);

  /// What is written until it commits becomes durable together, with one wait for the disk; telemetry is not part of
  /// it.
  Result<sqlite::Transaction> begin() { return sqlite::Transaction::begin(state_); }

  FleetStore fleet{state_};
  WishStore wishes{state_};
  LogStore log{state_};
  FenceStore fences{state_};
  InvitationStore invitations{state_};
  TelemetryStore telemetry;

 private:
  Store(sqlite::Database state, sqlite::Database telemetry_database)
      : telemetry(std::move(telemetry_database)), state_(std::move(state)) {}
  sqlite::Database state_;
};

}  // namespace umbra::controller
