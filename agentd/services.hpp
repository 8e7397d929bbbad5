/// The agent's services on the wire: thin, everything is done behind them.
#pragma once

#include <memory>

#include "agentd/host.hpp"
#include "agentd/network.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::agent {

/// Steps of a shadow's life run to their end even if the caller goes away (base/shield.hpp): a half-done accept would
/// leave the question of the owner open.
class StandbyApi final : public v1::StandbyService {
 public:
  explicit StandbyApi(Host& host) : host_(host) {}
  Task<v1::StageReply> stage(rpc::Caller caller, v1::StageRequest request) override;
  Task<v1::AcceptReply> accept(rpc::Caller caller, v1::AcceptRequest request) override;
  Task<v1::ReleasedReply> released(rpc::Caller caller, v1::ReleasedRequest request) override;
  Task<v1::RefuseReply> refuse(rpc::Caller caller, v1::RefuseRequest request) override;
  Task<v1::InspectReply> inspect(rpc::Caller caller, v1::InspectRequest request) override;
  Task<v1::DiscardReply> discard(rpc::Caller caller, v1::DiscardRequest request) override;

 private:
  Host& host_;
};

class AgentApi final : public v1::AgentService {
 public:
  AgentApi(Host& host, asio::any_io_executor executor, Clock& clock)
      : host_(host), executor_(std::move(executor)), clock_(clock) {}
  Task<v1::Shadow> keep_shadow(rpc::Caller caller, v1::KeepShadowRequest request) override;
  Task<v1::DropShadowReply> drop_shadow(rpc::Caller caller, v1::DropShadowRequest request) override;
  Task<void> cutover(rpc::Caller caller, v1::CutoverRequest request, rpc::Sink<v1::CutoverProgress> sink) override;
  Task<v1::LastCutoverReply> last_cutover(rpc::Caller caller, v1::LastCutoverRequest request) override;
  Task<v1::DiagnoseReply> diagnose(rpc::Caller caller, v1::DiagnoseRequest request) override;

 private:
  Host& host_;
  asio::any_io_executor executor_;
  Clock& clock_;
};

class NetSwitchApi final : public v1::NetSwitchService {
 public:
  explicit NetSwitchApi(Network& network) : network_(network) {}
  Task<v1::PointReply> point(rpc::Caller caller, v1::PointRequest request) override;
  Task<v1::UnpointReply> unpoint(rpc::Caller caller, v1::UnpointRequest request) override;
  Task<v1::ReconcileReply> reconcile(rpc::Caller caller, v1::ReconcileRequest request) override;

 private:
  Network& network_;
};

}  // namespace umbra::agent
