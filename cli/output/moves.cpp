#include "cli/output/moves.hpp"

#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

BytesPerSecond rate(double per_second) {
  return {per_second > 0 ? static_cast<std::uint64_t>(per_second) : 0};
}

std::string headline(const v1::CutoverResult& result) {
  switch (result.outcome()) {
    case v1::OUTCOME_MOVED:
      return fmt::format("{} moved from {} to {}", result.vm(), result.from(), result.to());
    case v1::OUTCOME_ABORTED:
      return fmt::format("{} was not moved and stays on {}", result.vm(), result.from());
    case v1::OUTCOME_REFUSED:
      return fmt::format("{} was refused by {} and stays on {}", result.vm(), result.to(), result.from());
    case v1::OUTCOME_UNDECIDED:
      return fmt::format("{} is paused on both {} and {}: neither can prove that it owns it", result.vm(),
                         result.from(), result.to());
    default:
      return fmt::format("{}: the outcome is not known", result.vm());
  }
}

}  // namespace

boost::json::value move_json(const v1::CutoverResult& result) {
  boost::json::array phases;
  for (const auto& phase : result.phases()) phases.push_back(to_json(phase));
  return boost::json::object{{"vm", result.vm()},
                             {"from", result.from()},
                             {"to", result.to()},
                             {"epoch", result.epoch()},
                             {"blackout_ms", result.blackout_ms()},
                             {"reach_ms", result.reach_ms()},
                             {"phases", std::move(phases)},
                             {"outcome", word(result.outcome())},
                             {"blackout_error_ms", result.blackout_error_ms()},
                             {"detail", result.detail()},
                             {"reason", result.reason()}};
}

std::string move_text(const v1::CutoverResult& result, bool colour) {
  const bool moved = result.outcome() == v1::OUTCOME_MOVED;
  auto text = styled(printable(headline(result)), moved ? Style::kGood : Style::kBad, colour) +
              fmt::format(" (epoch {})\n", result.epoch());
  if (moved)
    text += fmt::format("  blackout  {} (± {})\n  reached   after {}\n", span(result.blackout_ms()),
                        span(result.blackout_error_ms()), span(result.reach_ms()));
  if (!result.reason().empty()) text += fmt::format("  asked     {}\n", printable(result.reason()));
  if (!result.detail().empty()) text += fmt::format("  detail    {}\n", printable(result.detail()));
  if (result.phases().empty()) return text;
  Table table({"  PHASE", {"AT", Table::Align::kRight}, {"TOOK", Table::Align::kRight}});
  for (const auto& phase : result.phases())
    table.add({"  " + phase.name(), span(phase.at_ms()), span(phase.took_ms())});
  return text + "\n" + table.render(colour);
}

ProgressState progress_of(const v1::MoveProgress& move) {
  const Bytes total{move.total_bytes()};
  return {move.vm(),
          move.phase(),
          total - Bytes{move.remaining_bytes()},
          total,
          rate(move.rate_bytes_per_second()),
          rate(move.dirty_bytes_per_second()),
          move.eta_ms()};
}

ProgressState progress_of(const v1::Shadow& shadow) {
  const Bytes total{shadow.total_bytes()};
  const auto sending = rate(shadow.rate_bytes_per_second());
  // What gets dirty meanwhile must be sent too; a guest that outruns the link has no arrival time.
  const double gain = shadow.rate_bytes_per_second() - shadow.dirty_bytes_per_second();
  const double eta_ms = gain > 0 ? static_cast<double>(shadow.remaining_bytes()) / gain * 1000 : 0;
  return {shadow.vm_name(),
          word(shadow.phase()),
          total - Bytes{shadow.remaining_bytes()},
          total,
          sending,
          rate(shadow.dirty_bytes_per_second()),
          eta_ms};
}

}  // namespace umbra::cli
