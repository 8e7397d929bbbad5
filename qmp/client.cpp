#include "qmp/client.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <charconv>

#include "qmp/codec.hpp"

namespace umbra::qmp {
namespace json = boost::json;
namespace {

auto malformed(std::string_view command, std::string_view what) {
  return fail({Errc::kCorrupt, fmt::format("{}: QEMU's answer has no {}", command, what),
               "check the emulator's version; Umbra needs QEMU 8.1 or newer"});
}

Result<json::object> as_object(std::string_view command, json::value value) {
  if (auto* object = value.if_object()) return std::move(*object);
  return malformed(command, "members");
}

Result<std::string> required_text(std::string_view command, const json::object& object, std::string_view name) {
  if (const auto* text = string_member(object, name)) return std::string(text->data(), text->size());
  return malformed(command, name);
}

std::string optional_text(const json::object& object, std::string_view name) {
  const auto* text = string_member(object, name);
  return text != nullptr ? std::string(text->data(), text->size()) : std::string{};
}

/// A counter that is zero when absent. @error kCorrupt it is there, but not a number
Result<std::uint64_t> counter(std::string_view command, const json::object& object, std::string_view name) {
  const auto* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr) return 0;
  if (const auto count = to_count(value)) return *count;
  return malformed(command, fmt::format("number in '{}'", name));
}

/// Of one address in `socket-address`. 0: it is no number of a port
std::uint16_t port_of(const json::object& address) {
  std::uint16_t port = 0;
  const auto* text = string_member(address, "port");
  if (text == nullptr) return 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), port);
  return error == std::errc() && end == text->data() + text->size() ? port : std::uint16_t{0};
}

Result<MigrationInfo> parse_migration(const json::object& answer) {
  static constexpr std::string_view kCommand = "query-migrate";
  MigrationInfo info;
  // A QEMU that has never migrated answers with an empty object.
  if (answer.contains("status")) {
    UMBRA_TRY(const auto status, required_text(kCommand, answer, "status"));
    info.status = parse_migration_status(status);
  }
  if (const auto* error = string_member(answer, "error-desc")) info.error.assign(error->data(), error->size());
  if (const auto* reasons = answer.if_contains("blocked-reasons"); reasons != nullptr && reasons->is_array())
    for (const auto& reason : reasons->get_array())
      if (const auto* text = reason.if_string()) info.blocked_reasons.emplace_back(text->data(), text->size());

  if (const auto* addresses = answer.if_contains("socket-address"); addresses != nullptr && addresses->is_array())
    for (const auto& address : addresses->get_array())
      if (const auto* object = address.if_object()) info.port = port_of(*object);

  const auto* ram = object_member(answer, "ram");
  if (ram == nullptr) return info;
  const auto read = [&](std::string_view name) { return counter(kCommand, *ram, name); };
  UMBRA_TRY(info.transferred.count, read("transferred"));
  UMBRA_TRY(info.remaining.count, read("remaining"));
  UMBRA_TRY(info.total.count, read("total"));
  UMBRA_TRY(info.dirty_sync_count, read("dirty-sync-count"));
  UMBRA_TRY(const auto dirty_pages_rate, read("dirty-pages-rate"));
  UMBRA_TRY(const auto page_size, read("page-size"));
  info.dirty_rate.count = dirty_pages_rate * page_size;
  if (const auto* mbps = ram->if_contains("mbps"); mbps != nullptr && mbps->is_number())
    info.rate.count = static_cast<std::uint64_t>(std::max(0.0, mbps->to_number<double>()) * 1e6 / 8);
  return info;
}

json::object capability(std::string_view name, bool state) {
  return {{"capability", json::string_view(name.data(), name.size())}, {"state", state}};
}

json::object uri_argument(const std::string& uri) {
  return {{"uri", uri}};
}

}  // namespace

Task<json::value> Client::run(std::string command, json::object arguments, Deadline deadline) {
  auto answer = co_await transport_->execute(command, std::move(arguments), deadline);
  if (!answer) co_return fail(with_context(std::move(answer).error(), command));
  co_return std::move(answer);
}

Task<void> Client::run_void(std::string command, json::object arguments, Deadline deadline) {
  UMBRA_CO_CHECK(co_await run(std::move(command), std::move(arguments), deadline));
  co_return Result<void>{};
}

Task<Version> Client::version(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-version";
  json::object none;
  UMBRA_CO_TRY(auto answer, co_await run(std::string(kCommand), none, deadline));
  UMBRA_CO_TRY(const auto object, as_object(kCommand, std::move(answer)));
  const auto* qemu = object_member(object, "qemu");
  if (qemu == nullptr) co_return malformed(kCommand, "qemu");
  UMBRA_CO_TRY(const auto major, counter(kCommand, *qemu, "major"));
  UMBRA_CO_TRY(const auto minor, counter(kCommand, *qemu, "minor"));
  UMBRA_CO_TRY(const auto micro, counter(kCommand, *qemu, "micro"));
  if (major == 0) co_return malformed(kCommand, "qemu.major");
  co_return Version{static_cast<int>(major), static_cast<int>(minor), static_cast<int>(micro)};
}

Task<Status> Client::status(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-status";
  json::object none;
  UMBRA_CO_TRY(auto answer, co_await run(std::string(kCommand), none, deadline));
  UMBRA_CO_TRY(const auto object, as_object(kCommand, std::move(answer)));
  UMBRA_CO_TRY(const auto state, required_text(kCommand, object, "status"));
  const auto* running = object.if_contains("running");
  if (running == nullptr || !running->is_bool()) co_return malformed(kCommand, "running");
  co_return Status{parse_run_state(state), running->get_bool()};
}

