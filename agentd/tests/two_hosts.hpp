/// Two hosts and an edge in one process and under one clock; what a controller asks of them the test does.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <set>

#include "agentd/host.hpp"
#include "agentd/tests/direct_peers.hpp"
#include "agentd/tests/fake_disk.hpp"
#include "agentd/tests/fake_gates.hpp"
#include "agentd/tests/interrupted_hypervisor.hpp"
#include "agentd/tests/lan.hpp"
#include "agentd/tests/simulated_guest.hpp"
#include "agentd/virt/fakes/fake_hypervisor.hpp"
#include "base/temporary_directory.hpp"
#include "netswitch/fakes/fake_kernel.hpp"

namespace umbra::agent::test {

struct Machine;

/// One life of one node's agent: all that a crash takes away. A crashed one is never run again, but its memory stays
/// until the test ends, as coroutines elsewhere may still name it.
class Process {
 public:
  Process(TwoHosts& world, Machine& machine);

  const std::string& name() const { return name_; }
  Loop& loop() { return loop_; }
  Network& network() { return network_; }
  Outbox& outbox() { return outbox_; }
  const DirectPeers& peers() const { return peers_; }
  shadow::Journal& journal() { return *journal_; }
  Host* host() { return host_.get(); }  ///< null on an edge
  void report(v1::ReportRequest& report);

 private:
  std::string name_;
  Loop loop_;
  netswitch::Switch fabric_;
  Network network_;
  DirectPeers peers_;
  Outbox outbox_;
  std::unique_ptr<shadow::Journal> journal_;
  std::unique_ptr<InterruptedHypervisor> hypervisor_;
  std::unique_ptr<Host> host_;
};

/// What outlives its agent.
struct Machine {
  v1::Node node;
  AgentConfig config;
  netswitch::FakeKernel kernel;
  std::unique_ptr<virt::FakeHypervisor> hypervisor;  ///< none on an edge
  std::unique_ptr<FakeGates> gates;                  ///< none on an edge
  v1::HoldProof proof;                               ///< what its agent finds when it proves the hold
  std::unique_ptr<Process> process;                  ///< none while the agent is down

  const std::string& name() const { return node.name(); }
  bool is_host() const { return node.role() == v1::ROLE_AGENT; }
};

/// A cutover that was asked for.
struct Move {
  std::optional<Result<v1::CutoverResult>> end;  ///< stays empty if the agent dies before it answers
  std::vector<std::string> phases;
};

/// One VM on `source`, room for it on `standby`, and `edge` in front; routes lead to `source` once, at the begin.
/// Without a controller: the whole fleet is simulated in sim/. Nothing happens but in pass() and until(), where time
/// moves in small steps and every agent does after each what it can. At every step it is checked that the VM has one
/// owner; see violations().
class TwoHosts : public SimulatedGuest {
 public:
  struct Options {
    Bytes memory = mebibytes(64);  ///< of the VM
    Bytes standby_memory = gibibytes(4);
    BytesPerSecond dirty_rate{};
    bool persistent = true;
    Milliseconds refresh_interval{5'000};
  };

  TwoHosts() : TwoHosts(Options{}) {}
  explicit TwoHosts(Options options);
  ~TwoHosts();
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  Machine source, standby, edge;

  // Time.
  void pass(Milliseconds time, Milliseconds step = Milliseconds(1));
  /// @return whether the condition came to hold within `limit`
  bool until(const std::function<bool()>& condition, Milliseconds limit, Milliseconds step = Milliseconds(1));
  Clock& clock() { return wire_->clock(); }
  void step_wall_clock(Milliseconds by) { wire_->clock().step_wall(by); }
  Lan& lan() { return lan_; }

  // Fate.
  void crash(Machine& machine);
  void start(Machine& machine);
  /// A crash now, and a start after `wait`.
  void restart(Machine& machine, Milliseconds wait);
  /// The same, and meanwhile its state directory is emptied: the machine is installed anew.
  void lose_journal(Machine& machine, Milliseconds wait);
  /// `systemctl restart`.
  void restart_in_order(Machine& machine);
  void set_fate(Fate fate) { fate_ = std::move(fate); }
  Verdict meet(const Moment& moment);
  Machine& machine(const std::string& name);
  Process* process(const std::string& name) { return machine(name).process.get(); }
  /// A request is under way to that node: it breaks if the agent there crashes.
  void connected(const std::string& to, std::weak_ptr<Exchange> exchange);

