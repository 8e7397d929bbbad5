// events: what happened, and what happens.
#include <CLI/App.hpp>
#include <deque>

#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"
#include "cli/times.hpp"

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

constexpr std::uint32_t kUsualLast = 100;
constexpr std::uint32_t kMostLast = 100'000;  // the controller's limit

/// What is asked for. The controller knows `vm` alone; the rest is sorted out here.
struct EventsWish {
  bool follow = false;
  std::optional<std::uint32_t> last;
  std::string vm, since, host;
  std::optional<v1::EventKind> kind;
  v1::Severity least = v1::SEVERITY_INFO;

  bool sorts_out() const { return !since.empty() || !host.empty() || kind || least != v1::SEVERITY_INFO; }
};

bool passes(const EventsWish& wish, UnixMillis since, const v1::Event& event) {
  return event.at_unix_ms() >= since && (wish.host.empty() || wish.host == event.node()) &&
         (!wish.kind || *wish.kind == event.kind()) && event.severity() >= wish.least;
}

/// How many past events the controller is asked for: enough that so many of them pass. While following it is not
/// known which ones are past, so that as many are looked through as are to be shown.
v1::WatchEventsRequest request_for(const EventsWish& wish) {
  v1::WatchEventsRequest request;
  request.set_follow(wish.follow);
  request.set_vm(wish.vm);
  const bool all = !wish.since.empty() || (wish.sorts_out() && !wish.follow);
  request.set_last(all ? kMostLast : wish.last.value_or(kUsualLast));
  return request;
}

void show(const std::deque<v1::Event>& events, const Context& context) {
  boost::json::array list;
  for (const auto& event : events) {
    if (context.json())
      list.push_back(to_json(event));
    else
      print(event_line(event, context.colour));
  }
  if (context.json()) print(serialize(boost::json::object{{"events", std::move(list)}}) + "\n");
}

Task<ExitCode> show_events(v1::FleetClient fleet, EventsWish wish, UnixMillis since, Context context) {
  auto request = request_for(wish);
  const auto deadline = wish.follow ? rpc::kNoDeadline : context.settings.timeout;
  UMBRA_CO_TRY(auto stream, co_await fleet.watch_events(std::move(request), deadline));
  const std::size_t most = wish.last.value_or(wish.since.empty() ? kUsualLast : kMostLast);
  std::deque<v1::Event> events;
  while (true) {
    UMBRA_CO_TRY(const auto event, co_await stream.next());
    if (!event) break;
    if (!passes(wish, since, *event)) continue;
    if (wish.follow) {
      print(context.json() ? serialize(to_json(*event)) + "\n" : event_line(*event, context.colour));
      std::fflush(stdout);  // whoever reads the pipe wants it now
      continue;
    }
    events.push_back(*event);
    if (events.size() > most) events.pop_front();
  }
  if (!wish.follow) show(events, context);
  co_return ExitCode::kOk;
}

/// An option whose value is a word of an enum of the wire, but for "unspecified".
template <class Enum>
void add_enum(CLI::App& verb, const char* name, const char* what, std::function<void(Enum)> set) {
  std::map<std::string, Enum> values;
  std::string words;
  const auto& type = *google::protobuf::GetEnumDescriptor<Enum>();
  for (int i = 0; i < type.value_count(); ++i) {
    const auto value = static_cast<Enum>(type.value(i)->number());
    if (word(value) == "unspecified") continue;
    values[word(value)] = value;
    words += (words.empty() ? "" : "|") + word(value);
  }
  add_choice(verb, name, words, what, [=](const std::string& given) { set(values.at(given)); });
}

}  // namespace

void add_event_verbs(CLI::App& app, Action& action) {
  auto wish = std::make_shared<EventsWish>();
  auto& verb = add_verb(app, "events", "Show what happened; with -o json --follow, one object a line",
                        "umbractl events --since 2h --severity warning --host host1");
  verb.add_flag("-f,--follow", wish->follow, "Go on with new events as they come");
  add_text(verb, "--vm", "VM", "Only this VM's", [wish](const std::string& vm) { wish->vm = vm; });
  add_text(verb, "--host", "HOST", "Only this host's", [wish](const std::string& host) { wish->host = host; });
  add_text(verb, "--since", "T", "From then on: a duration before now (2h), or a time like 2026-05-01T12:00:00Z",
           [wish](const std::string& text) { wish->since = text; });
  add_enum<v1::EventKind>(verb, "--kind", "Only of this kind", [wish](v1::EventKind kind) { wish->kind = kind; });
  add_enum<v1::Severity>(verb, "--severity", "Only those that are so severe or worse",
                         [wish](v1::Severity least) { wish->least = least; });
  verb.add_option_function<std::uint32_t>(
          "--last", [wish](std::uint32_t last) { wish->last = last; }, "How many past ones (100; with --since, all)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  when_given(verb, action, [wish](const Context& context) -> Outcome {
    UnixMillis since = 0;
    if (!wish->since.empty()) {
      const auto parsed = parse_since(wish->since, SystemClock().unix_ms());
      if (!parsed) return misused(parsed.error());
      since = *parsed;
    }
    return talk(context, [&](v1::FleetClient fleet) { return show_events(fleet, *wish, since, context); });
  });
}

}  // namespace umbra::cli
