// shadow keep, shadow drop: pin a shadow, or let it go.
#include <CLI/App.hpp>
#include "base/config.hpp"
#include "base/printable.hpp"
#include "base/units.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
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
  add_text(verb, "--tier", "TIER",
           "How warm: staged (a paused QEMU), warm (memory pre-copied), hot (always fresh); default warm",
           [request](const std::string& tier) { request->set_tier(kTiers.at(tier)); })
      ->check(CLI::IsMember({"staged", "warm", "hot"}));
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

}  // namespace

void add_shadow_verbs(CLI::App& app, Action& action) {
  auto& shadow = add_verb(app, "shadow", "Keep or drop the shadow of a VM", "umbractl shadow keep web1");
  shadow.require_subcommand(1);
  add_keep(shadow, action);
  add_drop(shadow, action);
}

}  // namespace umbra::cli
