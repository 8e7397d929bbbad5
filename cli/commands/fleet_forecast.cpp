#include "cli/commands/fleet_forecast.hpp"

#include <algorithm>
#include <cmath>

#include "cli/charts.hpp"
#include "cli/conversation.hpp"
#include "cli/output/fan_chart.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"
#include "cli/whole_file.hpp"
#include "forecast_io/stamps.hpp"

namespace umbra::cli {
namespace {

/// A reply, and which of its quantiles is which.
class FleetForecast {
 public:
  FleetForecast(const FleetForecastWish& wish, const v1::ForecastReply& reply)
      : wish_(wish), reply_(reply), levels_(levels_of(wish)) {}

  /// All quantiles that are needed, ascending.
  static std::vector<double> levels_of(const FleetForecastWish& wish) {
    auto levels = wish.quantiles;
    add_band_levels(wish.interval, levels);
    return distinct(std::move(levels));
  }

  std::string table(bool colour) const;
  boost::json::object json() const;
  FanFigure figure() const;

 private:
  double quantile(int step, double level) const {
    const auto place = std::lower_bound(levels_.begin(), levels_.end(), level) - levels_.begin();
    return reply_.steps(step).quantiles(static_cast<int>(place));
  }
  double lower(int step) const { return quantile(step, lower_of(wish_.interval)); }
  double upper(int step) const { return quantile(step, 1 - lower_of(wish_.interval)); }
  UnixMillis at(int step) const { return reply_.begins_unix_ms() + step * reply_.step_ms(); }
  double window_ms() const {
    return static_cast<double>((wish_.window.count() > 0 ? wish_.window : wish_.horizon).count());
  }
  std::string heading() const;

