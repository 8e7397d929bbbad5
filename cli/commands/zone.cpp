// zone set: what an operator, or a feed, knows of a zone's health.
#include <CLI/App.hpp>
#include <charconv>

#include "base/printable.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"

namespace umbra::cli {
namespace {

/// "0.4" or "40%".
double parse_health(const std::string& text) {
  double health = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, health);
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  if (unit == "%") health /= 100;
  if (error != std::errc{} || !(unit.empty() || unit == "%") || !(health >= 0 && health <= 1))
    throw CLI::ValidationError("--health",
                               fmt::format("'{}' is neither between 0 (dead) and 1 (fine) nor a percentage", text));
  return health;
}

}  // namespace

void add_zone_verbs(CLI::App& app, Action& action) {
  auto& zone = add_verb(app, "zone", "Tell what is known of a zone", "umbractl zone set a --health 0.4");
  zone.require_subcommand(1);
  auto request = std::make_shared<v1::SetZoneRequest>();
  auto& set = add_verb(zone, "set", "Set a zone's health; the worse of this and what heartbeats say counts",
                       "umbractl zone set a --health 40% --reason 'chiller 2 failed'");
  add_argument(set, "ZONE", "Its name", [request](const std::string& name) { request->set_zone(name); });
  add_text(set, "--health", "X", "0 (dead) to 1 (fine: nothing is known against it), or a percentage",
           [request](const std::string& text) { request->set_health(parse_health(text)); })
      ->required();
  add_text(set, "--reason", "TEXT", "Why", [request](const std::string& why) { request->set_reason(why); });
  set.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [json = context.json()](const v1::Zone& now) {
        print(json ? serialize(to_json(now)) + "\n"
                   : fmt::format("zone {}: health {:.2f} (set {:.2f}, heartbeats {:.2f})\n", printable(now.name()),
                                 now.health(), now.set_health(), now.heartbeat_health()));
        return ExitCode::kOk;
      };
      return ask<v1::SetZoneRequest, v1::Zone>(context, &v1::FleetClient::set_zone, *request, show);
    };
  });
}

}  // namespace umbra::cli
