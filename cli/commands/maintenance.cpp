// maintenance add|list|remove: when a host or zone will be worked on.
#include <CLI/App.hpp>
#include "base/config.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"
#include "cli/times.hpp"

namespace umbra::cli {
namespace {

struct WindowWords {
  std::string host_or_zone, begins, ends, lasts, reason;
};

Result<v1::AddMaintenanceRequest> read_window(const WindowWords& words, UnixMillis now) {
  v1::AddMaintenanceRequest request;
  auto& window = *request.mutable_window();
  window.set_host_or_zone(words.host_or_zone);
  window.set_reason(words.reason);
  auto begins = parse_when(words.begins, now);
  if (!begins) return fail(with_context(std::move(begins).error(), "--begins"));
  window.set_begins_unix_ms(*begins);
  if (!words.lasts.empty()) {
    auto lasts = parse_duration(words.lasts);
    if (!lasts) return fail(with_context(std::move(lasts).error(), "--for"));
    window.set_ends_unix_ms(*begins + lasts->count());
  } else {
    auto ends = parse_when(words.ends, now);
    if (!ends) return fail(with_context(std::move(ends).error(), "--ends"));
    window.set_ends_unix_ms(*ends);
  }
  if (window.ends_unix_ms() <= window.begins_unix_ms())
    return fail(
        {Errc::kInvalid, "the window ends before it begins", "give an end after the beginning, or --for DURATION"});
  if (window.ends_unix_ms() <= now)
    return fail({Errc::kInvalid, "the window is over already", "give a window that ends in the future"});
  return request;
}

std::string window_text(const v1::Maintenance& window) {
  return fmt::format("maintenance {}: {} from {} to {}\n", window.id(), printable(window.host_or_zone()),
                     local_time(window.begins_unix_ms()), local_time(window.ends_unix_ms()));
}

Cell window_state(const v1::Maintenance& window, UnixMillis now) {
  if (now < window.begins_unix_ms()) return "begins " + age(window.begins_unix_ms(), now);
  if (now < window.ends_unix_ms()) return {"under way", Style::kWarn};
  return {"over", Style::kFaint};
}

std::string windows_text(const v1::ListMaintenanceReply& reply, const Context& context) {
  if (reply.windows().empty()) return "no maintenance is planned\n";
  Table table({{"ID", Table::Align::kRight},
               "HOST OR ZONE",
               "BEGINS",
               "ENDS",
               {"LASTS", Table::Align::kLeft, 1},
               "STATE",
               {"REASON", Table::Align::kLeft, 2}});
  for (const auto& window : reply.windows())
    table.add({std::to_string(window.id()), window.host_or_zone(), local_time(window.begins_unix_ms()),
               local_time(window.ends_unix_ms()),
               span(static_cast<double>(window.ends_unix_ms() - window.begins_unix_ms())),
               window_state(window, SystemClock().unix_ms()), window.reason()});
  return table.render(context.colour, context.room);
}

void add_add(CLI::App& parent, Action& action) {
  auto words = std::make_shared<WindowWords>();
  auto& verb =
      add_verb(parent, "add", "Announce maintenance; VMs are moved away before it begins",
               "umbractl maintenance add host1 --begins 2026-05-01T22:00:00+02:00 --for 2h --reason 'new firmware'");
  verb.add_option("HOST|ZONE", words->host_or_zone, "What is worked on")->type_name("")->required();
  verb.add_option("--begins", words->begins, "ISO 8601 with zone, epoch seconds, now, or +30min")
      ->type_name("TIME")
      ->required();
  auto* ends = verb.add_option("--ends", words->ends, "The same")->type_name("TIME");
  auto* lasts = verb.add_option("--for", words->lasts, "Its length instead of its end, like 2h")->type_name("DURATION");
  ends->excludes(lasts);
  verb.add_option("--reason", words->reason, "Why")->type_name("TEXT");
  verb.callback([&action, words, ends, lasts] {
    if (ends->empty() && lasts->empty()) throw CLI::RequiredError("--ends or --for");
    action = [words](const Context& context) -> Outcome {
      auto request = read_window(*words, SystemClock().unix_ms());
      if (!request) return misused(std::move(request).error());
      const auto show = [json = context.json()](const v1::Maintenance& window) {
        print(json ? serialize(to_json(window)) + "\n" : window_text(window));
        return ExitCode::kOk;
      };
      return ask<v1::AddMaintenanceRequest, v1::Maintenance>(context, &v1::FleetClient::add_maintenance, *request,
                                                             show);
    };
  });
}

void add_list(CLI::App& parent, Action& action) {
  add_verb(parent, "list", "List announced maintenance", "umbractl maintenance list").callback([&action] {
    action = [](const Context& context) {
      const auto show = [context](const v1::ListMaintenanceReply& reply) {
        print(context.json() ? serialize(to_json(reply)) + "\n" : windows_text(reply, context));
        return ExitCode::kOk;
      };
      return ask<v1::ListMaintenanceRequest, v1::ListMaintenanceReply>(context, &v1::FleetClient::list_maintenance, {},
                                                                       show);
    };
  });
}

void add_remove(CLI::App& parent, Action& action) {
  auto request = std::make_shared<v1::RemoveMaintenanceRequest>();
  auto& verb = add_verb(parent, "remove", "Take back announced maintenance", "umbractl maintenance remove 3");
  verb.add_option_function<std::uint64_t>(
          "ID", [request](std::uint64_t id) { request->set_id(id); }, "As `maintenance list` shows it")
      ->required()
      ->check(CLI::PositiveNumber);
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [request, json = context.json()](const v1::RemoveMaintenanceReply&) {
        print(json ? serialize(boost::json::object{{"id", request->id()}, {"removed", true}}) + "\n"
                   : fmt::format("maintenance {} removed\n", request->id()));
        return ExitCode::kOk;
      };
      return ask<v1::RemoveMaintenanceRequest, v1::RemoveMaintenanceReply>(
          context, &v1::FleetClient::remove_maintenance, *request, show);
    };
  });
}

}  // namespace

void add_maintenance_verbs(CLI::App& app, Action& action) {
  auto& maintenance = add_verb(app, "maintenance", "Announce, list or take back maintenance of hosts and zones",
                               "umbractl maintenance list");
  maintenance.require_subcommand(1);
  add_add(maintenance, action);
  add_list(maintenance, action);
  add_remove(maintenance, action);
}

}  // namespace umbra::cli
