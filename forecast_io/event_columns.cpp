#include <algorithm>
#include <map>
#include <span>

#include "forecast_io/calendar_file.hpp"

namespace umbra::forecast {
namespace {

struct Span {
  UnixMillis start = 0, end = 0;
};

/// Adds to a column the share of each step that lies within `span`.
void cover(Span span, const Steps& steps, std::size_t count, std::size_t column, std::size_t width,
           std::vector<double>& rows) {
  for (auto i = steps.index(span.start); i < static_cast<std::int64_t>(count); ++i) {
    const auto begin = steps.at(i), end = steps.at(i + 1);
    if (begin >= span.end) return;
    const auto within = std::min(end, span.end) - std::max(begin, span.start);
    rows[static_cast<std::size_t>(i) * width + column] +=
        static_cast<double>(within) / static_cast<double>(end - begin);
  }
}

/// Events that overlap count once.
std::vector<Span> merged(std::vector<Span> spans) {
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.start < b.start; });
  std::vector<Span> out;
  for (const auto& span : spans) {
    if (!out.empty() && span.start <= out.back().end)
      out.back().end = std::max(out.back().end, span.end);
    else
      out.push_back(span);
  }
  return out;
}

using ByName = std::map<std::string_view, std::vector<Span>>;

/// The names that get a column of their own, the most frequent first.
std::vector<std::string_view> own_columns(const ByName& by_name, std::size_t most) {
  std::vector<std::string_view> names;
  for (const auto& [name, spans] : by_name)
    if (spans.size() > 1) names.push_back(name);
  std::stable_sort(names.begin(), names.end(),
                   [&](std::string_view a, std::string_view b) { return by_name.at(a).size() > by_name.at(b).size(); });
  const bool rest = names.size() < by_name.size();
  if (names.size() + static_cast<std::size_t>(rest) > most) names.resize(most - 1);
  return names;
}

}  // namespace

Result<KnownColumns> event_columns(const Calendar& calendar, TimeKind kind, const Steps& steps, std::size_t count,
                                   std::size_t most) {
  if ((calendar.kind == TimeKind::kSteps) != (kind == TimeKind::kSteps))
    return fail({Errc::kInvalid,
                 fmt::format("{}: one of its events and the series is written in times and the other in step numbers",
                             calendar.file),
                 "write both in the same way"});
  const auto first = steps.at(0), end = steps.at(static_cast<std::int64_t>(count));
  ByName by_name;
  for (const auto& event : calendar.events)
    if (event.start < end && event.end > first && event.start < event.end)
      by_name[event.name].push_back({std::max(event.start, first), std::min(event.end, end)});

  KnownColumns columns;
  auto names = own_columns(by_name, most);
  std::vector<Span> others;
  for (const auto& [name, spans] : by_name)
    if (std::find(names.begin(), names.end(), name) == names.end())
      others.insert(others.end(), spans.begin(), spans.end());
  const auto width = names.size() + static_cast<std::size_t>(!others.empty());
  columns.rows.assign(count * width, 0);
  const auto add = [&](std::string_view name, std::vector<Span> spans) {
    for (const auto& span : merged(std::move(spans)))
      cover(span, steps, count, columns.names.size(), width, columns.rows);
    columns.names.emplace_back(name);
  };
  for (const auto& name : names) add(name, by_name.at(name));
  if (!others.empty()) add(kOtherEvents, std::move(others));
  return columns;
}

}  // namespace umbra::forecast
