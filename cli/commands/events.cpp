// events: what happened, and what happens.
#include <CLI/App.hpp>
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

/// One line, with the same columns for every event since they may come one at a time.
std::string event_line(const v1::Event& event, bool colour) {
  const auto style = event.severity() == v1::SEVERITY_ALERT     ? Style::kBad
                     : event.severity() == v1::SEVERITY_WARNING ? Style::kWarn
                                                                : Style::kPlain;
  const auto subject = event.vm().empty()     ? event.node()
                       : event.node().empty() ? event.vm()
                                              : event.vm() + "@" + event.node();
  const auto by = event.actor().empty() ? "" : fmt::format(" [{}]", event.actor());
  return fmt::format("{}  {}  {:<8}  {:<16}  {}{}\n", local_time(event.at_unix_ms()),
                     styled(fmt::format("{:<7}", word(event.severity())), style, colour), word(event.kind()),
                     subject.empty() ? "-" : printable(subject), printable(event.text()), printable(by));
}

Task<ExitCode> show_events(v1::FleetClient fleet, v1::WatchEventsRequest request, Context context) {
  UMBRA_CO_TRY(auto stream,
               co_await fleet.watch_events(request, request.follow() ? rpc::kNoDeadline : context.settings.timeout));
  boost::json::array events;
  while (true) {
    UMBRA_CO_TRY(const auto event, co_await stream.next());
    if (!event) break;
    if (!context.json()) {
      print(event_line(*event, context.colour));
    } else if (request.follow()) {
      print(serialize(to_json(*event)) + "\n");
    } else {
      events.push_back(to_json(*event));
    }
    if (request.follow()) std::fflush(stdout);  // whoever reads the pipe wants it now
  }
  if (context.json() && !request.follow()) print(serialize(boost::json::object{{"events", std::move(events)}}) + "\n");
  co_return ExitCode::kOk;
}

}  // namespace

void add_event_verbs(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::WatchEventsRequest>();
  auto& verb = add_verb(app, "events", "Show what happened; with -o json --follow, one object a line",
                        "umbractl events --follow --vm web1");
  verb.add_flag_function(
      "-f,--follow", [request](std::int64_t) { request->set_follow(true); }, "Go on with new events as they come");
  add_text(verb, "--vm", "VM", "Only this VM's", [request](const std::string& vm) { request->set_vm(vm); });
  verb.add_option_function<std::uint32_t>(
          "--last", [request](std::uint32_t last) { request->set_last(last); }, "How many past ones (100)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      return talk(context, [=](v1::FleetClient fleet) { return show_events(fleet, *request, context); });
    };
  });
}

}  // namespace umbra::cli
