#include "agentd/tests/interrupted_hypervisor.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "agentd/virt/domain_xml.hpp"

namespace umbra::agent::test {
namespace {

/// Of a call that nobody waits for any more.
template <class T>
asio::awaitable<void> unheard(Task<T> call) {
  const auto answer = co_await std::move(call);
  static_cast<void>(answer);
}

/// Neither waits for other changes of the domain, nor do they for it.
bool goes_beside(const std::string& call) {
  return call == "destroy" || call == "annotate";
}

std::string uuid_in(const std::string& xml) {
  const auto domain = virt::parse_domain(xml);
  return domain ? domain->uuid : "";
}

/// Keeps the monitor: whoever asked may have given it back since.
Task<boost::json::value> execute_on(std::shared_ptr<qmp::Transport> monitor, std::string command,
                                    boost::json::object arguments, Deadline deadline) {
  co_return co_await monitor->execute(std::move(command), std::move(arguments), deadline);
}

}  // namespace

class InterruptedHypervisor::Monitor final : public qmp::Transport {
 public:
  Monitor(InterruptedHypervisor& agent, std::shared_ptr<qmp::Transport> monitor, std::string uuid)
      : agent_(agent), monitor_(std::move(monitor)), uuid_(std::move(uuid)) {}
  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override {
    const auto call = "qmp " + command;
    const auto monitor = monitor_;
    UMBRA_CO_TRY(const auto late, co_await agent_.leave(call, uuid_, deadline));
    if (late.count() > 0) {
      const auto executor = agent_.libvirtd_;
      const auto happen = [monitor, command, arguments, deadline, executor] {
        asio::co_spawn(executor, unheard(execute_on(monitor, command, arguments, deadline)), asio::detached);
      };
      UMBRA_CO_CHECK(co_await agent_.miss(call, uuid_, deadline, late, happen));
    }
    co_return co_await monitor->execute(std::move(command), std::move(arguments), deadline);
  }
  void on_event(EventHandler handler) override { monitor_->on_event(std::move(handler)); }

