/// Typed QMP commands over any transport.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "qmp/transport.hpp"

namespace umbra::qmp {

/// The commands Umbra gives a QEMU. Members QEMU adds to an answer are tolerated, a missing or mistyped one that is
/// needed is kCorrupt. Errors are the transport's, with the command's name in front. Owner's strand only; a cancelled
/// call may still have reached QEMU.
class Client {
 public:
  explicit Client(std::shared_ptr<Transport> transport) : transport_(std::move(transport)) {}

  Task<Version> version(Deadline deadline);          ///< query-version
  Task<Status> status(Deadline deadline);            ///< query-status
  Task<MigrationInfo> migration(Deadline deadline);  ///< query-migrate
  /// Names of the migration capabilities this QEMU knows (query-migrate-capabilities).
  Task<std::vector<std::string>> known_capabilities(Deadline deadline);
  /// Switches these on and those off (migrate-set-capabilities); kConflict while a migration runs.
  Task<void> set_capabilities(std::vector<std::string> on, std::vector<std::string> off, Deadline deadline);
  Task<void> set_parameters(MigrationParameters parameters, Deadline deadline);
  Task<void> migrate(std::string uri, Deadline deadline);
  Task<void> migrate_incoming(std::string uri, Deadline deadline);
  Task<void> migrate_cancel(Deadline deadline);
  /// Leaves `pre-switchover` (migrate-continue state=pre-switchover).
  Task<void> migrate_continue(Deadline deadline);
  /// The block graph, sorted by node name (query-named-block-nodes, flat).
  Task<std::vector<BlockNode>> block_nodes(Deadline deadline);
  Task<std::vector<BlockJob>> block_jobs(Deadline deadline);  ///< query-block-jobs
  /// The directory that libvirt made for this QEMU, where its monitor's socket is (query-chardev, "charmonitor").
  /// @error kUnsupported it was not started by libvirt
  Task<std::string> directory(Deadline deadline);
  Task<void> stop(Deadline deadline);
  Task<void> cont(Deadline deadline);
  Task<void> quit(Deadline deadline);

  Transport& transport() { return *transport_; }

 private:
  Task<boost::json::value> run(std::string command, boost::json::object arguments, Deadline deadline);
  Task<void> run_void(std::string command, boost::json::object arguments, Deadline deadline);

  std::shared_ptr<Transport> transport_;
};

}  // namespace umbra::qmp