Task<MigrationInfo> Client::migration(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-migrate";
  json::object none;
  UMBRA_CO_TRY(auto answer, co_await run(std::string(kCommand), none, deadline));
  UMBRA_CO_TRY(const auto object, as_object(kCommand, std::move(answer)));
  co_return parse_migration(object);
}

Task<std::vector<std::string>> Client::known_capabilities(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-migrate-capabilities";
  json::object none;
  UMBRA_CO_TRY(auto answer, co_await run(std::string(kCommand), none, deadline));
  const auto* list = answer.if_array();
  if (list == nullptr) co_return malformed(kCommand, "list");
  std::vector<std::string> names;
  for (const auto& entry : *list) {
    const auto* object = entry.if_object();
    const auto* name = object != nullptr ? string_member(*object, "capability") : nullptr;
    if (name == nullptr) co_return malformed(kCommand, "capability");
    names.emplace_back(name->data(), name->size());
  }
  co_return names;
}

Task<void> Client::set_capabilities(std::vector<std::string> on, std::vector<std::string> off, Deadline deadline) {
  json::array capabilities;
  for (const auto& name : on) capabilities.push_back(capability(name, true));
  for (const auto& name : off) capabilities.push_back(capability(name, false));
  json::object arguments;
  arguments["capabilities"] = std::move(capabilities);
  co_return co_await run_void("migrate-set-capabilities", std::move(arguments), deadline);
}

Task<void> Client::set_parameters(MigrationParameters parameters, Deadline deadline) {
  json::object arguments;
  if (parameters.max_bandwidth) arguments["max-bandwidth"] = parameters.max_bandwidth->count;
  if (parameters.downtime_limit) arguments["downtime-limit"] = parameters.downtime_limit->count();
  if (parameters.multifd_channels) arguments["multifd-channels"] = *parameters.multifd_channels;
  co_return co_await run_void("migrate-set-parameters", std::move(arguments), deadline);
}

Task<void> Client::migrate(std::string uri, Deadline deadline) {
  auto arguments = uri_argument(uri);
  co_return co_await run_void("migrate", std::move(arguments), deadline);
}

Task<void> Client::migrate_incoming(std::string uri, Deadline deadline) {
  auto arguments = uri_argument(uri);
  co_return co_await run_void("migrate-incoming", std::move(arguments), deadline);
}

Task<void> Client::migrate_cancel(Deadline deadline) {
  json::object none;
  co_return co_await run_void("migrate_cancel", none, deadline);
}

Task<void> Client::migrate_continue(Deadline deadline) {
  json::object arguments;
  arguments["state"] = "pre-switchover";
  co_return co_await run_void("migrate-continue", std::move(arguments), deadline);
}

Task<std::vector<BlockNode>> Client::block_nodes(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-named-block-nodes";
  json::object arguments;
  arguments["flat"] = true;  // without each image's chain, which the nodes tell
  UMBRA_CO_TRY(const auto answer, co_await run(std::string(kCommand), std::move(arguments), deadline));
  const auto* list = answer.if_array();
  if (list == nullptr) co_return malformed(kCommand, "list");
  std::vector<BlockNode> nodes;
  for (const auto& entry : *list) {
    const auto* object = entry.if_object();
    if (object == nullptr) co_return malformed(kCommand, "list");
    BlockNode node;
    node.name = optional_text(*object, "node-name");
    UMBRA_CO_TRY(node.driver, required_text(kCommand, *object, "drv"));
    UMBRA_CO_TRY(node.file, required_text(kCommand, *object, "file"));
    node.backing = optional_text(*object, "backing_file");
    const auto* read_only = object->if_contains("ro");
    node.read_only = read_only != nullptr && read_only->is_bool() && read_only->get_bool();
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  co_return nodes;
}

Task<std::vector<BlockJob>> Client::block_jobs(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-block-jobs";
  json::object none;
  UMBRA_CO_TRY(const auto answer, co_await run(std::string(kCommand), none, deadline));
  const auto* list = answer.if_array();
  if (list == nullptr) co_return malformed(kCommand, "list");
  std::vector<BlockJob> jobs;
  for (const auto& entry : *list) {
    const auto* object = entry.if_object();
    if (object == nullptr) co_return malformed(kCommand, "list");
    jobs.push_back({optional_text(*object, "device"), optional_text(*object, "type")});
  }
  co_return jobs;
}

Task<std::string> Client::directory(Deadline deadline) {
  static constexpr std::string_view kCommand = "query-chardev";
  static constexpr std::string_view kUnix = "unix:";
  json::object none;
  UMBRA_CO_TRY(const auto answer, co_await run(std::string(kCommand), none, deadline));
  const auto* list = answer.if_array();
  if (list == nullptr) co_return malformed(kCommand, "list");
  for (const auto& entry : *list) {
    const auto* object = entry.if_object();
    if (object == nullptr || optional_text(*object, "label") != "charmonitor") continue;
    const auto name =
        optional_text(*object, "filename");  // unix:/var/lib/libvirt/qemu/domain-1-web/monitor.sock,server=on
    if (!name.starts_with(kUnix)) break;
    const auto path = name.substr(kUnix.size(), name.find(',') - kUnix.size());
    const auto slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0) co_return path.substr(0, slash);
  }
  co_return fail(Errc::kUnsupported, "QEMU's monitor is not where libvirt puts it");
}

Task<void> Client::stop(Deadline deadline) {
  json::object none;
  co_return co_await run_void("stop", none, deadline);
}

Task<void> Client::cont(Deadline deadline) {
  json::object none;
  co_return co_await run_void("cont", none, deadline);
}

Task<void> Client::quit(Deadline deadline) {
  json::object none;
  co_return co_await run_void("quit", none, deadline);
}

}  // namespace umbra::qmp
