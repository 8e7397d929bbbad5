/// A libvirt domain in the words of the wire.
#pragma once

#include "agentd/virt/hypervisor.hpp"
#include "umbra/v1/fleet.pb.h"

namespace umbra::shadow {

v1::Vm describe(const virt::Domain& domain);

}  // namespace umbra::shadow
