/// Who is at the other end, and may it: the first messages of a stream, on both sides.
#pragma once

#include <functional>

#include "gate/line.hpp"
#include "umbra/v1/gate.pb.h"

namespace umbra::gate {

/// Source: connects, shows the warrant, and waits for the answer. Blocks.
/// @error kUnavailable nobody is there; kDenied it is not the standby, or it refuses us, with its reason; kTimeout
Result<Line> call_standby(const v1::GateTask& task, const rpc::Tls& tls, unsigned channel);

/// Standby: checks that the caller is this shadow's source, and that the controller has allowed just this shadow.
/// Then it connects to QEMU, and only then says yes. Blocks.
/// @error kDenied, kUnavailable with the reason, which was told; kTimeout
struct Answered {
  Line line;
  Descriptor qemu;
  unsigned channel = 0;
};
/// @param claim whether a channel of that number may begin: there is one of each
Result<Answered> answer_source(Descriptor socket, const v1::GateTask& task, const rpc::Tls& tls,
                               const std::function<bool(unsigned channel)>& claim);

}  // namespace umbra::gate
