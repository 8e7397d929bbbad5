/// Which domains can have a shadow.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <vector>

#include "agentd/virt/foreign_domain.hpp"

namespace umbra::virt {

/// What `<umbra:vm>` in the metadata says.
struct UmbraMetadata {
  std::vector<std::string> addresses;
  bool shared_disks = false;
  std::string account{};
  std::string profile{};
  bool restart_on_host_loss = false;
};

/// Why this domain cannot have a shadow, in words that end with the remedy; empty when it can.
std::string refusal(const pugi::xml_node& domain, const UmbraMetadata& metadata, const ForeignRules& rules);
/// What may go wrong between hosts that are not alike.
std::vector<std::string> warnings(const pugi::xml_node& domain);

}  // namespace umbra::virt
