#include "sim/world.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>

namespace umbra::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMostStepsAtOnce = 100'000;  // of all processes together, at one instant
constexpr auto kSilence = 10s;                       // two keepalives
constexpr auto kTrustedAgain = 10s;                  // a host or zone that had failed

void must(const Result<void>& done) {
  if (!done) throw std::runtime_error(done.error().text());
}

netswitch::IpAddress ip(std::string_view text) {
  return netswitch::IpAddress::parse(text).value();
}

Task<v1::HoldProof> proven() {
  v1::HoldProof proof;
  proof.set_proven(true);
  proof.set_detail("by the simulation's word");
  co_return proof;
}

v1::Role role_of(const Machine& machine) {
  switch (machine.kind) {
    case Machine::Kind::kHost:
      return v1::ROLE_AGENT;
    case Machine::Kind::kEdge:
      return v1::ROLE_EDGE;
    case Machine::Kind::kController:
      return v1::ROLE_CONTROLLER;
  }
  return v1::ROLE_UNSPECIFIED;
}

}  // namespace

Process::Process(World& world, Machine& machine)
    : transport_(std::make_shared<LanTransport>(world.exchange_, loop_.get_executor(),
                                                rpc::Identity{machine.name, role_of(machine)})) {
  if (machine.kind == Machine::Kind::kController) {
    controller::Settings settings;
    settings.name = machine.name;
    settings.state_dir = machine.directory;
    settings.listen = World::kControllerAddress;
    settings.heartbeat = {.interval = 2s, .missed = 2};  // as long a silence as ever, and half the idle talk
    settings.brain.automatic = false;
    settings.brain.zone_recovery = kTrustedAgain;  // or nothing would be tried again before a trial ends
    settings.brain.cooldown = kTrustedAgain;
    auto started = controller::Controller::start(loop_.get_executor(), std::move(settings), world.clock(), *machine.tls,
                                                 transport_);
    if (started)
      controller_ = std::move(*started);
    else
      machine.unstarted = started.error().text();
    return;
  }
  agent::Surroundings around{.clock = world.clock(),
                             .tls = *machine.tls,
                             .transport = transport_,
                             .kernel = {std::shared_ptr<void>{}, &machine.kernel},
                             .hypervisor = {},
                             .gates = {},
                             .disk = {},
                             .prove = [] { return proven(); }};
  if (machine.is_host()) {
    around.gates = {std::shared_ptr<void>{}, machine.gates.get()};
    const Fate fate = [&world](const Moment& moment) { return world.meet(moment); };
    around.hypervisor = std::make_shared<agent::test::InterruptedHypervisor>(
        loop_.get_executor(), world.world_.get_executor(), world.clock(), world.lan_, *machine.hypervisor, machine.name,
        fate);
  }
  auto started = agent::Agent::start(loop_.get_executor(), machine.config, std::move(around));
  if (started)
    agent_ = std::move(*started);
  else
    machine.unstarted = started.error().text();
}

World::World(Options options)
    : options_(options),
      wire_(std::make_shared<qmp::FakeWire>()),
      lan_(wire_->clock()),
      disk_({[this](const std::string& file) { return commit(file, Moment::Kind::kCommit); },
             [this](const std::string& file) { commit(file, Moment::Kind::kCommitted); }}),
      exchange_(lan_, wire_->clock(), [this](const Moment& moment) { return meet(moment); }) {
  // Certificates are of the real time, and so must the wall clock be.
  const auto real = SystemClock().wall() - wire_->clock().wall();
  wire_->clock().step_wall(std::chrono::duration_cast<Milliseconds>(real) + 2h);
  const auto add = [this](Machine::Kind kind, std::string name, int number) {
    auto& machine = *machines_.emplace_back(std::make_unique<Machine>());
    machine.kind = kind;
    machine.name = std::move(name);
    machine.directory = (certificates_.directory() / "state" / machine.name).string();
    configure(machine, number);
  };
  add(Machine::Kind::kController, "controller", 250);
  for (unsigned i = 1; i <= options_.hosts; ++i)
    add(Machine::Kind::kHost, fmt::format("host{}", i), static_cast<int>(i));
  for (unsigned i = 1; i <= options_.edges; ++i)
    add(Machine::Kind::kEdge, fmt::format("edge{}", i), static_cast<int>(100 + i));
  for (const auto& one : machines_) start(*one);
  const auto started = host(1).hypervisor->start(domain_xml(options_.memory), options_.persistent);
  if (!started) throw std::runtime_error(started.error().text());
  qemu(host(1))->set_dirty_rate(options_.dirty_rate);
  operator_ = std::make_unique<LanTransport>(exchange_, world_.get_executor(), rpc::Identity{"ops", v1::ROLE_ADMIN});
  if (!until([this] { return disorder().empty(); }, 60s)) violate("the fleet does not come up: " + disorder());
}

World::~World() {
  session_.reset();
  fleet_.reset();
  for (auto& one : machines_)
    if (one->process) graves_.push_back(std::move(one->process));
  // Coroutines of one loop wait on objects of another: all of them go before any of these.
  for (const auto& process : graves_) process->loop().abandon();
  world_.abandon();
  graves_.clear();
}

