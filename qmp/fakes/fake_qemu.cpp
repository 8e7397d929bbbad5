#include "qmp/fakes/fake_qemu.hpp"

#include <boost/json/array.hpp>

#include "qmp/codec.hpp"

namespace umbra::qmp {
namespace json = boost::json;
namespace {

auto refuse(std::string_view description) {
  return fail(to_error("GenericError", description));
}

std::string text_argument(const json::object& arguments, std::string_view name) {
  const auto* text = string_member(arguments, name);
  return text != nullptr ? std::string(text->data(), text->size()) : std::string{};
}

}  // namespace

FakeQemu::FakeQemu(asio::any_io_executor executor, std::shared_ptr<FakeWire> wire, Options options)
    : executor_(std::move(executor)),
      wire_(std::move(wire)),
      options_(std::move(options)),
      run_state_(options_.incoming ? RunState::kInMigrate
                 : options_.paused ? RunState::kPrelaunch
                                   : RunState::kRunning),
      autostart_(!options_.paused) {}

std::shared_ptr<FakeQemu> FakeQemu::start(asio::any_io_executor executor, std::shared_ptr<FakeWire> wire,
                                          Options options) {
  std::shared_ptr<FakeQemu> qemu(new FakeQemu(std::move(executor), wire, std::move(options)));
  wire->join(qemu);
  return qemu;
}

FakeQemu::Pair FakeQemu::pair(asio::any_io_executor executor, Options options) {
  const auto wire = std::make_shared<FakeWire>();
  auto source = options, destination = options;
  source.paused = false;
  destination.incoming = destination.paused = true;
  return {wire, start(executor, wire, source), start(executor, wire, destination)};
}

Task<json::value> FakeQemu::execute(std::string command, json::object arguments, Deadline) {
  const auto self = shared_from_this();
  co_await asio::post(executor_, asio::use_awaitable);
  if (!alive_) co_return umbra::fail(Errc::kUnavailable, "QEMU has exited");
  commands_.push_back(command);
  if (options_.command_time.count() > 0) wire_->advance(options_.command_time);
  if (const auto failure = failures_.find(command); failure != failures_.end()) {
    auto error = failure->second;
    failures_.erase(failure);
    co_return umbra::fail(std::move(error));
  }
  auto answer = run(command, arguments);
  co_await asio::post(executor_, asio::use_awaitable);  // events of this command come before its answer
  if (const auto drop = dropped_.find(command); drop != dropped_.end()) {
    dropped_.erase(drop);
    co_return umbra::fail(Errc::kTimeout, "no answer");
  }
  if (!alive_ && command != "quit") co_return umbra::fail(Errc::kUnavailable, "QEMU has exited");
  co_return answer;
}

void FakeQemu::on_event(EventHandler handler) {
  handler_ = std::move(handler);
}

Result<json::value> FakeQemu::run(const std::string& command, const json::object& arguments) {
  const json::object done;
  if (command == "query-status")
    return json::object{{"status", json::string_view(to_string(run_state_))}, {"running", running()}};
  if (command == "query-version") {
    const auto [major, minor, micro] = options_.version;
    return json::object{{"qemu", {{"major", major}, {"minor", minor}, {"micro", micro}}}, {"package", ""}};
  }
  if (command == "query-migrate") return query_migrate();
  if (command == "query-migrate-capabilities") {
    json::array list;
    for (const auto& name : options_.capabilities) list.push_back({{"capability", name}, {"state", has(name)}});
    return list;
  }
  if (command == "migrate-set-capabilities") return set_capabilities(arguments);
  if (command == "migrate-set-parameters") return set_parameters(arguments);
  if (command == "migrate") return migrate(arguments);
  if (command == "migrate-incoming") return migrate_incoming(arguments);
  if (command == "migrate-continue") return migrate_continue();
  if (command == "cont") return cont();
  if (command == "migrate_cancel") {
    if (migrating()) give_up(MigrationStatus::kCancelled, {});
    return done;
  }
  if (command == "stop") {
    if (run_state_ == RunState::kInMigrate) autostart_ = false;
    stop_guest(RunState::kPaused);
    return done;
  }
  if (command == "query-named-block-nodes") return query_named_block_nodes();
  if (command == "query-chardev")
    return json::array{json::object{{"label", "charmonitor"},
                                    {"frontend-open", true},
                                    {"filename", "unix:" + options_.directory + "/monitor.sock,server=on"}}};
  if (command == "query-block-jobs") return query_block_jobs();
  if (command == "device_add" || command == "device_del") {
    if (migrating()) return refuse(command + " not allowed while migrating");
    return done;
  }
  if (command == "system_reset") {
    emit("RESET", {{"guest", false}, {"reason", "host-qmp-system-reset"}});
    return done;
  }
  if (command == "quit") {
    emit("SHUTDOWN", {{"guest", false}, {"reason", "host-qmp-quit"}});
    die();
    return done;
  }
  return umbra::fail(to_error("CommandNotFound", "The command " + command + " has not been found"));
}

Result<json::value> FakeQemu::set_capabilities(const json::object& arguments) {
  if (migrating()) return refuse("There's a migration process in progress");
  const auto* list = arguments.if_contains("capabilities");
  if (list == nullptr || !list->is_array()) return refuse("Parameter 'capabilities' is missing");
  auto wanted = enabled_;
  for (const auto& entry : list->get_array()) {
    const auto name = text_argument(entry.as_object(), "capability");
    if (!options_.capabilities.contains(name))
      return refuse("Parameter 'capability' does not accept value '" + name + "'");
    if (entry.as_object().at("state").as_bool())
      wanted.insert(name);
    else
      wanted.erase(name);
  }
  if (wanted.contains("switchover-ack") && !wanted.contains("return-path"))
    return refuse("Capability 'switchover-ack' requires capability 'return-path'");
  enabled_ = std::move(wanted);
  return json::object{};
}

Result<json::value> FakeQemu::set_parameters(const json::object& arguments) {
  for (const auto& [name, value] : arguments) {
    const auto count = to_count(&value);
    if (!count) return refuse(fmt::format("Invalid parameter type for '{}', expected: integer", std::string(name)));
    if (name == "max-bandwidth")
      max_bandwidth_.count = *count;
    else if (name == "multifd-channels")
      channels_ = static_cast<unsigned>(*count);
    else if (name == "downtime-limit")
      downtime_limit_ = Milliseconds(*count);
    else
      return refuse(fmt::format("Parameter '{}' is unexpected", std::string(name)));
  }
  return json::object{};
}

json::value FakeQemu::query_migrate() const {
  json::object answer;
  if (status_ == MigrationStatus::kNone) return answer;
  answer["status"] = json::string_view(to_string(status_));
  if (!error_.empty()) answer["error-desc"] = error_;
  if (listening_ && listening_->starts_with("tcp:"))
    answer["socket-address"] =
        json::array{json::object{{"type", "inet"}, {"port", listening_->substr(listening_->rfind(':') + 1)}}};
  const bool counts =
      status_ != MigrationStatus::kFailed && status_ != MigrationStatus::kCancelled && !options_.incoming;
  if (counts)
    answer["ram"] = {{"total", options_.memory.count},
                     {"transferred", transferred_.count},
                     {"remaining", remaining_},
                     {"dirty-sync-count", sync_count_},
                     {"page-size", 4096},
                     {"dirty-pages-rate", options_.dirty_rate.count / 4096},
                     {"mbps", static_cast<double>(measured_rate_) * 8 / 1e6}};
  return answer;
}

json::value FakeQemu::query_named_block_nodes() const {
  json::array list;
  for (const auto& node : block_nodes_) {
    json::object entry{{"node-name", node.name}, {"drv", node.driver}, {"file", node.file}, {"ro", node.read_only}};
    if (!node.backing.empty()) entry["backing_file"] = node.backing;
    list.push_back(std::move(entry));
  }
  return list;
}

void FakeQemu::set_block_jobs(std::vector<BlockJob> jobs) {
  for (const auto& job : jobs) emit("JOB_STATUS_CHANGE", {{"id", job.device}, {"status", "running"}});
  for (const auto& job : block_jobs_) emit("JOB_STATUS_CHANGE", {{"id", job.device}, {"status", "concluded"}});
  block_jobs_ = std::move(jobs);
}

json::value FakeQemu::query_block_jobs() const {
  json::array list;
  for (const auto& job : block_jobs_) list.push_back({{"device", job.device}, {"type", job.type}});
  return list;
}

void FakeQemu::io_error() {
  emit("BLOCK_IO_ERROR", {{"device", "disk0"}, {"operation", "write"}, {"action", "stop"}});
  stop_guest(RunState::kIoError);
}

void FakeQemu::guest_shutdown() {
  emit("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
  stop_guest(RunState::kShutdown);
}

void FakeQemu::guest_reset() {
  emit("RESET", {{"guest", true}, {"reason", "guest-reset"}});
}

void FakeQemu::power_button() {
  emit("POWERDOWN");
}

void FakeQemu::die() {
  if (!alive_) return;
  alive_ = false;
  listening_.reset();
  if (const auto peer = peer_.lock()) peer->stream_lost("Unable to read from socket: Connection reset by peer");
  if (exit_handler_) asio::post(executor_, exit_handler_);
}

void FakeQemu::stop_guest(RunState state) {
  if (!running()) return;
  run_state_ = state;
  emit("STOP");
}

void FakeQemu::start_guest() {
  if (running()) return;
  run_state_ = RunState::kRunning;
  emit("RESUME");
}

Result<json::value> FakeQemu::cont() {
  if (run_state_ == RunState::kInMigrate)
    autostart_ = true;
  else if (run_state_ == RunState::kFinishMigrate)
    return refuse("Migration is not finalized yet");
  else if (run_state_ == RunState::kShutdown || run_state_ == RunState::kGuestPanicked)
    return refuse("Resetting the Virtual Machine is required");
  else
    start_guest();
  return json::object{};
}

void FakeQemu::set_status(MigrationStatus status) {
  status_ = status;
  if (has("events")) emit("MIGRATION", {{"status", json::string_view(to_string(status))}});
}

void FakeQemu::emit(std::string name, json::object data) {
  auto event = make_event(std::move(name), Milliseconds(wire_->clock().unix_ms()), &data);
  asio::post(executor_, [self = shared_from_this(), event = std::move(event).value()] {
    if (self->watcher_) self->watcher_(event);
    if (self->handler_) self->handler_(event);
  });
}

}  // namespace umbra::qmp
