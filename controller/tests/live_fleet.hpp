/// A controller and fake agents that talk over real sessions, for tests of the whole.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include "controller/controller.hpp"
#include "controller/fakes/fake_agent.hpp"
#include "rpc/fakes/test_fleet.hpp"

namespace umbra::controller {

using namespace std::chrono_literals;

/// Runs as time does, but on the day that a test wants.
class ClockOfADay final : public Clock {
 public:
  std::chrono::steady_clock::time_point steady() const override { return std::chrono::steady_clock::now(); }
  std::chrono::microseconds wall() const override { return began_ + since(); }
  /// Now it is `now`; before anything has read this clock.
  void set_wall(std::chrono::sys_seconds now) { began_ = now.time_since_epoch() - since(); }

 private:
  std::chrono::microseconds since() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(steady() - start_);
  }
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::microseconds began_ = SystemClock().wall();
};

/// Everything runs on one io_context that the test drives; a test that hangs is ended by ctest's time limit.
class LiveFleet : public testing::Test {
 protected:
  LiveFleet() {
    settings.name = "controller";
    settings.state_dir = fleet.directory() / "state";
    settings.listen = "127.0.0.1:0";
    settings.tls = fleet.issue({v1::ROLE_CONTROLLER, "controller", {"127.0.0.1"}});
    settings.heartbeat = {100ms, 5};
    settings.brain.tick = 20ms;
    settings.brain.confirm_k = 1;
    settings.brain.confirm_n = 1;
    settings.brain.cooldown = 60s;
  }
  ~LiveFleet() override {
    run([&]() -> asio::awaitable<void> {
      admin.reset();
      for (auto& agent : agents) co_await agent->stop();
      if (controller) co_await controller->stop();
    });
    agents.clear();
    controller.reset();
  }

  void start_controller() {
    auto started = Controller::start(io.get_executor(), settings, clock);
    ASSERT_TRUE(started) << started.error().text();
    controller = std::move(*started);
    settings.listen = fmt::format("127.0.0.1:{}", controller->endpoint().port());  // the same after a restart
  }
  void restart_controller() {
    run([&]() -> asio::awaitable<void> { co_await controller->stop(); });
    controller.reset();
    start_controller();
  }

  FakeAgent& add_node(const std::string& name, const std::string& zone, v1::Role role = v1::ROLE_AGENT) {
    v1::Node node;
    node.set_name(name);
    node.set_role(role);
    node.set_zone(zone);
    node.set_endpoint("127.0.0.1:1");
    node.set_underlay_address(fmt::format("192.0.2.{}", agents.size() + 1));
    agents.push_back(
        std::make_unique<FakeAgent>(io.get_executor(), clock, hosts, node, fleet.node(role, name), settings.listen));
    return *agents.back();
  }

  /// Runs a coroutine to its end.
  template <class Body>
  void run(Body body) {
    bool done = false;
    std::exception_ptr failure;
    asio::co_spawn(io, body(), [&](std::exception_ptr error) {
      failure = error;
      done = true;
    });
    until([&] { return done; });
    if (failure) std::rethrow_exception(failure);
  }
  /// Lets everything run until something has come true.
  template <class Condition>
  void until(Condition condition) {
    while (!condition()) io.run_one();
  }

  v1::FleetClient client(v1::Role role = v1::ROLE_ADMIN, const std::string& name = "ops") {
    if (!people.contains(name)) people.emplace(name, fleet.node(role, name));
    run([&]() -> asio::awaitable<void> {
      rpc::Services nothing;
      auto tls = people.at(name);
      rpc::Expect expect{"", v1::ROLE_CONTROLLER};
      auto session = co_await rpc::connect(io.get_executor(), settings.listen, tls, expect, nothing, 5s);
      if (!session) throw std::runtime_error(session.error().text());
      admin = *session;
    });
    return v1::FleetClient(admin);
  }

  /// The answer to a call.
  template <class T>
  Result<T> ask(Task<T> call) {
    std::optional<Result<T>> answer;
    run([&]() -> asio::awaitable<void> { answer = co_await std::move(call); });
    return std::move(*answer);
  }
  /// All messages of a stream; its error, if it ends in one, in `error`.
  template <class T>
  std::vector<T> all(Task<rpc::Stream<T>> call, std::optional<Error>* error = nullptr) {
    std::vector<T> messages;
    run([&]() -> asio::awaitable<void> {
      auto stream = co_await std::move(call);
      while (stream) {
        auto next = co_await stream->next();
        if (!next && error != nullptr) *error = next.error();
        if (!next && error == nullptr) throw std::runtime_error(next.error().text());
        if (!next || !*next) co_return;
        messages.push_back(std::move(**next));
      }
    });
    return messages;
  }

  Core& core() { return controller->core(); }
  const VmRecord* vm(const std::string& name) { return core().inventory.vm(uuid_of(name)); }
  std::string host_of(const std::string& name) { return vm(name) == nullptr ? "" : vm(name)->host; }
  bool is_up(const std::string& name) {
    const auto* node = core().inventory.node(name);
    return node != nullptr && node->up && (node->vms_known || !node->is_host());
  }
  bool has_event(const std::string& text) {
    const auto events = core().events.events(1000, "", 0).value();
    return std::ranges::any_of(events,
                               [&](const v1::Event& event) { return event.text().find(text) != std::string::npos; });
  }

  rpc::TestFleet fleet;
  asio::io_context io{1};
  ClockOfADay clock;
  Settings settings;
  FakeHosts hosts;
  std::unique_ptr<Controller> controller;
  std::vector<std::unique_ptr<FakeAgent>> agents;
  std::map<std::string, rpc::Tls> people;
  std::shared_ptr<rpc::Session> admin;
};

/// Two zones with two hosts each and an edge; vm1 and vm2 on host1 in zone a.
class TwoZones : public LiveFleet {
 protected:
  void SetUp() override {
    start_controller();
    host1 = &add_node("host1", "a");
    host2 = &add_node("host2", "a");
    host3 = &add_node("host3", "b");
    host4 = &add_node("host4", "b");
    edge1 = &add_node("edge1", "a", v1::ROLE_EDGE);
    host1->add_vm("vm1", "10.1.0.1");
    host1->add_vm("vm2", "10.1.0.2");
    wait_for_all();
  }
  void wait_for_all() {
    until([&] {
      return std::ranges::all_of(agents, [&](const auto& agent) { return is_up(agent->name()); }) &&
             !host_of("vm1").empty() && !host_of("vm2").empty();
    });
  }
  FakeAgent *host1 = nullptr, *host2 = nullptr, *host3 = nullptr, *host4 = nullptr, *edge1 = nullptr;
};

}  // namespace umbra::controller
