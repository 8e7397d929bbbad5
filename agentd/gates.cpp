#include "agentd/gates.hpp"

#include <boost/asio/post.hpp>

#include "base/one_shot.hpp"
#include "gate/client.hpp"
#include "gate/launch.hpp"
#include "gate/sockets.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kStart = 15s;

/// The control socket of a gate that was killed, which could not remove it.
void clear_away(const std::filesystem::path& control) {
  std::error_code error;
  if (gate::is_left_behind(control)) std::filesystem::remove(control, error);
}

class ProcessGate final : public shadow::Gate {
 public:
  ProcessGate(std::shared_ptr<gate::Client> client, std::filesystem::path control, const v1::GateStatus& status)
      : client_(std::move(client)),
        control_(std::move(control)),
        where_(status.task().side() == v1::GATE_SIDE_STANDBY ? status.endpoint() : status.task().socket()) {}
  ~ProcessGate() override {
    if (!client_->gone().empty()) clear_away(control_);
  }

  Task<void> set(v1::GateSetting setting, Deadline deadline) override {
    v1::GateCommand command;
    *command.mutable_set() = std::move(setting);
    UMBRA_CO_CHECK(co_await client_->ask(std::move(command), deadline));
    co_return Result<void>{};
  }
  Task<v1::GateStatus> look(Deadline deadline) override {
    v1::GateCommand command;
    command.set_look(true);
    co_return co_await client_->ask(std::move(command), deadline);
  }
  void end(std::string why) override {
    v1::GateCommand command;
    command.set_end(std::move(why));
    client_->tell(std::move(command));
  }
  std::string last_words() const override { return client_->gone(); }
  const std::string& where() const override { return where_; }

 private:
  std::shared_ptr<gate::Client> client_;
  std::filesystem::path control_;
  std::string where_;
};

/// Those that were killed while no agent was there. Once: whoever knocks at a gate attends to it.
void sweep(const std::filesystem::path& directory) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.is_socket(error)) clear_away(entry.path());
}

}  // namespace

Result<std::unique_ptr<ProcessGates>> ProcessGates::make(asio::any_io_executor executor, GateConfig config,
                                                         rpc::TlsFiles tls, std::filesystem::path directory,
                                                         std::string log_level) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (!error) std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  if (error)
    return fail({Errc::kUnavailable, fmt::format("cannot make {}: {}", directory.string(), error.message()),
                 "correct [agent] state_dir"});
  sweep(directory);
  return std::unique_ptr<ProcessGates>(new ProcessGates(std::move(executor), std::move(config), std::move(tls),
                                                        std::move(directory), std::move(log_level)));
}

ProcessGates::ProcessGates(asio::any_io_executor executor, GateConfig config, rpc::TlsFiles tls,
                           std::filesystem::path directory, std::string log_level)
    : executor_(std::move(executor)),
      config_(std::move(config)),
      tls_(std::move(tls)),
      directory_(std::move(directory)),
      log_level_(std::move(log_level)) {}

std::filesystem::path ProcessGates::control(v1::GateSide side, const std::string& vm_uuid,
                                            const v1::ShadowId& id) const {
  return directory_ / fmt::format("{}.{}{}", vm_uuid, side == v1::GATE_SIDE_SOURCE ? "s" : "d", id.number());
}

Task<void> ProcessGates::launch(v1::GateSide side, std::string vm_uuid, v1::ShadowId id) {
  const auto socket = control(side, vm_uuid, id);
  const auto log = directory_ / fmt::format("{}.{}.log", vm_uuid, side == v1::GATE_SIDE_SOURCE ? "s" : "d");
  const gate::Launch wanted{config_.program, socket, log_level_, log};
  const auto done = std::make_shared<OneShot<bool>>(executor_);
  asio::post(starter_, [done, wanted, executor = executor_] {
    auto launched = gate::launch(wanted);
    asio::post(executor, [done, launched = std::move(launched)] {
      if (launched)
        done->deliver(true);
      else
        done->deliver(fail(launched.error()));
    });
  });
  UMBRA_CO_CHECK(co_await OneShot<bool>::wait(done, kStart));
  co_return Result<void>{};
}

Task<std::shared_ptr<shadow::Gate>> ProcessGates::open(v1::GateTask task, Deadline deadline) {
  const auto side = task.side();
  const auto vm_uuid = task.vm_uuid();
  const auto id = task.id();
  UMBRA_CO_CHECK(co_await launch(side, vm_uuid, id));
  const auto socket = control(side, vm_uuid, id);
  UMBRA_CO_TRY(const auto client, co_await gate::Client::connect(socket.string()));
  task.set_ca(tls_.ca);
  task.set_certificate(tls_.certificate);
  task.set_key(tls_.key);
  task.set_crl(tls_.crl);
  task.set_plain(config_.plain);
  if (side == v1::GATE_SIDE_STANDBY) {
    task.set_address(config_.address);
    task.set_port_first(config_.port_first);
    task.set_port_last(config_.port_last);
  }
  v1::GateCommand begin;
  *begin.mutable_begin() = std::move(task);
  const auto begun = co_await client->ask(std::move(begin), deadline);
  if (!begun) {
    v1::GateCommand end;
    end.set_end("it could not begin");
    client->tell(std::move(end));
    co_return fail(begun.error());
  }
  co_return std::make_shared<ProcessGate>(client, socket, *begun);
}

Task<std::shared_ptr<shadow::Gate>> ProcessGates::adopt(v1::GateSide side, std::string vm_uuid, v1::ShadowId id,
                                                        Deadline deadline) {
  const auto socket = control(side, vm_uuid, id);
  const auto client = co_await gate::Client::connect(socket.string());
  if (!client) co_return fail(Errc::kNotFound, "its gate is gone: {}", client.error().message);
  v1::GateCommand look;
  look.set_look(true);
  UMBRA_CO_TRY(const auto status, co_await (*client)->ask(std::move(look), deadline));
  if (status.task().id().journal() != id.journal())
    co_return fail(Errc::kNotFound, "the gate there is another shadow's");
  co_return std::make_shared<ProcessGate>(*client, socket, status);
}

}  // namespace umbra::agent
