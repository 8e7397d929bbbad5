#include "agentd/tests/two_hosts.hpp"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <filesystem>

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;

constexpr int kMostStepsAtOnce = 100'000;  // of all agents together, at one instant

void must(const Result<void>& done) {
  if (!done) throw std::runtime_error(done.error().text());
}

netswitch::IpAddress ip(std::string_view text) {
  return netswitch::IpAddress::parse(text).value();
}

Task<v1::HoldProof> prove(Machine& machine) {
  co_return machine.proof;
}

}  // namespace

Process::Process(TwoHosts& world, Machine& machine)
    : name_(machine.name()),
      fabric_(machine.kernel, machine.config.network),
      network_(fabric_, name_),
      peers_(world, loop_.get_executor(), name_),
      outbox_(world.clock(), name_) {
  if (!machine.is_host()) return;
  auto journal = shadow::Journal::open(machine.config.state_dir / "journal.sqlite", loop_.get_executor());
  if (!journal) throw std::runtime_error(journal.error().text());
  journal_ = std::move(*journal);
  const auto fate = [&world](const Moment& moment) { return world.meet(moment); };
  hypervisor_ = std::make_unique<InterruptedHypervisor>(loop_.get_executor(), world.world_.get_executor(),
                                                        world.clock(), world.lan(), *machine.hypervisor, name_, fate);
  host_ = std::make_unique<Host>(loop_.get_executor(), world.clock(), machine.config, *hypervisor_, network_, *journal_,
                                 peers_, *machine.gates, outbox_,
                                 Host::Hooks{[] {}, [&machine] { return prove(machine); }});
  asio::co_spawn(loop_, host_->run(), [](std::exception_ptr bug) {
    if (bug) std::rethrow_exception(bug);
  });
}

void Process::report(v1::ReportRequest& report) {
  outbox_.fill(report);
  if (host_) host_->fill(report);
}

TwoHosts::TwoHosts(Options options)
    : options_(options),
      directory_(TemporaryDirectory::make("umbra-two-hosts-").value()),
      wire_(std::make_shared<qmp::FakeWire>()),
      lan_(wire_->clock()),
      disk_({[this](const std::string& file) { return commit(file, Moment::Kind::kCommit); },
             [this](const std::string& file) { commit(file, Moment::Kind::kCommitted); }}) {
  if (std::getenv("UMBRA_TEST_LOG") == nullptr) spdlog::set_level(spdlog::level::off);  // thousands of staged failures
  configure(source, v1::ROLE_AGENT, 1);
  configure(standby, v1::ROLE_AGENT, 2);
  configure(edge, v1::ROLE_EDGE, 254);
  standby.config.standby.memory = options_.standby_memory;
  for (auto* one : machines()) start(*one);
  const auto started = source.hypervisor->start(domain_xml(options_.memory), options_.persistent);
  if (!started) throw std::runtime_error(started.error().text());
  qemu(source)->set_dirty_rate(options_.dirty_rate);
  if (!until([this] { return route(source) == "tap"; }, 15s, 20ms))
    violate("the fleet does not come up: " + describe());
  lead_to(source);
}

TwoHosts::~TwoHosts() {
  for (auto* one : machines())
    if (one->process) graves_.push_back(std::move(one->process));
  // Coroutines of one loop wait on objects of another: all of them go before any of these.
  for (const auto& process : graves_) process->loop().abandon();
  world_.abandon();
  graves_.clear();
}

