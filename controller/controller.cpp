#include "controller/controller.hpp"

#include <spdlog/spdlog.h>

#include "controller/api/fleet_service.hpp"
#include "controller/api/registry_service.hpp"
#include "controller/inventory/routes.hpp"
#include "controller/metrics.hpp"
#include "metrics/cutovers.hpp"
#include "metrics/endpoint.hpp"
#include "rpc/warrant.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr Deadline kDrain = 2s;

asio::awaitable<void> watch_heartbeats(Inventory& inventory, Clock& clock, Signal& beat) {
  while (true) {
    inventory.watch();
    co_await beat.wait_until(clock.steady() + inventory.heartbeat().interval);
  }
}

}  // namespace

Result<rpc::Tls> load_credentials(const Settings& settings) {
  UMBRA_TRY(auto tls, rpc::Tls::load(settings.tls, v1::ROLE_CONTROLLER));
  if (settings.name.empty() || tls.self().name == settings.name) return tls;
  return fail({Errc::kInvalid,
               fmt::format("the certificate is {}'s, but [controller] name is {}", tls.self().name, settings.name),
               "correct the name, or issue a certificate for it: umbractl pki issue"});
}

struct Controller::Parts {
  Parts(asio::any_io_executor on, Settings with, rpc::Tls credentials, Clock& time, std::unique_ptr<Store> opened,
        std::unique_ptr<EventLog> log, std::unique_ptr<Inventory> loaded)
      : executor(on),
        settings(std::move(with)),
        tls(std::move(credentials)),
        clock(time),
        store(std::move(opened)),
        events(std::move(log)),
        inventory(std::move(loaded)) {}

  asio::any_io_executor executor;
  Settings settings;
  rpc::Tls tls;
  Clock& clock;
  std::unique_ptr<Store> store;
  std::unique_ptr<EventLog> events;
  std::unique_ptr<Inventory> inventory;
  std::shared_ptr<prometheus::Registry> counted = std::make_shared<prometheus::Registry>();
  metrics::Cutovers cutovers{*counted};
  Audit audit{*events, clock, executor};
  Certificates certificates{*inventory, *events, clock, executor, tls};
  TaskGroup tasks{executor};
  Enrolment enrolment{settings.enrolment, *inventory, *store, *events, clock, tls};
  Signal beat{executor, clock};
  Brain brain{settings.brain};
  Zones zones{store->wishes, settings.brain.zone_recovery};
  Demand demand{store->telemetry, settings.brain};
  WarrantIssuer warrants{
      clock, [this](v1::WarrantStatement statement) { return rpc::warrant::sign(tls, std::move(statement)); }};
  ShadowKeeper keeper{*inventory,
                      *events,
                      clock,
                      tasks,
                      warrants,
                      [this](const std::string& vm, const std::string& host, const Error&) {
                        brain.failed_there(vm, host, clock.steady());
                      }};
  Mover mover{
      *inventory, *store, *events, clock, executor, tasks, keeper, warrants, [this](const v1::CutoverResult& result) {
        cutovers.ended(result);
        pilot.ended(result);
      }};
  Evacuator evacuator{*inventory, *events, mover, tasks, settings.brain.moves_per_host};
  Pilot pilot{*inventory,
              *store,
              *events,
              clock,
              executor,
              brain,
              demand,
              zones,
              keeper,
              mover,
              settings.zone_feed.empty() ? std::nullopt : std::optional<ZoneFeed>(settings.zone_feed)};
  AddressBook addresses{*inventory, *store, *events, clock, {settings.allowed_addresses, {}}};
  RoutePusher routes{*inventory, addresses, *events, clock, tasks};
  Resolver resolver{*inventory, *events, clock, mover};
  HostLoss host_loss{
      *inventory, *store, *events, clock, executor, tasks, mover, resolver, settings.brain, settings.fence, [this] {
        return pilot.picture();
      }};
  Core core{clock,  *store, *events, audit, certificates, enrolment, *inventory, addresses, zones,
            demand, brain,  keeper,  mover, evacuator,    pilot,     host_loss,  resolver};
  std::shared_ptr<rpc::Transport> transport;
  std::unique_ptr<rpc::Door> door;
  std::unique_ptr<metrics::Endpoint> scraped;
};

