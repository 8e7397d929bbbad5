/// A fleet in one process and under one clock: real controller, real agents, and fakes of what is around them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <set>

#include "agentd/agent.hpp"
#include "agentd/tests/fake_gates.hpp"
#include "agentd/tests/interrupted_hypervisor.hpp"
#include "agentd/tests/simulated_guest.hpp"
#include "agentd/virt/fakes/fake_hypervisor.hpp"
#include "base/temporary_directory.hpp"
#include "controller/controller.hpp"
#include "netswitch/fakes/fake_kernel.hpp"
#include "rpc/fakes/test_fleet.hpp"
#include "sim/memory_disk.hpp"
#include "sim/transport.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::sim {

using agent::test::Loop;

class World;
struct Machine;

/// One life of one daemon: all that a crash takes away. A crashed one is never run again, but its memory stays until
/// the world ends, as coroutines elsewhere may still name it.
class Process {
 public:
  Process(World& world, Machine& machine);

  Loop& loop() { return loop_; }
  agent::Agent* agent() { return agent_.get(); }                      ///< null on the controller's machine
  controller::Controller* controller() { return controller_.get(); }  ///< null elsewhere

 private:
  Loop loop_;
  std::shared_ptr<LanTransport> transport_;
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<controller::Controller> controller_;
};

/// What outlives its daemon.
struct Machine {
  enum class Kind : std::uint8_t { kHost, kEdge, kController };
  Kind kind = Kind::kHost;
  std::string name;
  std::string directory;  ///< of its journal or store
  v1::Node node;
  agent::AgentConfig config;
  std::optional<rpc::Tls> tls;
  netswitch::FakeKernel kernel;
  std::unique_ptr<virt::FakeHypervisor> hypervisor;  ///< hosts only
  std::unique_ptr<agent::test::FakeGates> gates;     ///< hosts only
  std::unique_ptr<Process> process;                  ///< none while its daemon is down
  bool power = true;
  unsigned lives = 0;
  bool forgot = false;       ///< it has lost a journal or store, or has an older one
  MemoryDisk::Image backup;  ///< of its journal or store, taken when the world stood
  std::string unstarted{};   ///< why its daemon does not start

  bool is_host() const { return kind == Kind::kHost; }
};

/// A move that the operator asked for.
struct Move {
  std::optional<Result<v1::CutoverResult>> end;  ///< as the controller told the operator
  std::string phase;
};

/// One VM, hosts and edges. Nothing happens but in pass() and until(), which leap from one thing that is due to the
/// next; after every step of any process it is checked that the VM has one owner, see violations().
class World : public agent::test::SimulatedGuest {
 public:
  struct Options {
    unsigned hosts = 2, edges = 1;
    Bytes memory = mebibytes(64);  ///< of the VM
    BytesPerSecond dirty_rate{};
    bool persistent = true;
  };
  static constexpr const char* kControllerAddress = "10.0.0.250:7443";

  explicit World(Options options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Time.
  void pass(Milliseconds time);
  /// @return whether the condition came to hold within `limit`
  bool until(const std::function<bool()>& condition, Milliseconds limit);
  Clock& clock() { return wire_->clock(); }
  Milliseconds now() { return std::chrono::duration_cast<Milliseconds>(clock().steady().time_since_epoch()); }
  std::uint64_t steps() const { return steps_; }

  // Fate.
  Lan& lan() { return lan_; }
  void set_fate(Fate fate) { fate_ = std::move(fate); }
  Verdict meet(const Moment& moment);
  /// Its daemon ends, and nothing else; a start after `wait`.
  void restart(Machine& machine, Milliseconds wait);
  void crash(Machine& machine);
  void start(Machine& machine);
  /// Daemon, libvirtd, QEMUs, taps and routes end at once, and nobody is told; it boots after `wait`.
  void lose_power(Machine& machine, Milliseconds wait);
  void part(Machine& a, Machine& b, Milliseconds time);
  void libvirt_away(Machine& machine, Milliseconds time);
  /// The daemon ends, and starts with nothing of its journal or store, or with the backup.
  void forget(Machine& machine, Milliseconds wait);
  void restore(Machine& machine, Milliseconds wait);
  /// Everybody's wall clock.
  void step_clocks(Milliseconds by) { wire_->clock().step_wall(by); }
  /// Takes backups of all.
  void back_up();

  // What an operator asks of the controller, with umbractl. What cannot be asked now is not asked again.
  void keep(const std::string& to, v1::Tier tier);
  void drop();
  std::shared_ptr<Move> cutover();
  std::shared_ptr<Move> migrate(const std::string& to);
  /// `virsh resume` of a guest that something other than a cutover paused.
  void resume_by_hand(Machine& machine);
  /// `umbractl fence HOST --confirmed`, then `umbractl restart VM`.
  void fence_and_restart(Machine& machine);
  /// A person has the alerts' word for what is left to people: looks at both sides, and does what they name.
  void obey_alerts();

  // What can be seen.
  std::vector<std::unique_ptr<Machine>>& machines() { return machines_; }
  Machine& machine(const std::string& name);
  Machine& host(unsigned number) { return machine("host" + std::to_string(number)); }
  Machine& controller() { return machine("controller"); }
  std::shared_ptr<qmp::FakeQemu> qemu(const Machine& machine) const { return machine.hypervisor->qemu(kVm); }
  bool runs(const Machine& machine) const { return qemu(machine) && qemu(machine)->running(); }
  /// The host that runs the VM, if just one does.
  Machine* runner();
  const controller::VmRecord* record();
  v1::ShadowPhase shadow_phase();
  /// "tap", another machine's name, or "" without a route of ours.
  std::string route(Machine& machine) const;
  /// @param by a node's name; empty: any
  bool alerted(std::string_view words, std::string_view by = {});
  bool told(std::string_view words, v1::Severity at_least, std::string_view by = {});
  /// More than one owner, a stale one, or processes that spin: each as a sentence.
  const std::vector<std::string>& violations() const { return violations_; }
  /// What is not as it should be once nothing is going on; empty in a fleet in order.
  std::string disorder();
  std::string describe();
  void tell(std::string what);  ///< into the story
  const std::vector<std::string>& story() const { return story_; }

 private:
  friend class Process;
  void configure(Machine& machine, int number);
  asio::awaitable<void> attend();
  asio::awaitable<void> replace(std::string host);
  void settle();
  void observe();
  void violate(std::string what);
  bool commit(const std::string& file, Moment::Kind kind);
  v1::FleetClient* fleet();
  template <class Stream>
  asio::awaitable<void> follow(Task<Stream> call, std::shared_ptr<Move> move);

  Options options_;
  rpc::TestFleet certificates_;
  Loop world_;  // libvirtds, QEMUs, operators
  std::shared_ptr<qmp::FakeWire> wire_;
  std::shared_ptr<virt::FakeStorage> storage_ = std::make_shared<virt::FakeStorage>();
  Lan lan_;
  Fate fate_;
  MemoryDisk disk_;
  Exchange exchange_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::vector<std::unique_ptr<Process>> graves_;
  std::unique_ptr<LanTransport> operator_;
  std::shared_ptr<rpc::Session> session_;
  std::optional<v1::FleetClient> fleet_;
  std::uint64_t steps_ = 0;

  // The guest's own history.
  std::shared_ptr<qmp::FakeQemu> running_in_;
  std::set<std::shared_ptr<qmp::FakeQemu>> stale_;  // whose memory the guest has left behind
  bool decided_ = false;                            // by a person: umbractl resolve --keep, or fence
  std::vector<std::string> violations_;
  std::vector<std::string> story_;
};

}  // namespace umbra::sim
