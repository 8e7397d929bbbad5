/// A domain's XML, read. For the files of this folder.
#pragma once

#include <pugixml.hpp>
#include <string_view>

#include "base/result.hpp"

namespace umbra::virt {

/// @error kInvalid broken XML, with line and column, or the root is not <domain>
Result<pugi::xml_document> load_domain(std::string_view xml);
/// A snapshot's or checkpoint's XML, whatever its root. @error kInvalid broken XML
Result<pugi::xml_document> load_snapshot(std::string_view xml);
/// Takes `-incoming defer` out of a domain's command line. @return whether it was there
bool remove_incoming(pugi::xml_node domain);
/// As libvirt writes it.
std::string dump(const pugi::xml_document& document);

}  // namespace umbra::virt
