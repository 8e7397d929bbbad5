#include "agentd/agent.hpp"

#include <spdlog/spdlog.h>

#include "agentd/metrics.hpp"
#include "agentd/peers.hpp"
#include "agentd/registry_link.hpp"
#include "agentd/renewal.hpp"
#include "agentd/services.hpp"
#include "agentd/shadow/proof.hpp"
#include "agentd/shutdown.hpp"
#include "agentd/virt/libvirt_hypervisor.hpp"
#include "metrics/endpoint.hpp"
#include "netswitch/netlink_kernel.hpp"
#include "netswitch/upkeep.hpp"
#include "rpc/tls_keeper.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;

v1::Role role_of(NodeRole role) {
  return role == NodeRole::kEdge ? v1::ROLE_EDGE : v1::ROLE_AGENT;
}

}  // namespace

Result<rpc::Tls> load_credentials(const AgentConfig& config) {
  UMBRA_TRY(auto tls, rpc::Tls::load(config.tls, role_of(config.role)));
  if (tls.self().name == config.name) return tls;
  return fail({Errc::kInvalid,
               fmt::format("the certificate is {}'s, but [agent] name is {}", tls.self().name, config.name),
               "issue one for this node: umbractl pki issue"});
}

struct Agent::Parts {
  Parts(asio::any_io_executor on, AgentConfig with, Surroundings in)
      : executor(std::move(on)), config(std::move(with)), around(std::move(in)), outbox(around.clock, config.name) {}

  asio::any_io_executor executor;
  AgentConfig config;
  Surroundings around;
  Outbox outbox;
  std::unique_ptr<netswitch::Switch> fabric;
  std::unique_ptr<Network> network;
  std::unique_ptr<netswitch::Upkeep> upkeep;
  std::unique_ptr<RpcPeers> peers;
  std::unique_ptr<Warrants> warrants;
  std::unique_ptr<shadow::Journal> journal;  // hosts only, as the one below
  std::unique_ptr<Host> host;
  std::unique_ptr<rpc::Door> door;
  std::unique_ptr<RegistryLink> controller;
  std::unique_ptr<rpc::TlsKeeper> credentials;
  std::unique_ptr<Renewal> renewal;
  std::unique_ptr<Shutdown> shutdown;  // hosts only
  double route_repairs = 0;
  std::unique_ptr<metrics::Endpoint> scraped;

  v1::Credentials describe_credentials() const;
  v1::RegisterRequest introduce() const;
  v1::ReportRequest report();
  std::vector<prometheus::MetricFamily> describe() const;
};

v1::RegisterRequest Agent::Parts::introduce() const {
  v1::RegisterRequest request;
  auto* node = request.mutable_node();
  node->set_name(config.name);
  node->set_role(role_of(config.role));
  node->set_zone(config.zone);
  node->set_endpoint(config.listen_endpoint);
  node->set_underlay_address(config.underlay_address);
  node->set_migration_address(config.gates.address);
  request.set_version(UMBRA_VERSION);
  request.set_epochs_known(true);
  network->fill(request);
  if (host) host->fill(request);
  *request.mutable_credentials() = describe_credentials();
  return request;
}

v1::Credentials Agent::Parts::describe_credentials() const {
  v1::Credentials described;
  described.set_not_after_unix_ms(credentials->not_after_unix_ms());
  for (const auto& warning : credentials->warnings()) described.add_warnings(warning);
  return described;
}

v1::ReportRequest Agent::Parts::report() {
  v1::ReportRequest report;
  outbox.fill(report);
  *report.mutable_credentials() = describe_credentials();
  if (host) host->fill(report);
  return report;
}

std::vector<prometheus::MetricFamily> Agent::Parts::describe() const {
  v1::ReportRequest report;
  if (host) host->fill(report);
  return agent::describe(report, {.connected = controller->registered(),
                                  .certificate_until_unix_ms = credentials->not_after_unix_ms(),
                                  .now_unix_ms = around.clock.unix_ms(),
                                  .route_repairs = route_repairs,
                                  .is_host = host != nullptr});
}

