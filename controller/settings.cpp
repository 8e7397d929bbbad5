#include "controller/settings.hpp"

#include "base/checked.hpp"
#include "base/listening.hpp"
#include "base/log.hpp"

namespace umbra::controller {
namespace {

constexpr Milliseconds kShortestHeartbeat{100};  // agentd/registry_link.cpp
constexpr std::size_t kMostFenceAgents = 10'000;
constexpr std::int64_t kMostHistorySteps = 10'000;  // what a forecast may be fitted to

Milliseconds positive(Config& config, std::string_view key, Milliseconds fallback) {
  const auto value = config.duration(key, fallback);
  if (value <= Milliseconds::zero()) config.complain(key, "is not longer than 0", "write it like 5s or 10min");
  return value;
}

double probability(Config& config, std::string_view key, double fallback) {
  return config.number(key, fallback, 0.0, 1.0);
}

BrainSettings read_brain(Config& config) {
  BrainSettings brain;
  brain.tick = positive(config, "brain.tick", brain.tick);
  brain.window = positive(config, "brain.window", brain.window);
  brain.forecast_step = positive(config, "brain.forecast_step", brain.forecast_step);
  brain.history =
      positive(config, "brain.history", std::min<Milliseconds>(brain.history, brain.forecast_step * kMostHistorySteps));
  brain.staged = probability(config, "brain.staged", brain.staged);
  brain.warm = probability(config, "brain.warm", brain.warm);
  brain.hot = probability(config, "brain.hot", brain.hot);
  brain.cutover = probability(config, "brain.cutover", brain.cutover);
  brain.hysteresis = probability(config, "brain.hysteresis", brain.hysteresis);
  brain.confirm_n = static_cast<unsigned>(config.integer("brain.confirm_n", brain.confirm_n, 1, 100));
  brain.confirm_k =
      static_cast<unsigned>(config.integer("brain.confirm_k", std::min(brain.confirm_k, brain.confirm_n), 1, 100));
  brain.automatic = config.boolean("brain.automatic", brain.automatic);
  brain.cooldown = config.duration("brain.cooldown", brain.cooldown);
  brain.minimum_gain = probability(config, "brain.minimum_gain", brain.minimum_gain);
  brain.moves_per_host = static_cast<unsigned>(config.integer("brain.moves_per_host", brain.moves_per_host, 1, 100));
  brain.memory_reserve =
      checked(config, "brain.memory_reserve", parse_bytes(config.text("brain.memory_reserve", "0"))).value_or(Bytes{});
  brain.maintenance_notice = config.duration("brain.maintenance_notice", brain.maintenance_notice);
  brain.maintenance_lead = config.duration("brain.maintenance_lead", brain.maintenance_lead);
  brain.zone_recovery = positive(config, "brain.zone_recovery", brain.zone_recovery);

  if (!(0 < brain.staged && brain.staged <= brain.warm && brain.warm <= brain.hot && brain.hot <= brain.cutover))
    config.complain("brain.staged", "the thresholds do not rise", "0 < staged <= warm <= hot <= cutover <= 1");
  if (brain.confirm_k > brain.confirm_n)
    config.complain("brain.confirm_k", "is more than confirm_n", "k of n ticks must agree");
  if (brain.forecast_step > Milliseconds::zero() && brain.history / brain.forecast_step > kMostHistorySteps)
    config.complain("brain.history", fmt::format("holds more than {} forecast steps", kMostHistorySteps),
                    "shorten it, or lengthen brain.forecast_step");
  if (brain.maintenance_lead > brain.maintenance_notice)
    config.complain("brain.maintenance_lead", "is longer than maintenance_notice", "the notice comes first");
  return brain;
}

/// [fence], and one [[fence.agent]] for each host that can be powered off by a command.
FenceSettings read_fence(Config& config) {
  FenceSettings fence;
  fence.automatic = config.boolean("fence.automatic", fence.automatic);
  fence.after = positive(config, "fence.after", fence.after);
  const auto count = config.tables("fence.agent");
  if (count > kMostFenceAgents)
    config.complain("fence.agent", fmt::format("are {}, more than {}", count, kMostFenceAgents), "leave some out");
  for (std::size_t i = 0; i < std::min(count, kMostFenceAgents); ++i) {
    const auto key = [i](std::string_view name) { return fmt::format("fence.agent[{}].{}", i, name); };
    FenceAgentSettings agent;
    agent.host = config.required_text(key("host"));
    agent.command = config.texts(key("command"));
    agent.status = config.texts(key("status"));
    agent.off = config.text(key("off"), agent.off);
    if (agent.off.empty()) config.complain(key("off"), "is empty", "give the word that `status` writes when it is off");
    agent.timeout = positive(config, key("timeout"), agent.timeout);
    if (agent.command.empty() || agent.command.front().empty())
      config.complain(key("command"), "is missing", "write it like [\"/usr/sbin/fence_ipmilan\", \"--ip=…\"]");
    if (fence.agent(agent.host) != nullptr)
      config.complain(key("host"), fmt::format("'{}' has an agent already", agent.host), "keep one of them");
    fence.agents.push_back(std::move(agent));
  }
  if (fence.automatic && fence.agents.empty())
    config.complain("fence.automatic", "is set, but no [[fence.agent]] is", "configure one, or leave it false");
  return fence;
}

}  // namespace

Result<Settings> Settings::from(Config& config) {
  Settings settings;
  settings.name = config.text("controller.name", "");
  settings.state_dir = config.text("controller.state_dir", "/var/lib/umbra/controller");
  settings.log_level = config.text("controller.log_level", "info");
  (void)checked(config, "controller.log_level", check_log_level(settings.log_level));
  settings.listen = config.text("listen.endpoint", "[::]:7443");
  (void)checked(config, "listen.endpoint", parse_endpoint(settings.listen));
  settings.tls.ca = config.required_text("tls.ca");
  settings.tls.certificate = config.required_text("tls.certificate");
  settings.tls.key = config.required_text("tls.key");
  settings.tls.crl = config.text("tls.crl", "");
  settings.metrics_listen = config.text("metrics.listen", "");
  if (!settings.metrics_listen.empty())
    (void)checked(config, "metrics.listen", parse_endpoint(settings.metrics_listen));
  settings.heartbeat.interval = positive(config, "heartbeat.interval", settings.heartbeat.interval);
  if (settings.heartbeat.interval < kShortestHeartbeat)
    config.complain("heartbeat.interval", "is shorter than agents ever report", "give at least 100ms");
  settings.heartbeat.missed =
      static_cast<unsigned>(config.integer("heartbeat.missed", settings.heartbeat.missed, 2, 100));
  auto allowed = checked(config, "network.allowed_addresses",
                         netswitch::AddressRules::parse_allowed(config.texts("network.allowed_addresses")));
  if (allowed) settings.allowed_addresses = std::move(*allowed);
  settings.brain = read_brain(config);
  settings.zone_feed = config.text("zones.feed", "");
  settings.fence = read_fence(config);
  settings.enrolment.issuer = config.text("enrolment.issuer", "");
  settings.enrolment.listen = config.text("enrolment.listen", "[::]:7444");
  (void)checked(config, "enrolment.listen", parse_endpoint(settings.enrolment.listen));
  UMBRA_CHECK(config.finish());
  return settings;
}

}  // namespace umbra::controller
