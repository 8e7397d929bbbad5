/// What agents and edges call.
#pragma once

#include "controller/core.hpp"
#include "controller/inventory/report_check.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::controller {

class RegistryService final : public v1::RegistryService {
 public:
  explicit RegistryService(Core core) : core_(core), check_(core.inventory, core.events, core.clock) {}
  Task<v1::RegisterReply> register_(rpc::Caller caller, v1::RegisterRequest request) override;
  Task<v1::ReportReply> report(rpc::Caller caller, v1::ReportRequest request) override;
  Task<void> leave(rpc::Caller caller, v1::LeaveRequest request, rpc::Sink<v1::EvacuateProgress> sink) override;
  Task<v1::AnnounceShutdownReply> announce_shutdown(rpc::Caller caller, v1::AnnounceShutdownRequest request) override;
  Task<v1::RenewCertificateReply> renew_certificate(rpc::Caller caller, v1::RenewCertificateRequest request) override;
  Task<v1::WhoseVmsReply> whose_vms(rpc::Caller caller, v1::WhoseVmsRequest request) override;

 private:
  Result<void> expect_shutdown(const std::string& host, UnixMillis begins, UnixMillis ends);

  Core core_;
  ReportCheck check_;
};

}  // namespace umbra::controller
