#include "agentd/tests/interrupted_hypervisor.hpp"

#include <boost/asio/post.hpp>

namespace umbra::agent::test {

class InterruptedHypervisor::Monitor final : public qmp::Transport {
 public:
  Monitor(InterruptedHypervisor& agent, std::shared_ptr<qmp::Transport> monitor)
      : agent_(agent), monitor_(std::move(monitor)) {}
  Task<boost::json::value> execute(std::string command, boost::json::object arguments, Deadline deadline) override {
    UMBRA_CO_CHECK(co_await agent_.leave("qmp " + command));
    co_return co_await monitor_->execute(std::move(command), std::move(arguments), deadline);
  }
  void on_event(EventHandler handler) override { monitor_->on_event(std::move(handler)); }

 private:
  InterruptedHypervisor& agent_;
  std::shared_ptr<qmp::Transport> monitor_;
};

InterruptedHypervisor::InterruptedHypervisor(asio::any_io_executor executor, virt::Hypervisor& host, std::string node,
                                             Fate fate)
    : executor_(std::move(executor)), host_(host), node_(std::move(node)), fate_(std::move(fate)) {}

InterruptedHypervisor::~InterruptedHypervisor() = default;

Task<void> InterruptedHypervisor::leave(std::string call) {
  const auto verdict = fate_({Moment::Kind::kCall, node_, {}, call});
  co_await asio::post(executor_, asio::use_awaitable);  // an agent that has just crashed never comes back here
  if (verdict.kind == Verdict::Kind::kFail)
    co_return fail({Errc::kUnavailable, call + ": libvirtd cannot be reached", "start libvirtd or fix [libvirt] uri"});
  co_return Result<void>{};
}

template <class T, class... Arguments>
Task<T> InterruptedHypervisor::through(std::string call, Task<T> (Hypervisor::*member)(Arguments...),
                                       Arguments... arguments) {
  UMBRA_CO_CHECK(co_await leave(std::move(call)));
  co_return co_await (host_.*member)(std::move(arguments)...);
}

Task<virt::HostInfo> InterruptedHypervisor::host(Deadline deadline) {
  return through("host", &Hypervisor::host, deadline);
}
Task<std::vector<virt::Domain>> InterruptedHypervisor::domains(Deadline deadline) {
  return through("domains", &Hypervisor::domains, deadline);
}
Task<virt::Domain> InterruptedHypervisor::domain(std::string uuid, Deadline deadline) {
  return through("domain", &Hypervisor::domain, std::move(uuid), deadline);
}
Task<std::vector<virt::DomainStats>> InterruptedHypervisor::stats(Deadline deadline) {
  return through("stats", &Hypervisor::stats, deadline);
}
Task<void> InterruptedHypervisor::measure_dirty_rate(std::string uuid, std::chrono::seconds period, Deadline deadline) {
  return through("measure_dirty_rate", &Hypervisor::measure_dirty_rate, std::move(uuid), period, deadline);
}
Task<virt::Definition> InterruptedHypervisor::definition(std::string uuid, Deadline deadline) {
  return through("definition", &Hypervisor::definition, std::move(uuid), deadline);
}
Task<void> InterruptedHypervisor::keep_as(std::string uuid, virt::Definition definition, Deadline deadline) {
  return through("keep_as", &Hypervisor::keep_as, std::move(uuid), std::move(definition), deadline);
}
Task<void> InterruptedHypervisor::set_autostart(std::string uuid, bool on, Deadline deadline) {
  return through("set_autostart", &Hypervisor::set_autostart, std::move(uuid), on, deadline);
}
Task<std::string> InterruptedHypervisor::inactive_xml(std::string uuid, Deadline deadline) {
  return through("inactive_xml", &Hypervisor::inactive_xml, std::move(uuid), deadline);
}
Task<std::string> InterruptedHypervisor::create_paused(std::string xml, Deadline deadline) {
  return through("create_paused", &Hypervisor::create_paused, std::move(xml), deadline);
}
Task<void> InterruptedHypervisor::define(std::string xml, Deadline deadline) {
  return through("define", &Hypervisor::define, std::move(xml), deadline);
}
Task<void> InterruptedHypervisor::undefine(std::string uuid, Deadline deadline) {
  return through("undefine", &Hypervisor::undefine, std::move(uuid), deadline);
}
Task<void> InterruptedHypervisor::destroy(std::string uuid, virt::Ending ending, Deadline deadline) {
  return through("destroy", &Hypervisor::destroy, std::move(uuid), ending, deadline);
}
Task<std::vector<std::string>> InterruptedHypervisor::tend_images(std::string uuid, Deadline deadline) {
  return host_.tend_images(std::move(uuid), deadline);  // no moment of a cutover: no step waits for it
}
Task<void> InterruptedHypervisor::suspend(std::string uuid, Deadline deadline) {
  return through("suspend", &Hypervisor::suspend, std::move(uuid), deadline);
}
Task<void> InterruptedHypervisor::resume(std::string uuid, Deadline deadline) {
  return through("resume", &Hypervisor::resume, std::move(uuid), deadline);
}
Task<void> InterruptedHypervisor::annotate(std::string uuid, std::string line, Deadline deadline) {
  return through("annotate", &Hypervisor::annotate, std::move(uuid), std::move(line), deadline);
}
std::shared_ptr<qmp::Transport> InterruptedHypervisor::monitor(std::string uuid) {
  return std::make_shared<Monitor>(*this, host_.monitor(std::move(uuid)));
}

}  // namespace umbra::agent::test
