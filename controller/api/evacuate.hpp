/// An evacuation, told as it goes on.
#pragma once

#include "controller/core.hpp"
#include "rpc/service.hpp"

namespace umbra::controller {

/// Ends with it, with its counts.
Task<void> follow(Core core, std::shared_ptr<const Evacuation> evacuation, rpc::Sink<v1::EvacuateProgress> sink);

}  // namespace umbra::controller
