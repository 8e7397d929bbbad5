#include "agentd/tests/fake_gates.hpp"

#include <boost/asio/post.hpp>

#include "base/signal.hpp"

namespace umbra::agent::test {

struct FakeGates::Process {
  v1::GateTask task;
  std::string endpoint;
  gate::Valve valve;
  std::shared_ptr<qmp::FakeRelay> relay = std::make_shared<qmp::FakeRelay>();
  std::uint64_t bytes = 0, passes_before = 0;

  bool alive() const { return relay->alive; }
};

class FakeGates::Handle final : public shadow::Gate {
 public:
  Handle(FakeGates& gates, std::shared_ptr<Process> process)
      : gates_(gates),
        wire_(gates.wire_),
        process_(std::move(process)),
        where_(process_->task.side() == v1::GATE_SIDE_STANDBY ? process_->endpoint : process_->task.socket()) {}

  Task<void> set(v1::GateSetting setting, Deadline deadline) override {
    UMBRA_CO_CHECK(co_await reach(deadline));
    process_->passes_before = process_->valve.passes();
    process_->valve.set(std::move(setting), wire_->clock().steady());
    co_return Result<void>{};
  }
  Task<v1::GateStatus> look(Deadline deadline) override {
    UMBRA_CO_CHECK(co_await reach(deadline));
    v1::GateStatus status;
    *status.mutable_task() = process_->task;
    *status.mutable_setting() = process_->valve.setting();
    status.set_bytes(process_->bytes);
    status.set_pulses(process_->valve.pulses());
    status.set_passes(process_->valve.passes());
    status.set_passes_before(process_->passes_before);
    status.set_queued(gates_.queued_);
    co_return status;
  }
  void end(std::string) override { wire_->cut(*process_->relay); }
  std::string last_words() const override { return process_->alive() ? "" : "the gate was killed"; }
  const std::string& where() const override { return where_; }

 private:
  /// A command waits for a gate that hangs, and is done even if nobody waits for it any more.
  Task<void> reach(Deadline deadline) {
    co_await asio::post(asio::use_awaitable);
    const auto end = wire_->clock().steady() + deadline;
    Signal changed(co_await asio::this_coro::executor, wire_->clock());
    while (process_->alive() && wire_->clock().steady() < gates_.hangs_until_) {
      if (wire_->clock().steady() >= end) co_return fail(Errc::kTimeout, "no answer within {} ms", deadline.count());
      co_await changed.wait_until(std::min(end, gates_.hangs_until_));
    }
    if (!process_->alive()) co_return fail(Errc::kUnavailable, "the gate is gone");
    co_return Result<void>{};
  }

  FakeGates& gates_;
  std::shared_ptr<qmp::FakeWire> wire_;
  std::shared_ptr<Process> process_;
  std::string where_;
};

Task<std::shared_ptr<shadow::Gate>> FakeGates::open(v1::GateTask task, Deadline) {
  co_await asio::post(asio::use_awaitable);
  std::erase_if(processes_, [](const auto& one) { return !one->alive(); });
  auto process = std::make_shared<Process>();
  process->task = std::move(task);
  auto& relay = *process->relay;
  relay.host = address_;
  if (process->task.side() == v1::GATE_SIDE_STANDBY) {
    process->endpoint = fmt::format("{}:{}", address_, ++last_port_);
    relay.uri = "gate:" + process->endpoint;
    relay.to_host = address_;
    relay.to_uri = "unix:" + process->task.socket();
    relay.open = [this](auto now) { return now >= hangs_until_; };
    relay.opens_at = [this](auto) { return hangs_until_; };
  } else {
    const auto& endpoint = process->task.endpoint();
    relay.uri = "unix:" + process->task.socket();
    relay.to_host = endpoint.substr(0, endpoint.rfind(':'));
    relay.to_uri = "gate:" + endpoint;
    relay.open = [this, raw = process.get()](auto now) { return now >= hangs_until_ && raw->valve.ask(now).bytes > 0; };
    relay.opens_at = [this, raw = process.get()](auto now) {
      return std::max(hangs_until_, raw->valve.ask(now).until);
    };
    relay.passed = [raw = process.get()](std::uint64_t bytes, bool pass_ended, auto now) {
      raw->bytes += bytes;
      raw->valve.passed(bytes, pass_ended, now);
    };
  }
  wire_->join(process->relay);
  processes_.push_back(process);
  co_return std::make_shared<Handle>(*this, process);
}

std::shared_ptr<FakeGates::Process> FakeGates::find(v1::GateSide side, const std::string& vm_uuid,
                                                    const v1::ShadowId& id) const {
  for (const auto& one : processes_)
    if (one->alive() && one->task.side() == side && one->task.vm_uuid() == vm_uuid &&
        one->task.id().journal() == id.journal() && one->task.id().number() == id.number())
      return one;
  return nullptr;
}

Task<std::shared_ptr<shadow::Gate>> FakeGates::adopt(v1::GateSide side, std::string vm_uuid, v1::ShadowId id,
                                                     Deadline) {
  co_await asio::post(asio::use_awaitable);
  const auto process = find(side, vm_uuid, id);
  if (!process) co_return fail(Errc::kNotFound, "its gate is gone");
  co_return std::make_shared<Handle>(*this, process);
}

void FakeGates::kill(v1::GateSide side) {
  for (const auto& one : std::vector(processes_))
    if (side == v1::GATE_SIDE_UNSPECIFIED || one->task.side() == side) wire_->cut(*one->relay);
}

void FakeGates::leave_alone() {
  for (const auto& one : processes_) one->valve.leave_alone(wire_->clock().steady());
}

const gate::Valve* FakeGates::valve() const {
  for (auto one = processes_.rbegin(); one != processes_.rend(); ++one)
    if ((*one)->alive() && (*one)->task.side() == v1::GATE_SIDE_SOURCE) return &(*one)->valve;
  return nullptr;
}

}  // namespace umbra::agent::test