  const FleetForecastWish& wish_;
  const v1::ForecastReply& reply_;
  std::vector<double> levels_;
};

std::string FleetForecast::heading() const {
  const auto step = static_cast<double>(reply_.step_ms());
  auto text = fmt::format(
      "{} ({}{}): cores, {} ahead in steps of {}, learned from {}\n", printable(reply_.name()), word(reply_.scope()),
      reply_.scope() == v1::SCOPE_VM ? "" : fmt::format(", {} VM{}", reply_.vms(), reply_.vms() == 1 ? "" : "s"),
      span(static_cast<double>(wish_.horizon.count())), span(step),
      span(step * static_cast<double>(reply_.learned_steps())));
  if (reply_.vms_unknown() > 0)
    text += fmt::format("{} of them without any history yet, counted as nothing\n", reply_.vms_unknown());
  if (reply_.capacity() > 0)
    text += fmt::format("{} that {:.3g} cores are exceeded within {}\n", percent(reply_.exceed_probability()),
                        reply_.capacity(), span(window_ms()));
  if (reply_.growth_probability() >= 0.5)
    text +=
        fmt::format("{} certain that it grows in a way that was not expected\n", percent(reply_.growth_probability()));
  return text;
}

std::string FleetForecast::table(bool colour) const {
  constexpr auto kRight = Table::Align::kRight;
  const auto share = fmt::format("{:g}%", wish_.interval * 100);  // of cases, which lie between the two
  std::vector<Table::Column> columns{"FROM", {"MEAN", kRight}, {"LOWER " + share, kRight}, {"UPPER " + share, kRight}};
  for (const auto level : wish_.quantiles) columns.push_back({fmt::format("Q{}", level), kRight});
  Table table(std::move(columns));
  for (int step = 0; step < reply_.steps_size(); ++step) {
    std::vector<Cell> row{local_time(at(step)), fmt::format("{:.3f}", reply_.steps(step).mean()),
                          fmt::format("{:.3f}", lower(step)), fmt::format("{:.3f}", upper(step))};
    for (const auto level : wish_.quantiles) row.emplace_back(fmt::format("{:.3f}", quantile(step, level)));
    table.add(std::move(row));
  }
  return heading() + table.render(colour);
}

boost::json::object FleetForecast::json() const {
  boost::json::object out{{"name", reply_.name()},
                          {"scope", word(reply_.scope())},
                          {"vms", reply_.vms()},
                          {"vms_unknown", reply_.vms_unknown()},
                          {"learned_steps", reply_.learned_steps()},
                          {"step_s", reply_.step_ms() / 1000}};
  if (reply_.capacity() > 0) {
    out["capacity"] = reply_.capacity();
    out["p_exceed"] = reply_.exceed_probability();
  }
  if (reply_.scope() != v1::SCOPE_HOST) out["growth_probability"] = reply_.growth_probability();
  boost::json::array steps;
  for (int step = 0; step < reply_.steps_size(); ++step) {
    boost::json::object told{{"step", step + 1},
                             {"at", forecast::written(at(step), forecast::TimeKind::kIso)},
                             {"mean", reply_.steps(step).mean()},
                             {"lower", lower(step)},
                             {"upper", upper(step)}};
    if (!wish_.quantiles.empty()) {
      boost::json::object asked;
      for (const auto level : wish_.quantiles) asked[fmt::format("{}", level)] = quantile(step, level);
      told["quantiles"] = std::move(asked);
    }
    steps.push_back(std::move(told));
  }
  out["steps"] = std::move(steps);
  return out;
}

FanFigure FleetForecast::figure() const {
  FanFigure figure;
  figure.title = reply_.name();
  figure.subtitle = fmt::format("CPU demand of this {}, forecast {} ahead from {}", word(reply_.scope()),
                                span(static_cast<double>(wish_.horizon.count())),
                                forecast::written(reply_.begins_unix_ms(), forecast::TimeKind::kIso));
  figure.unit = "cores";
  auto& panel = figure.panels.emplace_back();
  panel.title = reply_.name();
  for (int step = 0; step < reply_.history_size(); ++step)
    panel.history.push_back({reply_.history_begins_unix_ms() + step * reply_.step_ms(), reply_.history(step)});
  Fan fan;
  fan.label = "now";
  if (!panel.history.empty() && std::isfinite(panel.history.back().value)) fan.from = panel.history.back();
  for (int step = 0; step < reply_.steps_size(); ++step) fan.steps.push_back({at(step), reply_.steps(step).mean()});
  fan.bands = bands_of(wish_.interval, fan.steps.size(),
                       [this](std::size_t step, double level) { return quantile(static_cast<int>(step), level); });
  panel.fans.push_back(std::move(fan));
  if (reply_.capacity() > 0)
    panel.capacity = ChartCapacity{reply_.capacity(), reply_.exceed_probability(), "in " + span(window_ms())};
  return figure;
}

/// @error there is nothing to forecast from
Result<void> check_known(const v1::ForecastReply& reply) {
  if (reply.steps_size() > 0) return {};
  if (reply.vms() == 0)
    return fail(
        {Errc::kNotFound, fmt::format("{} {} has no VMs", word(reply.scope()), reply.name()), "see umbractl vms"});
  return fail({Errc::kNotFound, fmt::format("nothing is known yet of the demand of {}", reply.name()),
               "wait until its agent has reported for some minutes, or give a history: umbractl telemetry import"});
}

}  // namespace

Outcome forecast_fleet(const Context& context, const FleetForecastWish& wish) {
  if (!wish.svg.empty())
    if (const auto writable = check_writable(wish.svg); !writable) return misused(writable.error());
  v1::ForecastRequest request;
  request.set_name(wish.name);
  for (const auto scope : {v1::SCOPE_VM, v1::SCOPE_HOST, v1::SCOPE_ACCOUNT, v1::SCOPE_ZONE})
    if (wish.of == word(scope)) request.set_scope(scope);
  request.set_horizon_ms(wish.horizon.count());
  request.set_window_ms(wish.window.count());
  if (!wish.svg.empty()) request.set_history_ms(wish.history.count());
  if (wish.capacity) request.set_capacity(*wish.capacity);
  for (const auto level : FleetForecast::levels_of(wish)) request.add_levels(level);

  std::optional<v1::ForecastReply> reply;
  const auto keep = [&](const v1::ForecastReply& answer) {
    reply = answer;
    return ExitCode::kOk;
  };
  auto asked = ask<v1::ForecastRequest, v1::ForecastReply>(context, &v1::FleetClient::forecast, request, keep);
  if (!asked || !reply) return asked;
  if (const auto known = check_known(*reply); !known) return failed(known.error());
  const FleetForecast forecast(wish, *reply);
  if (!wish.svg.empty()) {
    auto figure = forecast.figure();
    if (const auto written = write_figure(figure, 1, wish.svg); !written) return failed(written.error());
  }
  print(context.json() ? serialize(forecast.json()) + "\n" : forecast.table(context.colour));
  return ExitCode::kOk;
}

}  // namespace umbra::cli