void TwoHosts::configure(Machine& machine, v1::Role role, int number) {
  const bool host = role == v1::ROLE_AGENT;
  const auto address = fmt::format("10.0.0.{}", number);
  machine.node.set_name(host ? fmt::format("host{}", number) : "edge");
  machine.node.set_role(role);
  machine.node.set_underlay_address(address);
  machine.node.set_migration_address(address);
  machine.proof.set_proven(true);
  machine.proof.set_detail("by the test's word");
  machine.config.name = machine.name();
  machine.config.role = host ? NodeRole::kHost : NodeRole::kEdge;
  machine.config.underlay_address = address;
  machine.config.state_dir = directory_.path() / machine.name();
  machine.config.standby.node = machine.config.source.node = machine.name();
  machine.config.gates.address = address;
  machine.config.source.refresh_interval = options_.refresh_interval;
  std::filesystem::create_directories(machine.config.state_dir);
  must(machine.kernel.create_tap("uplink", {}));
  must(machine.kernel.change_link("uplink", {.up = true}));
  must(machine.kernel.add_address("uplink", ip(address), 24));
  if (!host) return;
  virt::FakeHypervisor::Options options;
  options.address = address;
  options.storage = storage_;
  machine.hypervisor = std::make_unique<virt::FakeHypervisor>(world_.get_executor(), wire_, options);
  machine.gates = std::make_unique<FakeGates>(wire_, address);
}

Machine& TwoHosts::machine(const std::string& name) {
  for (auto* one : machines())
    if (one->name() == name) return *one;
  throw std::runtime_error("no machine " + name);
}

void TwoHosts::pass(Milliseconds time, Milliseconds step) {
  until([] { return false; }, time, step);
}

bool TwoHosts::until(const std::function<bool()>& condition, Milliseconds limit, Milliseconds step) {
  settle();
  for (auto left = limit; !condition(); left -= step) {
    if (left <= 0ms) return false;
    wire_->advance(step);
    settle();
    hear();
  }
  return true;
}

/// Everybody does what can be done at this instant.
void TwoHosts::settle() {
  int steps = 0;
  for (bool busy = true; busy;) {
    busy = lan_.deliver();
    while (world_.run_one_ready()) {
      busy = true;
      observe();
    }
    for (auto* one : machines())
      while (one->process && one->process->loop().run_one_ready()) {
        busy = true;
        observe();
        if (++steps > kMostStepsAtOnce) {
          violate("the agents spin");
          throw std::runtime_error("the agents spin: " + describe());
        }
      }
  }
}

void TwoHosts::crash(Machine& machine) {
  if (!machine.process) return;
  if (machine.hypervisor) machine.hypervisor->listen({});
  if (machine.gates) machine.gates->leave_alone();
  graves_.push_back(std::move(machine.process));
  std::erase_if(exchanges_, [&](const auto& entry) {
    if (entry.first != machine.name()) return entry.second.expired();
    lan_.after(Lan::kWay, [weak = entry.second] {
      if (const auto exchange = weak.lock()) exchange->broken();
    });
    return true;
  });
}

void TwoHosts::start(Machine& machine) {
  if (!machine.process) machine.process = std::make_unique<Process>(*this, machine);
}

void TwoHosts::restart(Machine& machine, Milliseconds wait) {
  crash(machine);
  lan_.after(wait, [this, &machine] { start(machine); });
}

void TwoHosts::lose_journal(Machine& machine, Milliseconds wait) {
  restart(machine, wait);
  for (const auto& entry : std::filesystem::directory_iterator(machine.config.state_dir))
    std::filesystem::remove(entry.path());
}

void TwoHosts::restart_in_order(Machine& machine) {
  machine.process->host()->stop();
  pass(10ms);
  crash(machine);
  start(machine);
}

Verdict TwoHosts::meet(const Moment& moment) {
  // Only agents that live meet anything: what a crash left half done ends unseen.
  if (process(moment.node) == nullptr || !fate_) return {};
  return fate_(moment);
}

bool TwoHosts::commit(const std::string& file, Moment::Kind kind) {
  for (auto* one : machines())
    if (file.starts_with(one->config.state_dir.string() + '/')) {
      const bool alive = one->process != nullptr;  // or it is just being born, and makes its tables
      const auto verdict = meet({kind, one->name(), {}, {}});
      const bool crashed = alive && one->process == nullptr;
      return verdict.kind != Verdict::Kind::kFail && !crashed;
    }
  return true;
}

void TwoHosts::connected(const std::string& to, std::weak_ptr<Exchange> exchange) {
  exchanges_.emplace_back(to, std::move(exchange));
}

}  // namespace umbra::agent::test
