// shadows, shadow show: those that there are. shadow keep, shadow drop: pin one, or let it go.
#include <CLI/App.hpp>
#include "base/config.hpp"
#include "base/printable.hpp"
#include "base/units.hpp"
#include "cli/listing.hpp"
#include "cli/output/cells.hpp"
#include "cli/output/details.hpp"
#include "cli/output/moves.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

const std::map<std::string, v1::Tier> kTiers{
    {"staged", v1::TIER_STAGED}, {"warm", v1::TIER_WARM}, {"hot", v1::TIER_HOT}};

constexpr std::chrono::hours kLongestInterval{24};  // the controller's limit

std::string shadow_text(const v1::Shadow& shadow) {
  auto text = fmt::format("the shadow of {} on {} is {}", printable(shadow.vm_name()), printable(shadow.standby()),
                          word(shadow.phase()));
  if (shadow.total_bytes() > 0) text += fmt::format(", {}", to_string(Bytes{shadow.total_bytes()}));
  if (shadow.phase() == v1::SHADOW_PHASE_WARM && shadow.refresh_interval_ms() > 0)
    text += fmt::format(", refreshed every {}", span(static_cast<double>(shadow.refresh_interval_ms())));
  if (!shadow.detail().empty()) text += fmt::format(" ({})", printable(shadow.detail()));
  return text + "\n";
}

/// True when the shadow holds at least what the tier promises.
bool reached(v1::Tier tier, v1::ShadowPhase phase) {
  switch (phase) {
    case v1::SHADOW_PHASE_STAGED:
      return tier == v1::TIER_STAGED;
    case v1::SHADOW_PHASE_WARM:
      return tier != v1::TIER_HOT;
    case v1::SHADOW_PHASE_HOT:
      return true;
    default:
      return false;
  }
}

Task<ExitCode> keep(v1::FleetClient fleet, v1::PinShadowRequest request, Context context) {
  UMBRA_CO_TRY(auto stream, co_await fleet.keep_shadow(request, rpc::kNoDeadline));
  Progress progress(context.progress, stderr);
  std::optional<v1::Shadow> last;
  while (true) {
    UMBRA_CO_TRY(auto shadow, co_await stream.next());
    if (!shadow) break;
    progress.show(progress_of(*shadow));
    last = std::move(shadow);
  }
  progress.clear();
  if (!last)
    co_return fail({Errc::kInternal, fmt::format("the controller said nothing of the shadow of {}", request.vm()),
                    fmt::format("look at `umbractl shadows {}`", request.vm())});
  print(context.json() ? serialize(to_json(*last)) + "\n" : shadow_text(*last));
  if (request.wait() && !reached(request.tier(), last->phase())) co_return ExitCode::kFailed;
  co_return ExitCode::kOk;
}

void add_keep(CLI::App& parent, Action& action) {
  auto request = std::make_shared<v1::PinShadowRequest>();
  request->set_tier(v1::TIER_WARM);
  request->set_wait(true);
  auto& verb =
      add_verb(parent, "keep", "Pin a shadow of a VM until it is dropped, and wait until it is as warm as asked",
               "umbractl shadow keep web1 --to host2 --tier warm --refresh-interval 5s");
  add_argument(verb, "VM", "Name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  add_text(verb, "--to", "HOST", "The standby host; otherwise the controller chooses",
           [request](const std::string& host) { request->set_to(host); });
  add_choice(verb, "--tier", "staged|warm|hot",
             "How warm: staged (a paused QEMU), warm (memory pre-copied), hot (always fresh); default warm",
             [request](const std::string& tier) { request->set_tier(kTiers.at(tier)); });
  add_text(verb, "--refresh-interval", "DURATION",
           "How often a warm shadow is brought up to date; otherwise the host's own setting",
           [request](const std::string& text) {
             const auto interval = parse_duration(text);
             if (!interval || interval->count() == 0)
               throw CLI::ValidationError("--refresh-interval", fmt::format("'{}' is not a duration like 5s", text));
             if (*interval > kLongestInterval)
               throw CLI::ValidationError("--refresh-interval", fmt::format("'{}' is longer than a day", text));
             request->set_refresh_interval_ms(interval->count());
           });
  verb.add_flag_function(
      "--no-wait", [request](std::int64_t) { request->set_wait(false); }, "Return once it is admitted");
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      return talk(context, [=](v1::FleetClient fleet) { return keep(fleet, *request, context); });
    };
  });
}

void add_drop(CLI::App& parent, Action& action) {
  auto request = std::make_shared<v1::UnpinShadowRequest>();
  auto& verb = add_verb(parent, "drop", "Drop a VM's shadow, also to allow hot-plug or `virsh save`",
                        "umbractl shadow drop web1");
  add_argument(verb, "VM", "Name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  verb.callback([&action, request] {
    action = [request](const Context& context) {
      const auto show = [request, json = context.json()](const v1::UnpinShadowReply&) {
        print(json ? serialize(boost::json::object{{"vm", request->vm()}, {"dropped", true}}) + "\n"
                   : fmt::format("the shadow of {} is dropped\n", printable(request->vm())));
        return ExitCode::kOk;
      };
      return ask<v1::UnpinShadowRequest, v1::UnpinShadowReply>(context, &v1::FleetClient::drop_shadow, *request, show);
    };
  });
}

