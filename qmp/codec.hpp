/// QMP's messages as text: one JSON object a line (QEMU's docs/interop/qmp-spec.rst).
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "qmp/types.hpp"

namespace umbra::qmp {

/// The first message of a session.
struct Greeting {
  Version version;
};

/// The answer to a command: the value of "return", or QEMU's error as ours.
struct Reply {
  std::optional<std::uint64_t> id;  ///< absent when QEMU could not even read the command
  Result<boost::json::value> result;
};

using Message = std::variant<Greeting, Reply, Event>;

/// Reads one message. Members that are not known are passed over. @error kCorrupt it is not QMP
Result<Message> parse_message(std::string_view line);
/// Reads one reply, as libvirt's passthrough gives it. @error kCorrupt; QEMU's own error is in Reply::result
Result<Reply> parse_reply(std::string_view text);
/// Makes an event of its parts. `data` may be null. @error kCorrupt a member that this event must have is not there
Result<Event> make_event(std::string name, std::chrono::microseconds at, const boost::json::object* data);

/// One command, without a line end.
std::string encode_command(std::string_view command, const boost::json::object& arguments,
                           std::optional<std::uint64_t> id);

/// What QEMU's error class means for the caller; its description is kept.
Error to_error(std::string_view qemu_class, std::string_view description);

RunState parse_run_state(std::string_view text);
MigrationStatus parse_migration_status(std::string_view text);
std::string_view to_string(RunState state);
std::string_view to_string(MigrationStatus status);

/// A non-negative number of any JSON kind; nothing when it is none.
std::optional<std::uint64_t> to_count(const boost::json::value* value);
/// A member, or null when `object` lacks it or it has another type.
const boost::json::object* object_member(const boost::json::object& object, std::string_view name);
const boost::json::string* string_member(const boost::json::object& object, std::string_view name);

}  // namespace umbra::qmp
