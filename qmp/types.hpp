/// The QMP vocabulary Umbra uses, typed. Names and meanings are QEMU's own (QAPI schema: migration.json,
/// run-state.json).
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace umbra::qmp {

/// RunState. What QEMU's machine is doing; `kOther` is any state this list does not name, with its text kept apart.
enum class RunState : std::uint8_t {
  kRunning,
  kPaused,
  kInMigrate,      ///< waits for, or takes, an incoming migration
  kFinishMigrate,  ///< stopped to send the last of an outgoing migration
  kPostMigrate,    ///< an outgoing migration has completed; the guest lives elsewhere
  kPrelaunch,
  kShutdown,
  kIoError,
  kGuestPanicked,
  kOther,
};

/// MigrationStatus.
enum class MigrationStatus : std::uint8_t {
  kNone,
  kSetup,
  kActive,
  kPreSwitchover,  ///< the guest is stopped and QEMU waits for `migrate-continue`
  kDevice,
  kCompleted,
  kFailed,
  kCancelling,
  kCancelled,
  kOther,
};

struct Status {
  RunState state = RunState::kOther;
  bool running = false;
};

/// `query-migrate` of either side. Counters are absent (zero) on the destination.
struct MigrationInfo {
  MigrationStatus status = MigrationStatus::kNone;
  Bytes transferred{};
  Bytes remaining{};
  Bytes total{};
  std::uint64_t dirty_sync_count = 0;
  BytesPerSecond rate{};
  BytesPerSecond dirty_rate{};               ///< dirty-pages-rate times the page size
  std::string error;                         ///< error-desc
  std::uint16_t port = 0;                    ///< socket-address: on which an incoming one listens; 0: on none
  std::vector<std::string> blocked_reasons;  ///< why QEMU would refuse to migrate this guest; empty when it would not
};

/// `query-named-block-nodes`: one node of QEMU's block graph, in what tells whether another QEMU has the same disks.
struct BlockNode {
  std::string name;     ///< node-name
  std::string driver;   ///< drv
  std::string file;     ///< the image or protocol address, QEMU's "json:" text where that is none
  std::string backing;  ///< backing_file; empty without one
  bool read_only = false;
  bool operator==(const BlockNode&) const = default;
};

/// `query-block-jobs`.
struct BlockJob {
  std::string device;  ///< the job's id
  std::string type;    ///< "commit", "mirror", "backup", "stream", …
};

/// `migrate-set-parameters`; what is absent stays as it is.
struct MigrationParameters {
  std::optional<BytesPerSecond> max_bandwidth;
  std::optional<std::chrono::milliseconds> downtime_limit;
  std::optional<unsigned> multifd_channels{};
};

struct Version {
  int major = 0, minor = 0, micro = 0;
  auto operator<=>(const Version&) const = default;
};

struct MigrationEvent {
  MigrationStatus status;
};  ///< MIGRATION
struct MigrationPassEvent {
  std::uint64_t pass;
};                      ///< MIGRATION_PASS: one more dirty-bitmap sync
struct StopEvent {};    ///< STOP
struct ResumeEvent {};  ///< RESUME
struct ShutdownEvent {
  bool by_guest;
  std::string reason;
};
struct ResetEvent {
  bool by_guest;
};
struct PowerdownEvent {};  ///< POWERDOWN: the guest was asked to shut down, as by a power button
struct JobEvent {};        ///< JOB_STATUS_CHANGE: a job, of the block layer most often, began, went on or ended
struct OtherEvent {};      ///< anything else; nothing depends on it

/// An event, with QEMU's own time stamp: that host's wall clock, microseconds since the Unix epoch.
struct Event {
  std::string name;
  std::chrono::microseconds at{};
  std::variant<MigrationEvent, MigrationPassEvent, StopEvent, ResumeEvent, ShutdownEvent, ResetEvent, PowerdownEvent,
               JobEvent, OtherEvent>
      what;
};

}  // namespace umbra::qmp