 private:
  InterruptedHypervisor& agent_;
  std::shared_ptr<qmp::Transport> monitor_;
  std::string uuid_;
};

InterruptedHypervisor::InterruptedHypervisor(asio::any_io_executor executor, asio::any_io_executor libvirtd,
                                             Clock& clock, Lan& agenda, virt::FakeHypervisor& host, std::string node,
                                             Fate fate)
    : executor_(executor),
      libvirtd_(std::move(libvirtd)),
      clock_(clock),
      agenda_(agenda),
      host_(host),
      node_(std::move(node)),
      fate_(std::move(fate)),
      freed_(executor, clock) {}

InterruptedHypervisor::~InterruptedHypervisor() = default;

Task<Milliseconds> InterruptedHypervisor::leave(std::string call, std::string uuid, Deadline deadline) {
  const Moment moment{Moment::Kind::kCall, node_, {}, call};
  const auto verdict = fate_(moment);
  co_await asio::post(executor_, asio::use_awaitable);  // an agent that has just crashed never comes back here
  if (verdict.kind == Verdict::Kind::kFail)
    co_return fail({Errc::kUnavailable, call + ": libvirtd cannot be reached", "start libvirtd or fix [libvirt] uri"});
  if (moment.is_change() && !goes_beside(call) && clock_.steady() < busy_[uuid]) {
    const auto until = std::min(busy_[uuid], clock_.steady() + deadline);
    while (clock_.steady() < until && clock_.steady() < busy_[uuid]) co_await freed_.wait_until(until);
    if (clock_.steady() < busy_[uuid])
      co_return fail(Errc::kTimeout, "{}: earlier calls to this domain are unanswered", call);
  }
  co_return verdict.kind == Verdict::Kind::kLate&& moment.is_change() ? verdict.delay : Milliseconds(0);
}

/// Waits for an answer that does not come in time. The call reaches only the QEMU that is there now.
Task<void> InterruptedHypervisor::miss(std::string call, std::string uuid, Deadline deadline, Milliseconds late,
                                       std::function<void()> happen) {
  const auto until = clock_.steady() + deadline;
  if (!goes_beside(call)) busy_[uuid] = until + late + Milliseconds(1);  // it has been done by then
  const bool makes_one = call == "create_paused" || call == "define";
  const auto meant = makes_one ? nullptr : host_.qemu(uuid);
  agenda_.after(deadline + late, [&host = host_, makes_one, meant, uuid, happen = std::move(happen)] {
    if (makes_one || host.qemu(uuid) == meant) happen();
  });
  while (clock_.steady() < until) co_await freed_.wait_until(until);
  co_return fail(Errc::kTimeout, "{}: no answer", call);
}

template <class T, class... Parameters, class... Arguments>
Task<T> InterruptedHypervisor::through(std::string call, std::string uuid, Task<T> (Hypervisor::*member)(Parameters...),
                                       std::tuple<Arguments...> arguments, Deadline deadline) {
  auto& host = host_;
  const auto forward = [&host, member, arguments, deadline] {
    return std::apply([&](const Arguments&... each) { return (host.*member)(each..., deadline); }, arguments);
  };
  UMBRA_CO_TRY(const auto late, co_await leave(call, uuid, deadline));
  if (late.count() > 0) {
    const auto executor = libvirtd_;
    const auto happen = [forward, executor] { asio::co_spawn(executor, unheard(forward()), asio::detached); };
    UMBRA_CO_CHECK(co_await miss(call, uuid, deadline, late, happen));
  }
  co_return co_await forward();
}

Task<virt::HostInfo> InterruptedHypervisor::host(Deadline deadline) {
  return through("host", {}, &Hypervisor::host, std::tuple<>{}, deadline);
}
Task<std::vector<virt::Domain>> InterruptedHypervisor::domains(Deadline deadline) {
  return through("domains", {}, &Hypervisor::domains, std::tuple<>{}, deadline);
}
Task<virt::Domain> InterruptedHypervisor::domain(std::string uuid, Deadline deadline) {
  return through("domain", uuid, &Hypervisor::domain, std::tuple{uuid}, deadline);
}
Task<std::vector<virt::DomainStats>> InterruptedHypervisor::stats(Deadline deadline) {
  return through("stats", {}, &Hypervisor::stats, std::tuple<>{}, deadline);
}
Task<void> InterruptedHypervisor::measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) {
  return through("measure_dirty_rate", uuid, &Hypervisor::measure_dirty_rate, std::tuple{uuid, period}, deadline);
}
Task<virt::Definition> InterruptedHypervisor::definition(std::string uuid, Deadline deadline) {
  return through("definition", uuid, &Hypervisor::definition, std::tuple{uuid}, deadline);
}
Task<std::string> InterruptedHypervisor::fingerprint(std::string uuid, Deadline deadline) {
  return through("fingerprint", uuid, &Hypervisor::fingerprint, std::tuple{uuid}, deadline);
}
Task<void> InterruptedHypervisor::keep_as(std::string uuid, virt::Definition definition, Deadline deadline) {
  return through("keep_as", uuid, &Hypervisor::keep_as, std::tuple{uuid, definition}, deadline);
}
Task<bool> InterruptedHypervisor::autostart(std::string uuid, Deadline deadline) {
  return through("autostart", uuid, &Hypervisor::autostart, std::tuple{uuid}, deadline);
}
Task<void> InterruptedHypervisor::set_autostart(std::string uuid, bool on, Deadline deadline) {
  return through("set_autostart", uuid, &Hypervisor::set_autostart, std::tuple{uuid, on}, deadline);
}
Task<std::string> InterruptedHypervisor::inactive_xml(std::string uuid, Deadline deadline) {
  return through("inactive_xml", uuid, &Hypervisor::inactive_xml, std::tuple{uuid}, deadline);
}
Task<std::string> InterruptedHypervisor::create_paused(std::string xml, Deadline deadline) {
  return through("create_paused", uuid_in(xml), &Hypervisor::create_paused, std::tuple{xml}, deadline);
}
Task<void> InterruptedHypervisor::define(std::string xml, Deadline deadline) {
  return through("define", uuid_in(xml), &Hypervisor::define, std::tuple{xml}, deadline);
}
Task<void> InterruptedHypervisor::undefine(std::string uuid, Deadline deadline) {
  return through("undefine", uuid, &Hypervisor::undefine, std::tuple{uuid}, deadline);
}
Task<void> InterruptedHypervisor::destroy(std::string uuid, virt::Ending ending, Deadline deadline) {
  UMBRA_CO_CHECK(co_await through("destroy", uuid, &Hypervisor::destroy, std::tuple{uuid, ending}, deadline));
  busy_.erase(uuid);  // with its QEMU ends whatever waited for it
  freed_.notify();
  co_return Result<void>{};
}
Task<std::vector<std::string>> InterruptedHypervisor::tend(std::string uuid, Deadline deadline) {
  return host_.tend(std::move(uuid), deadline);  // no moment of a cutover: no step waits for it
}
Task<void> InterruptedHypervisor::suspend(std::string uuid, Deadline deadline) {
  return through("suspend", uuid, &Hypervisor::suspend, std::tuple{uuid}, deadline);
}
Task<void> InterruptedHypervisor::resume(std::string uuid, Deadline deadline) {
  return through("resume", uuid, &Hypervisor::resume, std::tuple{uuid}, deadline);
}
Task<void> InterruptedHypervisor::annotate(std::string uuid, std::string line, Deadline deadline) {
  return through("annotate", uuid, &Hypervisor::annotate, std::tuple{uuid, line}, deadline);
}
std::shared_ptr<qmp::Transport> InterruptedHypervisor::monitor(std::string uuid) {
  return std::make_shared<Monitor>(*this, host_.monitor(uuid), uuid);
}

}  // namespace umbra::agent::test