  // What a controller asks. Results of calls are waited for.
  Result<v1::Shadow> keep(Machine& at, Machine& to, v1::Tier tier);
  void drop(Machine& at, std::string why);
  /// `virsh resume`, whenever libvirt gets to it.
  void resume_by_hand(Machine& machine);
  std::uint64_t next_epoch() { return ++epoch_; }
  v1::CutoverRequest cutover_request(Machine& at, Machine& to);
  std::shared_ptr<Move> cutover(Machine& at, Machine& to) { return cutover(at, cutover_request(at, to)); }
  std::shared_ptr<Move> cutover(Machine& at, v1::CutoverRequest request);
  /// A shadow on standby, kept until it is warm.
  void warm();
  /// Runs a task where that machine's agent runs, or, of a machine without, as an operator's command.
  /// @error kTimeout it did not end within `limit`
  template <class T>
  Result<T> ask(Machine* agent, Task<T> task, Milliseconds limit = Milliseconds(0));
  /// The standby's side of that host.
  shadow::Standby& standby_of(Machine& machine) { return *machine.process->host()->standby().value(); }

  // What can be seen.
  std::shared_ptr<qmp::FakeQemu> qemu(Machine& machine) const { return machine.hypervisor->qemu(kVm); }
  bool runs(Machine& machine) const { return qemu(machine) && qemu(machine)->running(); }
  shadow::Phase phase(Machine& at) const;  ///< of the shadow that this host keeps elsewhere; profile without one
  v1::Shadow shadow(Machine& at) const;
  std::optional<shadow::Record> record(Machine& machine, shadow::Side side) const;
  std::optional<virt::Domain> domain(Machine& machine);
  /// "tap", another node's name, or "" without a route of ours.
  std::string route(Machine& machine) const;
  const std::vector<v1::Event>& events() const { return events_; }
  bool told(v1::Severity severity, std::string_view words) const;
  const std::vector<v1::CutoverResult>& results() const { return results_; }
  /// More than one owner, a stale one, or an agent that spins: each as a sentence.
  const std::vector<std::string>& violations() const { return violations_; }
  /// What is not as it should be when nothing is going on; empty in a fleet in order.
  std::string disorder();
  std::string describe();

 private:
  friend class Process;
  void configure(Machine& machine, v1::Role role, int number);
  void advance(Milliseconds step);
  void settle();
  void observe();
  void violate(std::string what);
  void hear();
  void lead_to(Machine& owner);
  bool commit(const std::string& file, Moment::Kind kind);
  std::array<Machine*, 3> machines() { return {&source, &standby, &edge}; }

  Options options_;
  TemporaryDirectory directory_;
  Loop world_;  // libvirtds, QEMUs, operators
  std::shared_ptr<qmp::FakeWire> wire_;
  std::shared_ptr<virt::FakeStorage> storage_ = std::make_shared<virt::FakeStorage>();
  Lan lan_;
  Fate fate_;
  FakeDisk disk_;
  std::vector<std::unique_ptr<Process>> graves_;
  std::vector<std::pair<std::string, std::weak_ptr<Exchange>>> exchanges_;  // by who serves

  std::uint64_t epoch_ = 0;
  std::chrono::steady_clock::time_point hear_due_{};
  std::vector<v1::Event> events_;
  std::vector<v1::CutoverResult> results_;

  // The guest's own history.
  std::shared_ptr<qmp::FakeQemu> running_in_;
  std::set<std::shared_ptr<qmp::FakeQemu>> stale_;  // whose memory the guest has left behind
  std::vector<std::string> violations_;
};

template <class T>
Result<T> TwoHosts::ask(Machine* agent, Task<T> task, Milliseconds limit) {
  const auto answer = std::make_shared<std::optional<Result<T>>>();
  asio::co_spawn(agent != nullptr ? agent->process->loop() : world_, std::move(task),
                 [answer](std::exception_ptr bug, Result<T> result) {
                   if (bug) std::rethrow_exception(bug);
                   *answer = std::move(result);
                 });
  until([&] { return answer->has_value(); }, limit);
  return answer->value_or(fail(Errc::kTimeout, "no answer within {} ms", limit.count()));
}

}  // namespace umbra::agent::test
