#include "agentd/shadow/gate.hpp"

namespace umbra::shadow {

std::string stream_socket(const std::string& directory, const v1::ShadowId& id) {
  return fmt::format("{}/umbra-{}.sock", directory, id.number());
}

}  // namespace umbra::shadow