void World::configure(Machine& machine, int number) {
  const auto address = fmt::format("10.0.0.{}", number);
  if (!machine.tls) machine.tls = certificates_.node(role_of(machine), machine.name);
  if (machine.kind == Machine::Kind::kController) return;
  machine.node.set_name(machine.name);
  machine.config.name = machine.name;
  machine.config.role = machine.is_host() ? agent::NodeRole::kHost : agent::NodeRole::kEdge;
  machine.config.zone = "a";
  machine.config.listen_endpoint = address + ":7444";
  machine.config.controller_endpoint = kControllerAddress;
  machine.config.controller_name = "controller";
  machine.config.underlay_address = address;
  machine.config.state_dir = machine.directory;
  machine.config.standby.node = machine.config.source.node = machine.name;
  machine.config.gates.address = address;
  must(machine.kernel.create_tap("uplink", {}));
  must(machine.kernel.change_link("uplink", {.up = true}));
  must(machine.kernel.add_address("uplink", ip(address), 24));
  if (!machine.is_host()) return;
  virt::FakeHypervisor::Options options;
  options.address = address;
  options.storage = storage_;
  if (!machine.hypervisor)
    machine.hypervisor = std::make_unique<virt::FakeHypervisor>(world_.get_executor(), wire_, options);
  if (!machine.gates) machine.gates = std::make_unique<agent::test::FakeGates>(wire_, address);
}

Machine& World::machine(const std::string& name) {
  for (auto& one : machines_)
    if (one->name == name) return *one;
  throw std::runtime_error("no machine " + name);
}

void World::pass(Milliseconds time) {
  until([] { return false; }, time);
}

bool World::until(const std::function<bool()>& condition, Milliseconds limit) {
  const auto end = clock().steady() + limit;
  for (;;) {
    settle();
    if (condition()) return true;
    const auto now = clock().steady();
    if (now >= end) return false;
    const auto due = std::min({wire_->clock().next_due(), wire_->next_due(), lan_.next_due(), end});
    const auto by = std::max(std::chrono::ceil<Milliseconds>(due - now), 1ms);
    wire_->leap(by);
  }
}

/// Everybody does what can be done at this instant.
void World::settle() {
  std::uint64_t steps = 0;
  for (bool busy = true; busy;) {
    busy = lan_.deliver();
    while (world_.run_one_ready()) {
      busy = true;
      ++steps_;
      observe();
    }
    for (auto& one : machines_)
      while (one->process && one->process->loop().run_one_ready()) {
        busy = true;
        ++steps_;
        observe();
        if (++steps > kMostStepsAtOnce) {
          violate(one->name + " spins");
          throw std::runtime_error(one->name + " spins: " + describe());
        }
      }
  }
}

Verdict World::meet(const Moment& moment) {
  // Only processes that live meet anything: what a crash left half done ends unseen.
  if (!fate_ || moment.node == "ops") return {};
  if (!machine(moment.node).process) return {};
  return fate_(moment);
}

bool World::commit(const std::string& file, Moment::Kind kind) {
  for (auto& one : machines_)
    if (file.starts_with(one->directory) && file[one->directory.size()] == '/') {
      if (file.find("telemetry") != std::string::npos) return true;  // decides nothing
      const bool alive = one->process != nullptr;                    // or it is just being born, and makes its tables
      const auto verdict = meet({kind, one->name, {}, {}});
      const bool crashed = alive && one->process == nullptr;
      return verdict.kind != Verdict::Kind::kFail && !crashed;
    }
  return true;
}

void World::crash(Machine& machine) {
  if (!machine.process) return;
  if (machine.hypervisor) machine.hypervisor->listen({});
  if (machine.gates) machine.gates->leave_alone();
  graves_.push_back(std::move(machine.process));
  exchange_.crashed(machine.name, machine.power ? Milliseconds{} : kSilence);
  if (machine.kind == Machine::Kind::kController) {
    session_.reset();
    fleet_.reset();
  }
}

void World::start(Machine& machine) {
  if (machine.process || !machine.power) return;
  machine.unstarted.clear();
  ++machine.lives;
  machine.process = std::make_unique<Process>(*this, machine);
  if (machine.unstarted.empty()) return;
  tell(fmt::format("{} does not start: {}", machine.name, machine.unstarted));  // systemd tries again
  graves_.push_back(std::move(machine.process));
  lan_.after(2s, [this, &machine] { start(machine); });
}

void World::restart(Machine& machine, Milliseconds wait) {
  crash(machine);
  lan_.after(wait, [this, &machine] { start(machine); });
}

void World::lose_power(Machine& machine, Milliseconds wait) {
  if (!machine.power) return;
  machine.power = false;
  crash(machine);
  if (machine.hypervisor) machine.hypervisor->power_off();
  if (machine.gates) machine.gates->kill();
  machine.kernel = netswitch::FakeKernel();
  lan_.after(wait, [this, &machine] {
    machine.power = true;
    configure(machine, std::stoi(machine.config.underlay_address.substr(7)));
    if (machine.hypervisor) machine.hypervisor->boot();
    start(machine);
  });
}

void World::part(Machine& a, Machine& b, Milliseconds time) {
  const auto one = a.name, other = b.name;
  lan_.part(one, other);
  lan_.after(std::min<Milliseconds>(kSilence, time), [this, one, other, time] {
    if (time >= kSilence) exchange_.silent(one, other);
  });
  lan_.after(time, [this, one, other] { lan_.heal(one, other); });
}

void World::libvirt_away(Machine& machine, Milliseconds time) {
  if (!machine.power) return;
  machine.hypervisor->set_connected(false);
  lan_.after(time, [&machine] {
    if (machine.power) machine.hypervisor->set_connected(true);
  });
}

void World::forget(Machine& machine, Milliseconds wait) {
  crash(machine);
  machine.forgot = true;
  disk_.restore(machine.directory, nullptr);
  lan_.after(wait, [this, &machine] { start(machine); });
}

void World::restore(Machine& machine, Milliseconds wait) {
  crash(machine);
  machine.forgot = true;
  disk_.restore(machine.directory, machine.backup);
  lan_.after(wait, [this, &machine] { start(machine); });
}

void World::back_up() {
  for (auto& one : machines_) one->backup = disk_.copy(one->directory);
}

}  // namespace umbra::sim
