/// Finding what a person named, and showing it as the API does.
#pragma once

#include "controller/core.hpp"

namespace umbra::controller {

/// @param text a VM's name or uuid
/// @error kNotFound; kConflict several VMs have that name
Result<const VmRecord*> find_vm(const Inventory& inventory, const std::string& text);
/// The same, also of a VM that no host has any more.
Result<const VmRecord*> find_vm_or_gone(const Inventory& inventory, const std::string& text);
/// The name by which events tell of a VM. One that is gone has events still.
/// @param text its name or uuid; empty for all VMs
/// @error kNotFound nobody knows it, and no event is about it
Result<std::string> name_in_events(Core& core, const std::string& text);
/// @error kNotFound
Result<const NodeRecord*> find_host(const Inventory& inventory, const std::string& name);
/// @error kNotFound neither a host nor a zone
Result<void> check_host_or_zone(const Inventory& inventory, const std::string& text);

v1::Host view_host(const Inventory& inventory, const NodeRecord& node);
v1::VmView view_vm(const Core& core, const VmRecord& record);

}  // namespace umbra::controller
