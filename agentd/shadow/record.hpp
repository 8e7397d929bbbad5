/// What the journal keeps of one side of one shadow.
#pragma once

#include <cstdint>
#include <string>

#include "agentd/shadow/phase.hpp"

namespace umbra::shadow {

enum class Side : std::uint8_t { kSource = 0, kStandby = 1 };

/// One shadow's last written state on this host. QEMU's own state is the truth; this is only intent.
struct Record {
  std::string vm_uuid;
  Side side = Side::kSource;
  Phase phase = Phase::kProfile;
  std::uint64_t epoch = 0;  ///< the newest this side has taken part in; older ones are refused
  std::string wish;         ///< serialised umbra.v1.KeepShadowRequest (source) or StageRequest (standby)
  /// Serialised umbra.v1.CutoverRequest, from `armed` on (source). Emptied when it is given up or refused: what is
  /// there in `dropped` has moved the VM.
  std::string cutover;
  std::string origin{};      ///< serialised umbra.v1.ShadowOrigin (source): what the shadow was made of
  std::string peer{};        ///< incarnation of the standby's journal that holds the acceptance (source)
  std::uint64_t number = 0;  ///< of the newest shadow that was staged, see umbra.v1.ShadowId (source)
};

/// What no agent can have written, in a few words: such a record decides nothing. Empty when there is nothing wrong.
std::string flaw_in(const Record& record);

/// Is it a uuid as libvirt writes one: 36 characters, lower case?
bool is_uuid(std::string_view text);

}  // namespace umbra::shadow
