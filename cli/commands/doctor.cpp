// doctor: is everything as it should be, here, at the controller and on every host.
#include <CLI/App.hpp>
#include "base/clock.hpp"
#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "rpc/x509.hpp"

namespace umbra::cli {
namespace {

constexpr std::chrono::days kRenewBefore{30};

v1::Check local_check(std::string name, bool ok, std::string detail, std::string remedy = {}) {
  v1::Check check;
  check.set_node("umbractl");
  check.set_name(std::move(name));
  check.set_ok(ok);
  check.set_detail(std::move(detail));
  check.set_remedy(std::move(remedy));
  return check;
}

v1::Check version_check(const std::string& controller) {
  const bool same = controller == UMBRA_VERSION;
  return local_check("version", same, fmt::format("umbractl {}, controller {}", UMBRA_VERSION, controller),
                     same ? "" : "install the same version everywhere");
}

/// Warns in time: an expired certificate shuts its owner out.
v1::Check certificate_check(const std::filesystem::path& file) {
  const auto certificate = rpc::x509::read_certificate(file);
  if (!certificate) return local_check("certificate", false, certificate.error().message, certificate.error().remedy);
  const auto ends = rpc::x509::not_after(**certificate);
  const bool fresh = ends - SystemClock().unix_ms() / 1000 > std::chrono::seconds(kRenewBefore).count();
  return local_check(
      "certificate", fresh,
      fmt::format("{}, valid until {}", rpc::x509::subject_of(**certificate), rpc::x509::time_text(ends)),
      fresh ? "" : "renew it with `umbractl pki renew`");
}

Task<ExitCode> collect(v1::FleetClient fleet, Deadline deadline, v1::DoctorReply* found) {
  const v1::GetVersionRequest which;
  UMBRA_CO_TRY(const auto version, co_await fleet.get_version(which, deadline));
  *found->add_checks() = version_check(version.version());
  const v1::DoctorRequest whole;
  UMBRA_CO_TRY(const auto reply, co_await fleet.doctor(whole, deadline));
  found->mutable_checks()->MergeFrom(reply.checks());
  co_return ExitCode::kOk;
}

std::string checks_text(const v1::DoctorReply& found, bool colour) {
  Table table({"WHERE", "CHECK", "RESULT", "DETAIL"});
  for (const auto& check : found.checks())
    table.add({check.node(), check.name(), check.ok() ? Cell("ok", Style::kGood) : Cell("FAILED", Style::kBad),
               check.detail()});
  auto text = table.render(colour);
  for (const auto& check : found.checks())
    if (!check.ok() && !check.remedy().empty())
      text +=
          fmt::format("\n{}, {}: {}\n", printable(check.node()), printable(check.name()), printable(check.remedy()));
  return text;
}

Outcome examine(const Context& context) {
  const auto& settings = context.settings;
  v1::DoctorReply found;
  *found.add_checks() =
      local_check("configuration", true,
                  settings.config_file.empty() ? "no file, flags and environment only" : settings.config_file.string());
  if (!settings.tls.certificate.empty()) *found.add_checks() = certificate_check(settings.tls.certificate);

  v1::DoctorReply remote;
  auto outcome = talk(context, [&](v1::FleetClient fleet) { return collect(fleet, settings.timeout, &remote); });
  if (outcome == ExitCode::kInterrupted) return outcome;
  *found.add_checks() =
      outcome ? local_check("controller", true, "reached at " + settings.controller)
              : local_check("controller", false, outcome.error().error.message, outcome.error().error.remedy);
  found.mutable_checks()->MergeFrom(remote.checks());

  const bool healthy =
      std::all_of(found.checks().begin(), found.checks().end(), [](const auto& check) { return check.ok(); });
  if (context.json()) {
    auto json = to_json(found);
    json.as_object().emplace("ok", healthy);
    print(serialize(json) + "\n");
  } else {
    print(checks_text(found, context.colour));
  }
  if (!outcome) return outcome.error().code;  // told above, with its remedy
  return healthy ? ExitCode::kOk : ExitCode::kFailed;
}

}  // namespace

void add_doctor_verb(CLI::App& app, Action& action) {
  auto& verb =
      add_verb(app, "doctor", "Check configuration, connection, hosts and their hold; exit status 1 if something fails",
               "umbractl doctor");
  verb.callback([&action] { action = examine; });
}

}  // namespace umbra::cli
