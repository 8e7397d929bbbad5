/// Events in the log: a line on a terminal or in a file, an entry with fields in systemd's journal.
#pragma once

#include "umbra/v1/fleet.pb.h"

namespace umbra::systemd {

/// Writes `line` to the process's log at the event's severity. Where that is the journal, the entry also has the fields
/// MESSAGE_ID (of the event's kind, for `journalctl -x`), UMBRA_KIND, UMBRA_VM, UMBRA_NODE and UMBRA_ACTOR, as far as
/// they are known. Any thread.
void log_event(const v1::Event& event, const std::string& line);
/// How a cutover ended, likewise, with UMBRA_CUTOVER: the VM's uuid and the epoch, as "uuid/epoch".
void log_cutover(const v1::CutoverResult& result);

}  // namespace umbra::systemd
