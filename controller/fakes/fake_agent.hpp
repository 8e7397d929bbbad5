/// An agent without a host: real sessions and services, imagined VMs.
#pragma once

#include <functional>
#include <set>

#include "base/signal.hpp"
#include "base/task_group.hpp"
#include "rpc/dialer.hpp"
#include "rpc/warrant.hpp"
#include "umbra/v1/agent.rpc.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::controller {

class FakeAgent;

/// The uuid of an imagined VM, by its name.
std::string uuid_of(std::string_view vm_name);

/// The hosts of one imagined fleet, so that a cutover finds its standby.
using FakeHosts = std::map<std::string, FakeAgent*>;

/// Behaves as umbra-agentd does towards the controller: registers, reports, keeps shadows, cuts over, remembers how the
/// last cutover of each VM ended. What can go wrong is a member. One thread; destroy after stop().
class FakeAgent {
 public:
  FakeAgent(asio::any_io_executor executor, Clock& clock, FakeHosts& hosts, v1::Node node, rpc::Tls tls,
            std::string controller);
  ~FakeAgent();

  void connect();
  void disconnect();
  /// With the controller; there must be one.
  std::shared_ptr<rpc::Session> session() const { return dialer_->session().value(); }
  asio::awaitable<void> stop();
  void add_vm(const std::string& name, const std::string& address);
  void undefine_vm(const std::string& name);  ///< and destroys it; a definition that was told is taken back
  const std::string& name() const { return node_.name(); }
  bool runs(const std::string& vm_uuid) const { return vms_.contains(vm_uuid); }

  // What it reports, and how it behaves; to be changed at will.
  v1::HostCapacity capacity;
  bool proven = true;
  bool hypervisor_up = true;
  std::optional<Error> keep_shadow_error;
  std::string standby_refusal;  ///< what its standbys answer to every shadow that it has accepted
  bool shadows_stall = false;   ///< they are staged for ever
  v1::Outcome cutover_outcome = v1::OUTCOME_MOVED;
  bool hang_up_in_cutover = false;  ///< the session breaks in the middle of the next cutover, which goes on
  bool forget_cutovers = false;     ///< of the next one it knows nothing afterwards
  bool tell_cutovers_in_reports = true;
  bool pause_before_cutover = false;  ///< waits until this is false
  bool deny_cutovers = false;         ///< of none it knows anything when asked
  bool tell_served = true;
  std::map<std::string, std::uint64_t> served;        ///< by VM uuid: what its journal says that it got, and when
  std::map<std::string, std::uint64_t> known;         ///< by VM uuid: epochs that its journal knows beside those
  std::map<std::string, std::uint64_t> newer_routes;  ///< by VM uuid: it leaves older routes of these alone

  bool obey = true;                                ///< lets go of what was taken over, when it is told so
  std::optional<Error> start_error;                ///< of definitions
  bool start_hangs = false;                        ///< the start happens, and its answer is lost
  std::map<std::string, std::string> definitions;  ///< by VM uuid: inactive XML, told in every report
  std::map<std::string, v1::HeldShadow> held;      ///< by VM uuid: shadows of others that it holds
  std::set<std::string> autostart;                 ///< by VM uuid: told with the definition
  std::map<std::string, v1::VmAccount> accounts;   ///< by VM uuid: what it says of it
  std::optional<Error> yield_error;
  bool silent_about_cutovers = false;  ///< LastCutover cannot be answered

  // What was asked of it.
  std::vector<v1::StartDefinitionRequest> started;
  std::vector<v1::YieldRequest> yields;
  std::vector<v1::ResolveRequest> resolves;
  std::vector<v1::CutoverRequest> cutovers;
  std::function<void()> on_cutover;                   ///< called when one is asked for
  std::map<std::string, v1::KeepShadowRequest> kept;  ///< by VM uuid: the last
  std::optional<v1::ReconcileRequest> routes;
  std::vector<v1::TakenOver> taken_over;  ///< from it, as it was told last
  unsigned drops = 0;
  unsigned keeps = 0;

  v1::Vm* vm(const std::string& uuid);
  std::map<std::string, v1::Shadow>& shadows() { return shadows_; }

 private:
  class AgentApi;
  class NetSwitchApi;
  asio::awaitable<void> report();
  asio::awaitable<void> perform(v1::CutoverRequest request);
  v1::ReportRequest news();
  void grow_shadows();
  Result<v1::WarrantStatement> warranted(const v1::Warrant& warrant, const std::string& vm_uuid,
                                         const std::string& standby) const;

  asio::any_io_executor executor_;
  Clock& clock_;
  FakeHosts& hosts_;
  v1::Node node_;
  rpc::Tls tls_;
  std::string controller_;
  Signal changed_;
  TaskGroup tasks_;
  std::unique_ptr<rpc::Dialer> dialer_;
  std::map<std::string, v1::Vm> vms_;
  std::map<std::string, v1::Shadow> shadows_;
  std::map<std::string, v1::CutoverResult> last_cutovers_;
  std::vector<v1::CutoverResult> untold_;
  std::map<std::string, std::vector<v1::CutoverProgress>> told_;  ///< progress of the running cutover, by VM uuid
};

}  // namespace umbra::controller