std::vector<Cell> shadow_row(const v1::Shadow& shadow) {
  return {shadow.vm_name(),
          shadow.source(),
          shadow.standby(),
          word(shadow.tier()),
          shadow_phase(shadow.phase()),
          bytes_cell(shadow.total_bytes()),
          bytes_cell(shadow.remaining_bytes()),
          rate_cell(shadow.dirty_bytes_per_second()),
          age_cell(shadow.refreshed_at_unix_ms()),
          span_cell(shadow.refresh_interval_ms()),
          shadow.refreshes() > 0 ? span_cell(shadow.last_refresh_ms()) : Cell(""),
          shadow.detail()};
}

Listing<v1::Shadow> shadows() {
  return {{"VM",
           "FROM",
           "TO",
           {"TIER", kLeft, 2},
           "IS",
           {"MEMORY", kRight, 1},
           {"TO SEND", kRight},
           {"DIRTY", kRight, 3},
           "REFRESHED",
           {"EVERY", kRight, 4},
           {"TOOK", kRight, 5},
           {"DETAIL", kLeft, 6}},
          shadow_row,
          {{"host", "HOST", "Only from or to this host",
            [](const v1::Shadow& shadow, const std::string& host) {
              return shadow.source() == host || shadow.standby() == host;
            }},
           {"state", "PHASE", "Only those that are so: staging, staged, precopy, warm, hot, …",
            [](const v1::Shadow& shadow, const std::string& phase) { return word(shadow.phase()) == phase; }}},
          "no VM has a shadow"};
}

std::string details_text(const v1::Shadow& shadow, bool colour) {
  Details details;
  details.add("vm", {shadow.vm_name(), Style::kStrong});
  details.add("uuid", shadow.vm_uuid());
  details.add("from", shadow.source());
  details.add("to", shadow.standby());
  details.add("tier", word(shadow.tier()));
  details.add("is", shadow_phase(shadow.phase()));
  details.add("memory", bytes_cell(shadow.total_bytes()));
  details.add("to send", bytes_cell(shadow.remaining_bytes()));
  details.add("rate", rate_cell(shadow.rate_bytes_per_second()));
  details.add("dirties", rate_cell(shadow.dirty_bytes_per_second()));
  details.add("refreshed", age_cell(shadow.refreshed_at_unix_ms()));
  details.add("refreshed every", shadow.refresh_interval_ms() > 0 ? span_cell(shadow.refresh_interval_ms()) : "");
  details.add("refreshes", count_cell(shadow.refreshes()));
  details.add("last took", shadow.refreshes() > 0 ? span_cell(shadow.last_refresh_ms()) : "");
  if (shadow.has_stream()) {
    details.add("stream", shadow.stream().mode() + (shadow.stream().encrypted() ? ", encrypted" : ""));
    details.add("stalls", count_cell(shadow.stream().stalls()));
  }
  details.add("detail", shadow.detail());
  return details.render(colour);
}

void add_shadow_show(CLI::App& parent, Action& action) {
  auto request = std::make_shared<v1::ListVmsRequest>();  // which knows a VM without a shadow from no VM at all
  auto& verb = add_verb(parent, "show", "Show all that is known of a VM's shadow", "umbractl shadow show web1");
  add_argument(verb, "VM", "Name or uuid", [request](const std::string& vm) { request->set_vm(vm); });
  when_given(verb, action, [request](const Context& context) -> Outcome {
    v1::ListVmsReply reply;
    const auto keep_reply = [&reply](const v1::ListVmsReply& answer) {
      reply = answer;
      return ExitCode::kOk;
    };
    auto asked = ask<v1::ListVmsRequest, v1::ListVmsReply>(context, &v1::FleetClient::list_vms, *request, keep_reply);
    if (!asked || *asked != ExitCode::kOk) return asked;
    if (reply.vms().empty() || !reply.vms(0).has_shadow())
      return failed({Errc::kNotFound, fmt::format("{} has no shadow", request->vm()),
                     fmt::format("make one: umbractl shadow keep {}", request->vm())});
    const auto& shadow = reply.vms(0).shadow();
    print(context.json() ? serialize(to_json(shadow)) + "\n" : details_text(shadow, context.colour));
    return ExitCode::kOk;
  });
}

}  // namespace

void add_shadow_verbs(CLI::App& app, Action& action) {
  auto request = std::make_shared<v1::ListShadowsRequest>();
  auto& list = add_verb(app, "shadows", "List shadows: where, how warm, how fresh", "umbractl shadows --host host1");
  add_argument(list, "VM", "Only this VM's", [request](const std::string& vm) {
    request->set_vm(vm);
  })->required(false);
  make_list(list, action, &v1::FleetClient::list_shadows, request, &v1::ListShadowsReply::mutable_shadows, shadows());

  auto& shadow = add_verb(app, "shadow", "Keep, drop or look at the shadow of a VM", "umbractl shadow keep web1");
  shadow.require_subcommand(1);
  add_keep(shadow, action);
  add_drop(shadow, action);
  add_shadow_show(shadow, action);
}

}  // namespace umbra::cli
