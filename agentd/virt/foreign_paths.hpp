/// Files and devices of this host that a domain of another one names. For the files of this folder.
#pragma once

#include <pugixml.hpp>
#include <string_view>

#include "agentd/virt/foreign_domain.hpp"

namespace umbra::virt {

/// Every value of the element that is a path, in its attributes and its text: below the folders that others may use, or
/// one that libvirt and distributions write there themselves. @error kDenied
Result<void> check_paths(const pugi::xml_node& node, const ForeignRules& rules);

}  // namespace umbra::virt
