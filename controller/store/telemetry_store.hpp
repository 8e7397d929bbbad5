/// Utilisation histories: as they came for two hours, 5-minute means for 60 days, hourly means after that.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/sqlite.hpp"
#include "forecast/series.hpp"

namespace umbra::controller {

/// Names of the metrics, as in TelemetrySample.metric.
inline constexpr std::array<std::string_view, 7> kMetrics{"cpu",       "memory",     "net_rx", "net_tx",
                                                          "disk_read", "disk_write", "dirty"};

struct TelemetryPoint {
  std::string_view vm_uuid;
  std::string_view metric;
  UnixMillis at = 0;
  double value = 0;
};

/// Errors are sqlite::Database's.
class TelemetryStore {
 public:
  static constexpr Milliseconds kRawKept{std::chrono::hours(2)};
  static constexpr Milliseconds kFiveMinutesKept{std::chrono::hours(24 * 60)};

  explicit TelemetryStore(sqlite::Database database) : database_(std::move(database)) {}

  struct Added {
    std::uint64_t stored = 0;
    std::uint64_t replaced = 0;  ///< of those, how many were there already (same VM, metric, time)
  };
  /// All or none. A point of a time whose mean was taken already replaces that mean.
  Result<Added> add(std::span<const TelemetryPoint> points);

  /// Means per `step` of the points in [from, to), oldest first, for forecast::resample.
  Result<std::vector<forecast::Point>> history(std::string_view vm_uuid, std::string_view metric, UnixMillis from,
                                               UnixMillis to, Milliseconds step);

  /// What a forecaster of this history knew when it had been shown all before `at`.
  struct Knowledge {
    UnixMillis at = 0;
    std::string state;
  };
  Result<std::optional<Knowledge>> knowledge(std::string_view vm_uuid, std::string_view metric);
  Result<void> save_knowledge(std::string_view vm_uuid, std::string_view metric, const Knowledge& knowledge);
  Result<void> forget_knowledge(std::string_view vm_uuid, std::string_view metric);

  /// Takes means of what is old enough. To be called now and then.
  Result<void> roll_up(UnixMillis now);

 private:
  Result<std::int64_t> series_id(std::string_view vm_uuid, std::string_view metric);
  sqlite::Database database_;
};

}  // namespace umbra::controller
