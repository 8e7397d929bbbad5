#include "qmp/codec.hpp"

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

namespace umbra::qmp {
namespace json = boost::json;
namespace {

template <class E>
using Names = std::pair<std::string_view, E>;

// QAPI run-state.json, RunState.
constexpr std::array<Names<RunState>, 9> kRunStates{{{"running", RunState::kRunning},
                                                     {"paused", RunState::kPaused},
                                                     {"inmigrate", RunState::kInMigrate},
                                                     {"finish-migrate", RunState::kFinishMigrate},
                                                     {"postmigrate", RunState::kPostMigrate},
                                                     {"prelaunch", RunState::kPrelaunch},
                                                     {"shutdown", RunState::kShutdown},
                                                     {"io-error", RunState::kIoError},
                                                     {"guest-panicked", RunState::kGuestPanicked}}};

// QAPI migration.json, MigrationStatus.
constexpr std::array<Names<MigrationStatus>, 9> kMigrationStatuses{{{"none", MigrationStatus::kNone},
                                                                    {"setup", MigrationStatus::kSetup},
                                                                    {"active", MigrationStatus::kActive},
                                                                    {"pre-switchover", MigrationStatus::kPreSwitchover},
                                                                    {"device", MigrationStatus::kDevice},
                                                                    {"completed", MigrationStatus::kCompleted},
                                                                    {"failed", MigrationStatus::kFailed},
                                                                    {"cancelling", MigrationStatus::kCancelling},
                                                                    {"cancelled", MigrationStatus::kCancelled}}};

template <class Table, class E>
E value_of(const Table& table, std::string_view text, E other) {
  for (const auto& [name, value] : table)
    if (name == text) return value;
  return other;
}

template <class Table, class E>
std::string_view name_of(const Table& table, E wanted) {
  for (const auto& [name, value] : table)
    if (value == wanted) return name;
  return "other";
}

template <class... Args>
auto corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return fail({Errc::kCorrupt, "QMP: " + fmt::format(format, std::forward<Args>(args)...),
               "the peer is not a QEMU monitor, or one of an unknown kind; check the emulator's version"});
}

std::string_view view(const json::string& text) {
  return {text.data(), text.size()};
}

/// As much of a bad message as belongs into an error.
std::string_view head(std::string_view text) {
  return text.substr(0, 120);
}

Result<json::object> parse_object(std::string_view text) {
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error) return corrupt("not JSON ({}): {}", error.message(), head(text));
  if (!value.is_object()) return corrupt("not an object: {}", head(text));
  return std::move(value.get_object());
}

Result<Version> parse_greeting_version(const json::object& greeting) {
  const auto* version = object_member(greeting, "version");
  const auto* qemu = version != nullptr ? object_member(*version, "qemu") : nullptr;
  if (qemu == nullptr) return corrupt("the greeting tells no version");
  const auto major = to_count(qemu->if_contains("major"));
  const auto minor = to_count(qemu->if_contains("minor"));
  const auto micro = to_count(qemu->if_contains("micro"));
  if (!major || !minor) return corrupt("the greeting's version has no numbers");
  return Version{static_cast<int>(*major), static_cast<int>(*minor), static_cast<int>(micro.value_or(0))};
}

Result<Reply> reply_of(json::object& message) {
  Reply reply{to_count(message.if_contains("id")), json::value{}};
  if (auto* value = message.if_contains("return")) {
    reply.result = std::move(*value);
    return reply;
  }
  const auto* error = object_member(message, "error");
  if (error == nullptr) return corrupt("neither a greeting, a reply nor an event: {}", head(json::serialize(message)));
  const auto* error_class = string_member(*error, "class");
  const auto* description = string_member(*error, "desc");
  if (error_class == nullptr || description == nullptr) return corrupt("an error without class or description");
  reply.result = fail(to_error(view(*error_class), view(*description)));
  return reply;
}

/// QMP's timestamp; QEMU sends -1 when its host could not tell the time, which becomes zero.
Result<std::chrono::microseconds> timestamp_of(const json::object& message) {
  const auto* stamp = object_member(message, "timestamp");
  if (stamp == nullptr) return corrupt("an event without timestamp");
  const auto* seconds = stamp->if_contains("seconds");
  const auto* micros = stamp->if_contains("microseconds");
  if (seconds == nullptr || micros == nullptr || !seconds->is_int64() || !micros->is_int64())
    return corrupt("an event's timestamp is not two whole numbers");
  constexpr std::int64_t kMostSeconds = 1'000'000'000'000;  // keeps the product far from overflow
  if (seconds->get_int64() < 0 || seconds->get_int64() > kMostSeconds || micros->get_int64() < 0 ||
      micros->get_int64() > 999'999)
    return std::chrono::microseconds{};
  return std::chrono::seconds(seconds->get_int64()) + std::chrono::microseconds(micros->get_int64());
}

}  // namespace

