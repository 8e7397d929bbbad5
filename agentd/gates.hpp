/// The gates of this host: processes that this agent, or an earlier life of it, has started.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <filesystem>

#include "agentd/shadow/gate.hpp"
#include "rpc/tls.hpp"

namespace umbra::agent {

struct GateConfig {
  std::filesystem::path program;  ///< umbra-gate
  std::string address;            ///< where the standby's listen, for other hosts' gates
  std::uint16_t port_first = 49300, port_last = 49399;
  bool plain = false;  ///< streams that leave this host go unencrypted
};

/// Control sockets are `DIRECTORY/UUID.SIDE.NUMBER`. Agent strand only; what blocks is done by a thread.
class ProcessGates final : public shadow::Gates {
 public:
  /// @error kUnavailable the directory cannot be made
  static Result<std::unique_ptr<ProcessGates>> make(asio::any_io_executor executor, GateConfig config,
                                                    rpc::TlsFiles tls, std::filesystem::path directory,
                                                    std::string log_level);

  Task<std::shared_ptr<shadow::Gate>> open(v1::GateTask task, Deadline deadline) override;
  Task<std::shared_ptr<shadow::Gate>> adopt(v1::GateSide side, std::string vm_uuid, v1::ShadowId id,
                                            Deadline deadline) override;

 private:
  ProcessGates(asio::any_io_executor executor, GateConfig config, rpc::TlsFiles tls, std::filesystem::path directory,
               std::string log_level);
  std::filesystem::path control(v1::GateSide side, const std::string& vm_uuid, const v1::ShadowId& id) const;
  Task<void> launch(v1::GateSide side, std::string vm_uuid, v1::ShadowId id);

  asio::any_io_executor executor_;
  GateConfig config_;
  rpc::TlsFiles tls_;
  std::filesystem::path directory_;
  std::string log_level_;
  asio::thread_pool starter_{1};
};

}  // namespace umbra::agent
