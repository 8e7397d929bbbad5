/// One way to continue a series. Several of them, weighted by how well each did lately, make a forecast
/// (combination.hpp).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "forecast/models/history.hpp"
#include "forecast/stored.hpp"

namespace umbra::forecast {

/// What is known of each step beforehand, past and future alike (calendar, prices): one row of `width` numbers a step,
/// scaled to about -1 … 1, 0 when nothing is special.
struct Known {
  std::span<const double> rows;
  std::size_t width = 0;

  std::span<const double> row(std::size_t index) const { return rows.subspan(index * width, width); }
  Known from(std::size_t index, std::size_t count) const { return {rows.subspan(index * width, count * width), width}; }
};

/// Ends the names of models that see the series in logarithms.
inline constexpr std::string_view kLogSuffix = "-log";

/// Deterministic; no model looks at anything but its arguments and what it has observed.
class Model {
 public:
  virtual ~Model() = default;

  virtual std::string_view name() const = 0;
  /// What it has in common with a model that does the same in another scale: the name, without the scale's suffix.
  std::string_view family() const { return name().substr(0, name().find(kLogSuffix)); }
  /// Steps of history that it needs before it has an opinion.
  virtual std::size_t warmup() const = 0;
  /// May it say what lies far outside of all that was seen? Most may not.
  virtual bool knows_what_was_never_seen() const { return false; }
  /// Takes in history.back(). Called once a step, in order, from a series' first on.
  /// @param known the row of that step
  virtual void observe(const History& history, std::span<const double> known) = 0;
  /// Writes what comes after `history`, all of which was observed, and which is no shorter than warmup().
  /// @param known one row for each step of `out`
  virtual void forecast(const History& history, const Known& known, std::span<double> out) = 0;

  /// How far what it has learned is from what it took for likely before, in that belief's standard deviations; nothing
  /// of a model without such a belief.
  virtual std::optional<double> moved_from_prior() const { return std::nullopt; }

  /// Writes what it has learned; what it was made with is not part of that.
  virtual void save(StateWriter&) const {}
  /// Reads it into a model that was made the same way.
  virtual void load(StateReader&) {}
};

using Models = std::vector<std::unique_ptr<Model>>;

}  // namespace umbra::forecast