const json::object* object_member(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains({name.data(), name.size()});
  return value != nullptr ? value->if_object() : nullptr;
}

const json::string* string_member(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains({name.data(), name.size()});
  return value != nullptr ? value->if_string() : nullptr;
}

std::optional<std::uint64_t> to_count(const json::value* value) {
  if (value == nullptr) return std::nullopt;
  if (value->is_uint64()) return value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) return static_cast<std::uint64_t>(value->get_int64());
  if (value->is_double() && value->get_double() >= 0 && value->get_double() < 0x1p63)
    return static_cast<std::uint64_t>(std::llround(value->get_double()));
  return std::nullopt;
}

RunState parse_run_state(std::string_view text) {
  return value_of(kRunStates, text, RunState::kOther);
}
MigrationStatus parse_migration_status(std::string_view text) {
  return value_of(kMigrationStatuses, text, MigrationStatus::kOther);
}
std::string_view to_string(RunState state) {
  return name_of(kRunStates, state);
}
std::string_view to_string(MigrationStatus status) {
  return name_of(kMigrationStatuses, status);
}

Error to_error(std::string_view qemu_class, std::string_view description) {
  // QAPI error.json, QapiErrorClass. GenericError is all that has no class of its own: most often a wrong moment.
  auto code = Errc::kConflict;
  if (qemu_class == "CommandNotFound" || qemu_class == "KVMMissingCap") code = Errc::kUnsupported;
  if (qemu_class == "DeviceNotFound") code = Errc::kNotFound;
  return {code, std::string(description), {}};
}

Result<Event> make_event(std::string name, std::chrono::microseconds at, const json::object* data) {
  Event event{std::move(name), at, OtherEvent{}};
  const auto text = [&](std::string_view member) -> const json::string* {
    return data != nullptr ? string_member(*data, member) : nullptr;
  };
  const auto by_guest = [&] {
    const auto* guest = data != nullptr ? data->if_contains("guest") : nullptr;
    return guest != nullptr && guest->is_bool() && guest->get_bool();
  };
  if (event.name == "MIGRATION") {
    const auto* status = text("status");
    if (status == nullptr) return corrupt("a MIGRATION event without status");
    event.what = MigrationEvent{parse_migration_status(view(*status))};
  } else if (event.name == "MIGRATION_PASS") {
    const auto pass = to_count(data != nullptr ? data->if_contains("pass") : nullptr);
    if (!pass) return corrupt("a MIGRATION_PASS event without pass");
    event.what = MigrationPassEvent{*pass};
  } else if (event.name == "STOP") {
    event.what = StopEvent{};
  } else if (event.name == "RESUME") {
    event.what = ResumeEvent{};
  } else if (event.name == "SHUTDOWN") {
    const auto* reason = text("reason");
    event.what = ShutdownEvent{by_guest(), reason != nullptr ? std::string(view(*reason)) : std::string{}};
  } else if (event.name == "RESET") {
    event.what = ResetEvent{by_guest()};
  } else if (event.name == "POWERDOWN") {
    event.what = PowerdownEvent{};
  } else if (event.name == "JOB_STATUS_CHANGE") {
    event.what = JobEvent{};
  }
  return event;
}

Result<Message> parse_message(std::string_view line) {
  UMBRA_TRY(auto message, parse_object(line));
  if (const auto* name = message.if_contains("event")) {
    if (!name->is_string()) return corrupt("an event whose name is not text");
    UMBRA_TRY(const auto at, timestamp_of(message));
    UMBRA_TRY(auto event, make_event(std::string(view(name->get_string())), at, object_member(message, "data")));
    return Message{std::move(event)};
  }
  if (const auto* greeting = object_member(message, "QMP")) {
    UMBRA_TRY(const auto version, parse_greeting_version(*greeting));
    return Message{Greeting{version}};
  }
  UMBRA_TRY(auto reply, reply_of(message));
  return Message{std::move(reply)};
}

Result<Reply> parse_reply(std::string_view text) {
  UMBRA_TRY(auto message, parse_object(text));
  return reply_of(message);
}

std::string encode_command(std::string_view command, const json::object& arguments, std::optional<std::uint64_t> id) {
  json::object message;
  message["execute"] = json::string_view(command.data(), command.size());
  if (!arguments.empty()) message["arguments"] = arguments;
  if (id) message["id"] = *id;
  return json::serialize(message);
}

}  // namespace umbra::qmp
