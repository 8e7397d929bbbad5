// Mover: a source that waits for a word of its standby is told what the controller knows.
#include <spdlog/spdlog.h>

#include "controller/planner/mover.hpp"
#include "umbra/v1/agent.rpc.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 5s;
constexpr auto kSettlesItself = 20s;  // a source whose standby answers
constexpr auto kTellAgain = 60s;
constexpr Deadline kYield = 30s;

}  // namespace

asio::awaitable<void> Mover::see_off() {
  std::map<std::pair<std::string, std::string>, TimePoint> due;  // by host and VM
  while (true) {
    const auto now = clock_.steady();
    decltype(due) still;
    for (const auto& [name, node] : inventory_.nodes())
      for (auto& uuid : paused_elsewhere(node)) {
        const auto known = due.find({name, uuid});
        auto& at = still[{name, uuid}] = known == due.end() ? now + kSettlesItself : known->second;
        if (now < at) continue;
        at = now + kTellAgain;
        tasks_.spawn([](Mover& self, std::string host, std::string vm_uuid) -> asio::awaitable<void> {
          const auto told = co_await self.see_off(host, vm_uuid);
          if (!told) spdlog::warn("VM {}: {} does not give its copy up: {}", vm_uuid, host, told.error());
        }(*this, name, std::move(uuid)));
      }
    due = std::move(still);
    while (clock_.steady() < now + kLook) co_await changed_.wait_until(now + kLook);
  }
}

std::vector<std::string> Mover::paused_elsewhere(const NodeRecord& host) const {
  std::vector<std::string> list;
  if (!host.up || !host.vms_known) return list;
  for (const auto& [uuid, state] : host.claims) {
    if (state != v1::VM_STATE_PAUSED) continue;
    const auto* record = inventory_.vm(uuid);
    if (record == nullptr || record->host.empty() || record->host == host.node.name() || record->moving()) continue;
    if (!record->owner_outdated) list.push_back(uuid);
  }
  return list;
}

Task<void> Mover::see_off(std::string host, std::string vm_uuid) {
  const auto* record = inventory_.vm(vm_uuid);
  if (record == nullptr) co_return Result<void>{};
  UMBRA_CO_TRY(const auto cutover, store_.log.cutover(vm_uuid, record->owner_epoch));
  const bool left =
      cutover && cutover->outcome() == v1::OUTCOME_MOVED && cutover->from() == host && cutover->to() == record->host;
  if (!left) co_return Result<void>{};  // whoever has it did not get it from there
  UMBRA_CO_TRY(auto session, inventory_.session(host));
  v1::AgentClient agent(session);
  v1::YieldRequest request;
  request.set_vm_uuid(vm_uuid);
  request.set_epoch(record->owner_epoch);
  request.set_to(record->host);
  UMBRA_CO_CHECK(co_await agent.yield(std::move(request), kYield));
  co_return Result<void>{};
}

}  // namespace umbra::controller
