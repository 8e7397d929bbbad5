/// What agents and edges call.
#pragma once

#include "controller/core.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::controller {

class RegistryService final : public v1::RegistryService {
 public:
  explicit RegistryService(Core core) : core_(core) {}
  Task<v1::RegisterReply> register_(rpc::Caller caller, v1::RegisterRequest request) override;
  Task<v1::ReportReply> report(rpc::Caller caller, v1::ReportRequest request) override;

 private:
  Core core_;
};

}  // namespace umbra::controller