Result<std::unique_ptr<Controller>> Controller::start(asio::any_io_executor executor, Settings settings, Clock& clock) {
  UMBRA_TRY(auto tls, load_credentials(settings));
  auto transport = std::make_shared<rpc::TlsTransport>(executor, tls);
  return start(executor, std::move(settings), clock, std::move(tls), std::move(transport));
}

Result<std::unique_ptr<Controller>> Controller::start(asio::any_io_executor executor, Settings settings, Clock& clock,
                                                      rpc::Tls tls, std::shared_ptr<rpc::Transport> transport) {
  UMBRA_TRY(auto store, Store::open(settings.state_dir));
  auto events = std::make_unique<EventLog>(store->log, clock, executor);
  UMBRA_TRY(auto inventory, Inventory::load(*store, *events, clock, executor, settings.heartbeat));
  auto parts = std::make_unique<Parts>(executor, std::move(settings), tls, clock, std::move(store), std::move(events),
                                       std::move(inventory));
  auto& p = *parts;
  UMBRA_CHECK(p.pilot.load());
  UMBRA_CHECK(p.addresses.load());
  const rpc::Services services{std::make_shared<RegistryService>(p.core),
                               std::make_shared<FleetService>(p.core, p.settings.state_dir)};
  rpc::ServerHooks hooks;
  hooks.on_session_open = [&p](const std::shared_ptr<rpc::Session>& session) { p.certificates.saw(session->peer()); };
  p.transport = std::move(transport);
  UMBRA_TRY(p.door,
            p.transport->listen(p.settings.listen, services.watched([&p](const auto& call) { p.audit.failed(call); }),
                                std::move(hooks)));
  UMBRA_CHECK(p.enrolment.open(executor, p.door->endpoint().port()));
  if (!p.settings.metrics_listen.empty()) {
    UMBRA_TRY(p.scraped, metrics::Endpoint::listen(executor, p.settings.metrics_listen, p.counted, [&p] {
                return describe(p.core, p.settings.state_dir, p.certificates.own().not_after_unix_ms());
              }));
  }
  UMBRA_CHECK(p.mover.resume());
  UMBRA_CHECK(p.host_loss.load());
  p.tasks.spawn(watch_heartbeats(*p.inventory, clock, p.beat));
  p.tasks.spawn(p.audit.run());
  p.tasks.spawn(p.certificates.run());
  p.tasks.spawn(p.certificates.own().run());
  p.tasks.spawn(p.pilot.run());
  p.tasks.spawn(p.routes.run());
  p.tasks.spawn(p.host_loss.run());
  p.tasks.spawn(p.mover.see_off());
  return std::unique_ptr<Controller>(new Controller(std::move(parts)));
}

Controller::Controller(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Controller::~Controller() = default;

asio::awaitable<void> Controller::stop() {
  parts_->scraped.reset();
  const auto drained = co_await parts_->door->drain(kDrain);
  if (!drained) spdlog::debug("{}", drained.error());
  parts_->host_loss.stop();
  co_await parts_->tasks.stop();
}

std::string Controller::status() const {
  const auto& inventory = *parts_->inventory;
  const auto up = std::ranges::count_if(inventory.nodes(), [](const auto& entry) { return entry.second.up; });
  const auto moving = std::ranges::count_if(inventory.vms(), [](const auto& entry) { return entry.second.moving(); });
  const auto shadows = std::ranges::count_if(inventory.vms(), [](const auto& entry) {
    return entry.second.shadow && entry.second.shadow->phase() != v1::SHADOW_PHASE_DROPPED;
  });
  const auto nodes = static_cast<std::ptrdiff_t>(inventory.nodes().size());
  return fmt::format("nodes: {} up{}; VMs: {}, {} with a shadow, {} moving", up,
                     up == nodes ? "" : fmt::format(", {} down", nodes - up), inventory.vms().size(), shadows, moving);
}

asio::ip::tcp::endpoint Controller::endpoint() const {
  return parts_->door->endpoint();
}
void Controller::reload() {
  parts_->certificates.own().ask();
}
Core& Controller::core() {
  return parts_->core;
}

}  // namespace umbra::controller
