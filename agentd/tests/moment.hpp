/// The moments at which a test may let something go wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>

namespace umbra::agent::test {

/// A step that an agent takes beyond its own memory: the only steps that a crash can come before or after.
struct Moment {
  enum class Kind : std::uint8_t {
    kCommit,     ///< its journal is about to be written
    kCommitted,  ///< the record is on the disk, and the agent does not know it yet
    kRequest,    ///< a request is about to leave for a peer
    kReply,      ///< it has served a peer's request, and the reply is about to leave
    kCall,       ///< a call to libvirt or, through it, to a QEMU is about to leave
  };
  Kind kind;
  std::string node;  ///< whose step it is
  std::string peer;  ///< the other end of a message
  std::string what;  ///< "accept", "qmp stop", …

  std::string text() const {
    constexpr const char* kKinds[] = {"commit", "committed", "request", "reply", "call"};
    auto words = node + ' ' + kKinds[static_cast<std::size_t>(kind)];
    if (!what.empty()) words += ' ' + what;
    return peer.empty() ? words : words + " to " + peer;
  }
  bool is_message() const { return kind == Kind::kRequest || kind == Kind::kReply; }
  /// A call that changes a domain or its QEMU, rather than looks at it.
  bool is_change() const {
    static const std::set<std::string> changes{"create_paused",
                                               "define",
                                               "undefine",
                                               "destroy",
                                               "suspend",
                                               "resume",
                                               "qmp stop",
                                               "qmp migrate_cancel",
                                               "qmp migrate",
                                               "qmp migrate-continue",
                                               "annotate",
                                               "qmp cont",
                                               "qmp migrate-incoming"};
    return kind == Kind::kCall && changes.contains(what);
  }
};

/// What becomes of the step.
struct Verdict {
  enum class Kind : std::uint8_t {
    kGoOn,
    kLose,   ///< a message: never arrives
    kTwice,  ///< a message: arrives, and so much later once more
    kDelay,  ///< a message: arrives so much later, whatever was sent after it
    kFail,   ///< a write: the disk is full; a call: fails at once, without being done
    kLate,   ///< a call that changes something: times out, and is done so much later all the same
  };
  Kind kind = Kind::kGoOn;
  std::chrono::milliseconds delay{};
};

/// Decides. May also crash agents, kill QEMUs, part networks.
using Fate = std::function<Verdict(const Moment&)>;

}  // namespace umbra::agent::test