Result<std::unique_ptr<Agent>> Agent::start(asio::any_io_executor executor, AgentConfig config) {
  static SystemClock clock;
  UMBRA_TRY(const auto tls, load_credentials(config));
  Surroundings around{
      .clock = clock,
      .tls = tls,
      .transport = std::make_shared<rpc::TlsTransport>(executor, tls),
      .kernel = {},
      .hypervisor = {},
      .gates = {},
      .disk = std::make_shared<asio::thread_pool>(1),
      .watches_shutdown = std::getenv("NOTIFY_SOCKET") != nullptr,
      .prove = [executor, emulator = config.emulator] { return shadow::prove_hold(executor, clock, emulator); }};
  UMBRA_TRY(around.kernel, netswitch::NetlinkKernel::open());
  if (config.role == NodeRole::kHost) {
    UMBRA_TRY(around.hypervisor,
              virt::LibvirtHypervisor::start(executor, {.uri = config.libvirt_uri, .rules = config.foreign}));
    UMBRA_TRY(around.gates,
              ProcessGates::make(executor, config.gates, config.tls, config.state_dir / "gates", config.log_level));
  }
  return start(executor, std::move(config), std::move(around));
}

Result<std::unique_ptr<Agent>> Agent::start(asio::any_io_executor executor, AgentConfig config,
                                            Surroundings surroundings) {
  auto parts = std::make_unique<Parts>(executor, std::move(config), std::move(surroundings));
  auto& p = *parts;
  auto& clock = p.around.clock;
  p.credentials = std::make_unique<rpc::TlsKeeper>(
      executor, clock, p.around.tls,
      rpc::TlsKeeper::Hooks{
          .renewed =
              [&p](const std::string& what) {
                p.outbox.event(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO, "", "has new certificates: " + what);
              },
          .failed =
              [&p](const Error& why) {
                p.outbox.event(v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING, "",
                               fmt::format("its certificates were changed and cannot be used, so those from "
                                           "before stay in force: {}",
                                           why));
              }});
  std::error_code made;
  std::filesystem::create_directories(p.config.state_dir, made);
  if (made)
    return fail({Errc::kUnavailable, fmt::format("cannot make {}: {}", p.config.state_dir.string(), made.message()),
                 "correct [agent] state_dir"});

  p.fabric = std::make_unique<netswitch::Switch>(*p.around.kernel, p.config.network);
  UMBRA_CHECK(p.fabric->adopt());
  p.network = std::make_unique<Network>(*p.fabric, p.config.name);
  p.upkeep = std::make_unique<netswitch::Upkeep>(
      executor, clock, *p.around.kernel, *p.fabric, [&p](auto tone, const std::string& vm, const std::string& text) {
        ++p.route_repairs;
        p.outbox.event(v1::EVENT_KIND_ROUTE,
                       tone == netswitch::Upkeep::Tone::kAlert ? v1::SEVERITY_ALERT : v1::SEVERITY_WARNING, vm, text);
        if (p.controller) p.controller->nudge();
      });
  p.peers = std::make_unique<RpcPeers>(executor, clock, *p.around.transport);
  p.warrants = std::make_unique<Warrants>(p.around.tls, p.config.name, clock, [&p](const std::string& what) {
    p.outbox.event(v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING, "", what);
    if (p.controller) p.controller->nudge();
  });
  const auto net_switch = std::make_shared<NetSwitchApi>(*p.network, *p.warrants);
  rpc::Services for_peers{net_switch};
  rpc::Services for_controller{net_switch};
  if (p.config.role == NodeRole::kHost) {
    const asio::any_io_executor disk = p.around.disk ? p.around.disk->get_executor() : executor;
    UMBRA_TRY(p.journal, shadow::Journal::open(p.config.state_dir / "journal.sqlite", disk));
    p.host = std::make_unique<Host>(executor, clock, p.config, *p.around.hypervisor, *p.network, *p.journal, *p.peers,
                                    *p.around.gates, p.outbox,
                                    Host::Hooks{[&p] {
                                                  if (p.controller) p.controller->nudge();
                                                },
                                                p.around.prove});
    for_peers = {net_switch, std::make_shared<StandbyApi>(*p.host, *p.warrants, p.config.foreign)};
    for_controller = {net_switch, std::make_shared<AgentApi>(*p.host, *p.warrants, executor, clock)};
  }
  UMBRA_TRY(p.door, p.around.transport->listen(p.config.listen_endpoint, for_peers, {}));
  RegistryLink::Hooks hooks{[&p] { return p.introduce(); },
                            [&p](const auto& reply) {
                              if (p.host) p.host->introduced(reply);
                            },
                            [&p] { return p.host ? p.host->question() : v1::WhoseVmsRequest{}; },
                            [&p](const auto& answer) {
                              if (p.host) p.host->answered(answer);
                            },
                            [&p] { return p.report(); },
                            [&p](const auto& report, const auto& reply) {
                              p.outbox.delivered(report);
                              if (p.host) p.host->delivered(report);
                              if (p.host) p.host->heed(reply);
                            }};
  p.controller = std::make_unique<RegistryLink>(executor, clock, *p.around.transport, p.config.controller_endpoint,
                                                p.config.controller_name, for_controller, std::move(hooks));
  p.renewal = std::make_unique<Renewal>(
      executor, clock, p.around.tls,
      Renewal::Hooks{.controller = [&p] { return p.controller->session(); },
                     .renewed = [&p] { p.credentials->ask(); },
                     .failed =
                         [&p](const Error& why) {
                           p.outbox.event(v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING, "",
                                          fmt::format("its certificate cannot be renewed yet: {}", why));
                         }});
  if (!p.config.metrics_listen.empty()) {
    UMBRA_TRY(p.scraped,
              metrics::Endpoint::listen(executor, p.config.metrics_listen, std::make_shared<prometheus::Registry>(),
                                        [&p] { return p.describe(); }));
  }
  const auto root = [](std::exception_ptr bug) {
    if (bug) std::rethrow_exception(bug);  // ends the process: systemd restarts it, and recovery knows more than we do
  };
  asio::co_spawn(executor, p.controller->run(), root);
  asio::co_spawn(executor, p.credentials->run(), root);
  if (p.host && p.around.watches_shutdown) {
    p.shutdown = std::make_unique<Shutdown>(
        executor, clock,
        Shutdown::Hooks{
            .controller = [&p] { return p.controller->session(); },
            .release = [&p](Deadline deadline) { return p.host->release(deadline); },
            .resume = [&p] { p.host->resume(); },
            .tell = [&p](v1::Severity severity,
                         const std::string& text) { p.outbox.event(v1::EVENT_KIND_HOST, severity, "", text); }});
    asio::co_spawn(executor, p.shutdown->run(), root);
  }
  if (p.config.renew) asio::co_spawn(executor, p.renewal->run(), root);
  if (p.host) asio::co_spawn(executor, p.host->run(), root);
  asio::co_spawn(executor, p.upkeep->run(), root);
  return std::unique_ptr<Agent>(new Agent(std::move(parts)));
}

Host* Agent::host() {
  return parts_->host.get();
}
shadow::Journal* Agent::journal() {
  return parts_->journal.get();
}

Agent::Agent(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Agent::~Agent() = default;

Condition Agent::condition() const {
  if (parts_->shutdown && !parts_->shutdown->text().empty()) return {true, parts_->shutdown->text()};
  return parts_->host ? parts_->host->condition() : Condition{true, "an edge: routes follow the VMs"};
}

void Agent::reload() {
  parts_->credentials->ask();
}

Task<void> Agent::release(Deadline deadline) {
  parts_->controller->stop();  // it would ask for new shadows
  if (parts_->host == nullptr) co_return Result<void>{};
  co_return co_await parts_->host->release(deadline);
}

asio::awaitable<void> Agent::stop() {
  parts_->scraped.reset();
  parts_->credentials->stop();
  parts_->renewal->stop();
  if (parts_->shutdown) parts_->shutdown->stop();
  if (parts_->host) parts_->host->stop();
  parts_->controller->stop();
  parts_->upkeep->stop();
  const auto drained = co_await parts_->door->drain(2s);
  if (!drained) spdlog::debug("{}", drained.error());
  if (parts_->around.disk) parts_->around.disk->join();
}

}  // namespace umbra::agent
