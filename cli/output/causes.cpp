#include "cli/output/causes.hpp"

#include <cmath>
#include <numeric>

#include "base/units.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

using Causes = google::protobuf::RepeatedPtrField<v1::Cause>;

void add_shares(boost::json::value& owner, const Causes& causes) {
  const auto parts = shares(causes);
  auto& list = owner.at("causes").as_array();
  for (std::size_t i = 0; i < list.size(); ++i) list[i].as_object().emplace("share", parts[i]);
}

/// The causes with their shares, the weightiest first, those without any left out.
std::vector<std::pair<double, const v1::Cause*>> ranked(const Causes& causes) {
  const auto parts = shares(causes);
  std::vector<std::pair<double, const v1::Cause*>> list;
  for (int i = 0; i < causes.size(); ++i)
    if (const auto share = parts[static_cast<std::size_t>(i)]; share > 0) list.emplace_back(share, &causes[i]);
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  return list;
}

std::string shadow_words(const v1::VmView& view) {
  if (!view.vm().refusal().empty()) return fmt::format("It cannot have a shadow: {}.", view.vm().refusal());
  const auto wanted =
      fmt::format("Wanted tier: {}{}.", word(view.tier()), view.pinned() ? ", pinned by the operator" : "");
  if (!view.has_shadow()) return wanted + " It has no shadow.";
  return fmt::format("{} Its shadow on {} is {}.", wanted, view.shadow().standby(), word(view.shadow().phase()));
}

std::string decision_text(const v1::Decision& decision, std::int64_t now) {
  std::string because;
  for (const auto& [share, cause] : ranked(decision.causes()))
    because += fmt::format("{}{} {}", because.empty() ? ": " : ", ", cause->name(), percent(share));
  auto text = fmt::format("  {:<11}  {}\n               at {}{}\n", age(decision.at_unix_ms(), now),
                          printable(decision.action()), percent(decision.migration_probability()), printable(because));
  if (!decision.reason().empty()) text += fmt::format("               {}\n", printable(decision.reason()));
  if (!decision.outcome().empty()) text += fmt::format("               outcome: {}\n", printable(decision.outcome()));
  return text;
}

std::string cores(double count) {
  return fmt::format("{:.2f}", count);
}

/// Without a look there is no demand to show, and without a forecast no peak.
Table profiles_table(const v1::WhyReply& reply, std::int64_t now) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({"  ZONE", "HOST", {"MEMORY", kRight}, {"CPU", kRight}, {"PEAK", kRight}, "LOOKED AT", "VERDICT"});
  for (const auto& profile : reply.profiles())
    table.add({"  " + profile.zone(), profile.host().empty() ? Cell("none", Style::kWarn) : Cell(profile.host()),
               to_string(Bytes{profile.memory_bytes()}),
               profile.updated_unix_ms() > 0 ? cores(profile.cpus_used()) : "",
               profile.cpus_peak() > 0 ? cores(profile.cpus_peak()) : "", age(profile.updated_unix_ms(), now),
               profile.verdict().empty() ? "fits" : profile.verdict()});
  return table;
}

}  // namespace

std::vector<double> shares(const Causes& causes) {
  std::vector<double> weights;
  const auto certain =
      std::count_if(causes.begin(), causes.end(), [](const auto& cause) { return cause.probability() >= 1; });
  for (const auto& cause : causes) {
    const auto p = std::clamp(cause.probability(), 0.0, 1.0);
    weights.push_back(certain > 0 ? (p >= 1 ? 1.0 : 0.0) : -std::log1p(-p));
  }
  const auto sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sum > 0)
    for (auto& weight : weights) weight /= sum;
  return weights;
}

boost::json::value why_json(const v1::WhyReply& reply) {
  auto json = to_json(reply);
  if (reply.has_vm()) add_shares(json.at("vm"), reply.vm().causes());
  auto& decisions = json.at("decisions").as_array();
  for (int i = 0; i < reply.decisions_size(); ++i)
    add_shares(decisions[static_cast<std::size_t>(i)], reply.decisions(i).causes());
  return json;
}

std::string why_text(const v1::WhyReply& reply, std::int64_t now_unix_ms, bool colour) {
  const auto& view = reply.vm();
  auto text = fmt::format("{} on {} (zone {}) has a migration probability of {}.\n",
                          styled(printable(view.vm().name()), Style::kStrong, colour), printable(view.host()),
                          printable(view.zone()), percent(view.migration_probability()));
  text += printable(shadow_words(view)) + "\n";

  const auto causes = ranked(view.causes());
  text += causes.empty() ? "\nNothing speaks for a move.\n" : "\nWhat speaks for a move, and its share:\n";
  for (const auto& [share, cause] : causes)
    text += fmt::format("  {:>5}  {}, {} by itself{}{}\n", percent(share), printable(cause->name()),
                        percent(cause->probability()), cause->detail().empty() ? "" : ": ", printable(cause->detail()));
  std::string silent;
  for (const auto& cause : view.causes())
    if (cause.probability() <= 0) silent += (silent.empty() ? "" : ", ") + cause.name();
  if (!silent.empty() && !causes.empty()) text += fmt::format("  Nothing comes from: {}.\n", printable(silent));

  if (!reply.profiles().empty()) text += "\nWhere it could go:\n" + profiles_table(reply, now_unix_ms).render(colour);

  text += reply.decisions().empty() ? "\nNo decision has been made about it yet.\n" : "\nDecisions, newest first:\n";
  for (const auto& decision : reply.decisions()) text += decision_text(decision, now_unix_ms);
  return text;
}

}  // namespace umbra::cli
