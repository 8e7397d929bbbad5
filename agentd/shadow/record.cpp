#include "agentd/shadow/record.hpp"

#include <algorithm>

#include "umbra/v1/agent.pb.h"

namespace umbra::shadow {
namespace {

std::string flaw_in_source(const Record& record) {
  if (record.phase == Phase::kServing) return "a source is never 'serving'";
  v1::KeepShadowRequest wish;
  if (!wish.ParseFromString(record.wish)) return "its wish cannot be read";
  if (!record.wish.empty() && wish.vm_uuid() != record.vm_uuid) return "its wish is another VM's";
  if (exists(record.phase) && wish.standby().name().empty()) return "its wish names no standby";
  v1::CutoverRequest cutover;
  if (!cutover.ParseFromString(record.cutover)) return "its cutover cannot be read";
  if (!record.cutover.empty() && cutover.vm_uuid() != record.vm_uuid) return "its cutover is another VM's";
  if (v1::ShadowOrigin origin; !origin.ParseFromString(record.origin)) return "what it was made of cannot be read";
  if (!in_cutover(record.phase) && record.phase != Phase::kMoved) return "";
  if (cutover.standby().name().empty()) return "its cutover names no standby";
  if (cutover.epoch() != record.epoch) return "its cutover is of another epoch";
  return "";
}

std::string flaw_in_standby(const Record& record) {
  if (record.phase == Phase::kPrecopy || is_held(record.phase)) return "a standby is never that far";
  v1::StageRequest staged;
  if (!staged.ParseFromString(record.wish)) return "what was staged cannot be read";
  if (!record.wish.empty() && staged.vm().uuid() != record.vm_uuid) return "what was staged is another VM";
  const bool needed = exists(record.phase) && record.phase != Phase::kMoved;
  if (needed && record.wish.empty()) return "what was staged is missing";
  return "";
}

}  // namespace

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
    if (dash ? c != '-' : (c < '0' || c > '9') && (c < 'a' || c > 'f')) return false;
  }
  return true;
}

std::string flaw_in(const Record& record) {
  if (!is_uuid(record.vm_uuid)) return "it names no VM";
  if (static_cast<int>(record.phase) > static_cast<int>(kLastPhase)) return "its phase is unknown";
  switch (record.side) {
    case Side::kSource:
      return flaw_in_source(record);
    case Side::kStandby:
      return flaw_in_standby(record);
  }
  return "its side is unknown";
}

}  // namespace umbra::shadow
