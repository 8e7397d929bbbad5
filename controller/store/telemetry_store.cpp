#include "controller/store/telemetry_store.hpp"

#include <algorithm>
#include <map>

#include "controller/store/record.hpp"

namespace umbra::controller {
namespace {

constexpr std::int64_t kFiveMinutesMs = 300'000;
constexpr std::int64_t kHourMs = 3'600'000;

}  // namespace

Result<std::int64_t> TelemetryStore::series_id(std::string_view vm_uuid, std::string_view metric) {
  UMBRA_CHECK(database_.run("INSERT OR IGNORE INTO series(vm, metric) VALUES(?1, ?2)", vm_uuid, metric));
  UMBRA_TRY(auto row, database_.prepare("SELECT id FROM series WHERE vm = ?1 AND metric = ?2"));
  UMBRA_CHECK(row.bind(vm_uuid, metric).step());
  return row.integer(0);
}

Result<TelemetryStore::Added> TelemetryStore::add(std::span<const TelemetryPoint> points) {
  UMBRA_TRY(auto transaction, sqlite::Transaction::begin(database_));
  UMBRA_TRY(auto known,
            database_.prepare("SELECT 1 FROM raw WHERE series = ?1 AND at = ?2 UNION ALL "
                              "SELECT 1 FROM five_minutes WHERE series = ?1 AND at = ?2 / 300000 * 300000"));
  UMBRA_TRY(auto insert, database_.prepare("INSERT OR REPLACE INTO raw(series, at, value) VALUES(?1, ?2, ?3)"));
  std::map<std::pair<std::string_view, std::string_view>, std::int64_t> ids;
  Added added;
  for (const auto& point : points) {
    auto [id, unknown] = ids.try_emplace({point.vm_uuid, point.metric}, 0);
    if (unknown) {
      UMBRA_TRY(id->second, series_id(point.vm_uuid, point.metric));
    }
    UMBRA_TRY(const bool replaced, known.bind(id->second, point.at).step());
    UMBRA_CHECK(insert.bind(id->second, point.at, point.value).run());
    ++added.stored;
    added.replaced += replaced;
  }
  UMBRA_CHECK(known.bind().run());  // a read left open would fail the commit
  UMBRA_CHECK(transaction.commit());
  return added;
}

Result<std::vector<forecast::Point>> TelemetryStore::history(std::string_view vm_uuid, std::string_view metric,
                                                             UnixMillis from, UnixMillis to, Milliseconds step) {
  // Where means were taken and newer values came later, the newer ones count, as the next roll-up will have it.
  UMBRA_TRY(auto rows, database_.prepare(R"sql(
      WITH s AS (SELECT id FROM series WHERE vm = ?1 AND metric = ?2)
      SELECT min(at), avg(value) FROM (
        SELECT at, value FROM raw WHERE series = (SELECT id FROM s) AND at >= ?3 AND at < ?4
        UNION ALL
        SELECT at, value FROM five_minutes f WHERE series = (SELECT id FROM s) AND at >= ?3 AND at < ?4 AND NOT EXISTS (
          SELECT 1 FROM raw WHERE raw.series = f.series AND raw.at >= f.at AND raw.at < f.at + 300000)
        UNION ALL
        SELECT at, value FROM hours WHERE series = (SELECT id FROM s) AND at >= ?3 AND at < ?4)
      GROUP BY (at - ?3) / ?5 ORDER BY 1)sql"));
  rows.bind(vm_uuid, metric, from, to, step.count());
  return collect<forecast::Point>(rows, [](const sqlite::Statement& row) -> Result<forecast::Point> {
    return forecast::Point{row.integer(0), row.real(1)};
  });
}

Result<std::optional<TelemetryStore::Knowledge>> TelemetryStore::knowledge(std::string_view vm_uuid,
                                                                           std::string_view metric) {
  UMBRA_TRY(auto row, database_.prepare("SELECT at, state FROM forecasters WHERE vm = ?1 AND metric = ?2"));
  UMBRA_TRY(const bool found, row.bind(vm_uuid, metric).step());
  if (!found) return std::nullopt;
  return Knowledge{row.integer(0), std::string(row.blob(1))};
}

Result<void> TelemetryStore::save_knowledge(std::string_view vm_uuid, std::string_view metric,
                                            const Knowledge& knowledge) {
  return database_.run("INSERT OR REPLACE INTO forecasters(vm, metric, at, state) VALUES(?1, ?2, ?3, ?4)", vm_uuid,
                       metric, knowledge.at, sqlite::Blob{knowledge.state});
}

Result<void> TelemetryStore::forget_knowledge(std::string_view vm_uuid, std::string_view metric) {
  return database_.run("DELETE FROM forecasters WHERE vm = ?1 AND metric = ?2", vm_uuid, metric);
}

Result<void> TelemetryStore::roll_up(UnixMillis now) {
  // Only whole buckets, so that a mean is of all its points.
  const auto raw_before = (now - kRawKept.count()) / kFiveMinutesMs * kFiveMinutesMs;
  const auto five_before = (now - kFiveMinutesKept.count()) / kHourMs * kHourMs;
  UMBRA_TRY(auto transaction, sqlite::Transaction::begin(database_));
  UMBRA_CHECK(
      database_.run("INSERT OR REPLACE INTO five_minutes(series, at, value) "
                    "SELECT series, at / 300000 * 300000, avg(value) FROM raw WHERE at < ?1 GROUP BY 1, 2",
                    raw_before));
  UMBRA_CHECK(database_.run("DELETE FROM raw WHERE at < ?1", raw_before));
  UMBRA_CHECK(
      database_.run("INSERT OR REPLACE INTO hours(series, at, value) "
                    "SELECT series, at / 3600000 * 3600000, avg(value) FROM five_minutes WHERE at < ?1 GROUP BY 1, 2",
                    five_before));
  UMBRA_CHECK(database_.run("DELETE FROM five_minutes WHERE at < ?1", five_before));
  UMBRA_CHECK(database_.run("DELETE FROM forecasters WHERE at < ?1", five_before));  // of VMs that are long gone
  return transaction.commit();
}

}  // namespace umbra::controller
