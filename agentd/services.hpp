/// The agent's services on the wire: thin, everything is done behind them.
#pragma once

#include <memory>

#include "agentd/host.hpp"
#include "agentd/network.hpp"
#include "agentd/warrants.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::agent {

/// Every request of another node is held against its warrant first (agentd/warrants.hpp), and a domain that another
/// host sends against what others may have here (agentd/virt/foreign_domain.hpp).
///
/// Steps of a shadow's life run to their end even if the caller goes away (base/shield.hpp): a half-done accept would
/// leave the question of the owner open.
class StandbyApi final : public v1::StandbyService {
 public:
  StandbyApi(Host& host, Warrants& warrants, virt::ForeignRules rules)
      : host_(host), warrants_(warrants), rules_(std::move(rules)) {}
  Task<v1::StageReply> stage(rpc::Caller caller, v1::StageRequest request) override;
  Task<v1::AcceptReply> accept(rpc::Caller caller, v1::AcceptRequest request) override;
  Task<v1::ReleasedReply> released(rpc::Caller caller, v1::ReleasedRequest request) override;
  Task<v1::RefuseReply> refuse(rpc::Caller caller, v1::RefuseRequest request) override;
  Task<v1::AmendReply> amend(rpc::Caller caller, v1::AmendRequest request) override;
  Task<v1::InspectReply> inspect(rpc::Caller caller, v1::InspectRequest request) override;
  Task<v1::DiscardReply> discard(rpc::Caller caller, v1::DiscardRequest request) override;
  Task<v1::RenewReply> renew(rpc::Caller caller, v1::RenewRequest request) override;

 private:
  Host& host_;
  Warrants& warrants_;
  virt::ForeignRules rules_;
};

class AgentApi final : public v1::AgentService {
 public:
  AgentApi(Host& host, Warrants& warrants, asio::any_io_executor executor, Clock& clock)
      : host_(host), warrants_(warrants), executor_(std::move(executor)), clock_(clock) {}
  Task<v1::Shadow> keep_shadow(rpc::Caller caller, v1::KeepShadowRequest request) override;
  Task<v1::DropShadowReply> drop_shadow(rpc::Caller caller, v1::DropShadowRequest request) override;
  Task<void> cutover(rpc::Caller caller, v1::CutoverRequest request, rpc::Sink<v1::CutoverProgress> sink) override;
  Task<v1::LastCutoverReply> last_cutover(rpc::Caller caller, v1::LastCutoverRequest request) override;
  Task<v1::DiagnoseReply> diagnose(rpc::Caller caller, v1::DiagnoseRequest request) override;
  Task<v1::StartDefinitionReply> start_definition(rpc::Caller caller, v1::StartDefinitionRequest request) override;
  Task<v1::VmAccount> account(rpc::Caller caller, v1::AccountRequest request) override;
  Task<v1::YieldReply> yield(rpc::Caller caller, v1::YieldRequest request) override;
  Task<v1::ResolveReply> resolve(rpc::Caller caller, v1::ResolveRequest request) override;

 private:
  Host& host_;
  Warrants& warrants_;
  asio::any_io_executor executor_;
  Clock& clock_;
};

class NetSwitchApi final : public v1::NetSwitchService {
 public:
  NetSwitchApi(Network& network, Warrants& warrants) : network_(network), warrants_(warrants) {}
  Task<v1::PointReply> point(rpc::Caller caller, v1::PointRequest request) override;
  Task<v1::UnpointReply> unpoint(rpc::Caller caller, v1::UnpointRequest request) override;
  Task<v1::ReconcileReply> reconcile(rpc::Caller caller, v1::ReconcileRequest request) override;

 private:
  Network& network_;
  Warrants& warrants_;
};

}  // namespace umbra::agent
