/// One QEMU as the monitor shows it: run states, precopy migration, and the hold.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <set>
#include <vector>

#include "qmp/fakes/fake_wire.hpp"
#include "qmp/transport.hpp"

namespace umbra::qmp {

/// A model of QEMU 10's migration.c and runstate.c at the level of QMP, true in what Umbra relies on (ARCHITECTURE.md,
/// "The hold"): the switchover-ack hold, the 100 ms windows of the rate limit, pause-before-switchover, what cancel
/// restores, and that a destination that loses its stream exits. It passes the same contract tests as the real one.
/// Time is the wire's. Events and answers are posted to the executor, so never inside a call, and in QEMU's order. One
/// thread.
class FakeQemu final : public Transport, public std::enable_shared_from_this<FakeQemu> {
 public:
  struct Options {
    Version version{10, 0, 2};
    std::string host;  ///< its host's address, for migration URIs; empty: any
    std::string directory = "/var/lib/libvirt/qemu/domain-1-guest";  ///< where libvirt has its monitor
    Bytes memory = mebibytes(64);
    bool incoming = false;  ///< -incoming defer
    bool paused = true;     ///< -S
    std::set<std::string> capabilities{
        "xbzrle",         "events", "return-path", "pause-before-switchover", "late-block-activate",
        "switchover-ack", "multifd"};   ///< those that it knows
    BytesPerSecond dirty_rate{};        ///< of the running guest
    Bytes working_set = mebibytes(16);  ///< never more than this is dirty
    BytesPerSecond link{1ULL << 30};    ///< what the wire carries when no limit is set
    Milliseconds device_time{2};        ///< to save and load device state
    Milliseconds command_time{0};       ///< the wire's time that each command takes; for code that polls
  };

  static std::shared_ptr<FakeQemu> start(asio::any_io_executor executor, std::shared_ptr<FakeWire> wire,
                                         Options options);

  struct Pair;
  /// A running source and a destination that waits, on one wire.
  static Pair pair(asio::any_io_executor executor, Options options);

  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override;
  void on_event(EventHandler handler) override;

  // The guest and its surroundings.
  void set_dirty_rate(BytesPerSecond rate) { options_.dirty_rate = rate; }
  void set_link(BytesPerSecond link) { options_.link = link; }
  void set_device_time(Milliseconds time) { options_.device_time = time; }
  void io_error();        ///< a disk write failed: the guest is paused
  void guest_shutdown();  ///< the guest powered off; QEMU stays, as libvirt's -no-shutdown has it
  void guest_reset();
  void power_button();  ///< as `virsh shutdown` and `virsh reboot` press it

  // Its disks: what people and backups change under it.
  void set_block_nodes(std::vector<BlockNode> nodes) { block_nodes_ = std::move(nodes); }
  void set_block_jobs(std::vector<BlockJob> jobs);

  // The process.
  void die();  ///< as by SIGKILL
  bool alive() const { return alive_; }
  void on_exit(std::function<void()> handler) { exit_handler_ = std::move(handler); }
  /// A second listener, libvirtd's own; on_event replaces the agent's alone.
  void watch(EventHandler handler) { watcher_ = std::move(handler); }

  // Faults.
  void fail(std::string command, Error error) {
    failures_.emplace(std::move(command), std::move(error));
  }                                                                              ///< once, not run
  void drop_reply(std::string command) { dropped_.insert(std::move(command)); }  ///< once: runs, then kTimeout at once

  // What tests look at.
  RunState run_state() const { return run_state_; }
  bool running() const { return run_state_ == RunState::kRunning; }
  MigrationStatus migration_status() const { return status_; }
  BytesPerSecond max_bandwidth() const { return max_bandwidth_; }
  Bytes sent() const { return transferred_; }
  /// Of its stream: one, or as many as multifd was told.
  unsigned channels() const { return has("multifd") ? channels_ : 1; }
  std::uint64_t passes() const { return sync_count_; }  ///< looks at the dirty bitmap in this migration
  const std::vector<std::string>& commands() const { return commands_; }  ///< all that arrived, in order
  const Options& options() const { return options_; }
  const std::optional<std::string>& listening() const { return listening_; }

 private:
  friend class FakeWire;
  FakeQemu(asio::any_io_executor executor, std::shared_ptr<FakeWire> wire, Options options);

  Result<boost::json::value> run(const std::string& command, const boost::json::object& arguments);
  Result<boost::json::value> set_capabilities(const boost::json::object& arguments);
  Result<boost::json::value> set_parameters(const boost::json::object& arguments);
  Result<boost::json::value> migrate(const boost::json::object& arguments);
  Result<boost::json::value> migrate_incoming(const boost::json::object& arguments);
  Result<boost::json::value> migrate_continue();
  Result<boost::json::value> cont();
  boost::json::value query_migrate() const;
  boost::json::value query_named_block_nodes() const;
  boost::json::value query_block_jobs() const;

  void tick();
  /// The guest writes for so long.
  void dirty(Milliseconds time);
  /// Until when tick() would do nothing but let the guest write.
  std::int64_t due_ms() const;
  void connect();
  void iterate();
  void begin_switchover();
  void complete();
  void give_up(MigrationStatus end, std::string error);
  void restore_guest();
  void stream_lost(std::string error);
  void relay_lost(const FakeRelay& relay);
  std::shared_ptr<FakeRelay> relay() const;
  void receive_all(bool source_ran);
  bool migrating() const;
  bool may_switch_over() const;

  void stop_guest(RunState state);
  void start_guest();
  void set_status(MigrationStatus status);
  void emit(std::string name, boost::json::object data = {});
  bool has(const std::string& capability) const { return enabled_.contains(capability); }

  asio::any_io_executor executor_;
  std::shared_ptr<FakeWire> wire_;
  Options options_;
  EventHandler handler_, watcher_;
  std::function<void()> exit_handler_;
  bool alive_ = true;

  RunState run_state_;
  bool autostart_;
  std::set<std::string> enabled_;
  BytesPerSecond max_bandwidth_{128ULL << 20};
  Milliseconds downtime_limit_{300};
  unsigned channels_ = 2;

  MigrationStatus status_ = MigrationStatus::kNone;
  std::string error_;
  std::string uri_;
  std::optional<std::string> listening_;
  std::weak_ptr<FakeQemu> peer_;
  std::vector<std::weak_ptr<FakeRelay>> through_;  ///< what its outgoing stream goes through, the nearest first
  RunState state_before_ = RunState::kPrelaunch;   ///< restored when a switchover is given up
  std::uint64_t dirty_ = 0, remaining_ = 0, sync_count_ = 0;
  Bytes transferred_{};
  std::int64_t window_end_ms_ = 0, asleep_until_ms_ = 0, device_left_ms_ = 0;
  std::uint64_t window_sent_ = 0, measured_rate_ = 0;
  std::uint64_t queued_ = 0;  ///< in its socket, while the gate there is shut

  std::vector<BlockNode> block_nodes_;
  std::vector<BlockJob> block_jobs_;
  std::multimap<std::string, Error> failures_;
  std::multiset<std::string> dropped_;
  std::vector<std::string> commands_;
};

struct FakeQemu::Pair {
  std::shared_ptr<FakeWire> wire;
  std::shared_ptr<FakeQemu> source, destination;
};

}  // namespace umbra::qmp
