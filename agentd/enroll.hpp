/// Joining a fleet: a token becomes a certificate and a configuration.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "agentd/config.hpp"
#include "base/task.hpp"

namespace umbra::agent {

struct EnrollOptions {
  std::string controller;  ///< "host:port" of its [enrolment] listen
  std::string token;
  std::filesystem::path config_file;                         ///< written unless it exists
  std::filesystem::path state_dir = "/var/lib/umbra/agent";  ///< the credentials go below it
  std::string address;         ///< this node's own; empty: the one from which the controller is reached
  unsigned port = 7701;        ///< that other nodes dial
  std::string user = "umbra";  ///< that the agent runs as, and its credentials belong to; empty: this one
  std::function<Result<AgentConfig>()> load;  ///< of config_file, once it exists
};

/// Makes a key, has it certified, and writes credentials and configuration. May be repeated with the same token until
/// it has ended well: the key is kept.
/// @return what was done, in words
/// @error kConflict this node has a certificate already, or a configuration that is another's; as rpc::enrol()
Task<std::string> enroll(asio::any_io_executor executor, EnrollOptions options);

}  // namespace umbra::agent
