/// The tables, as steps from one version to the next. Append only: a released step is never edited.
#pragma once

#include <array>
#include <string_view>

namespace umbra::controller {

/// state.db: what must survive. Columns hold what queries ask for; `record` is the protobuf message.
inline constexpr std::array<std::string_view, 6> kStateSchema{R"sql(
CREATE TABLE nodes(
  name TEXT PRIMARY KEY, version TEXT NOT NULL, last_seen INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;

-- A VM's row stays when the VM is gone: its epoch must never be given twice.
CREATE TABLE vms(
  uuid TEXT PRIMARY KEY, name TEXT NOT NULL, host TEXT NOT NULL,  -- '' nowhere
  epoch INTEGER NOT NULL,        -- the newest ever given out
  owner_epoch INTEGER NOT NULL,  -- the one in which `host` became, or was found to be, the owner
  record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE profiles(
  vm TEXT NOT NULL, zone TEXT NOT NULL, record BLOB NOT NULL, PRIMARY KEY(vm, zone)) WITHOUT ROWID;

CREATE TABLE pins(
  vm TEXT PRIMARY KEY, standby TEXT NOT NULL, tier INTEGER NOT NULL, refresh_interval_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE zones(
  name TEXT PRIMARY KEY, health REAL NOT NULL, reason TEXT NOT NULL, set_by TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE maintenance(
  id INTEGER PRIMARY KEY AUTOINCREMENT, host_or_zone TEXT NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL,
  reason TEXT NOT NULL);

CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind INTEGER NOT NULL, severity INTEGER NOT NULL,
  node TEXT NOT NULL, vm TEXT NOT NULL, text TEXT NOT NULL, actor TEXT NOT NULL);
CREATE INDEX events_of_vm ON events(vm, id);
CREATE TABLE decisions(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vm TEXT NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL, record BLOB NOT NULL);
CREATE INDEX decisions_of_vm ON decisions(vm, id);
CREATE TABLE cutovers(
  vm TEXT NOT NULL, epoch INTEGER NOT NULL, at INTEGER NOT NULL, source TEXT NOT NULL, standby TEXT NOT NULL,
  outcome INTEGER NOT NULL,  -- 0 not known yet
  record BLOB NOT NULL, PRIMARY KEY(vm, epoch)) WITHOUT ROWID;
CREATE INDEX open_cutovers ON cutovers(outcome) WHERE outcome = 0;
)sql",
                                                              R"sql(
-- Who had an address first keeps its routes. Ids grow, whatever the wall clock does.
CREATE TABLE address_claims(
  id INTEGER PRIMARY KEY AUTOINCREMENT, vm TEXT NOT NULL, address TEXT NOT NULL, UNIQUE(vm, address));
)sql",
                                                              R"sql(
CREATE TABLE fences(
  host TEXT NOT NULL, epoch INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL,
  lifted_at INTEGER NOT NULL DEFAULT 0,  -- 0: in force
  lifted_by TEXT NOT NULL DEFAULT '',
  returned INTEGER NOT NULL DEFAULT 0,  -- the host was heard since: nothing more is taken over from it
  record BLOB NOT NULL, PRIMARY KEY(host, epoch)) WITHOUT ROWID;
-- Inactive XML with its secrets: shown to nobody.
CREATE TABLE definitions(vm TEXT PRIMARY KEY, xml TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE takeovers(
  vm TEXT NOT NULL, epoch INTEGER NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
  at INTEGER NOT NULL, actor TEXT NOT NULL,
  state INTEGER NOT NULL,    -- 0 not known yet, 1 runs on target, 2 failed
  cleared INTEGER NOT NULL,  -- source's copy is gone
  PRIMARY KEY(vm, epoch)) WITHOUT ROWID;
)sql",
                                                              R"sql(
-- Of AUDIT events: who called from where, what, and what came of it.
ALTER TABLE events ADD COLUMN actor_role INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN peer TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN call TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN outcome TEXT NOT NULL DEFAULT '';
CREATE INDEX events_of_kind ON events(kind, at, id);
)sql",
                                                              R"sql(
ALTER TABLE definitions ADD COLUMN autostart INTEGER NOT NULL DEFAULT 0;
)sql",
                                                              R"sql(
CREATE TABLE invitations(
  name TEXT PRIMARY KEY, role INTEGER NOT NULL, zone TEXT NOT NULL, secret TEXT NOT NULL UNIQUE,
  until INTEGER NOT NULL, key TEXT NOT NULL) WITHOUT ROWID;
)sql"};

/// telemetry.db: what may be lost.
inline constexpr std::array<std::string_view, 2> kTelemetrySchema{R"sql(
CREATE TABLE series(id INTEGER PRIMARY KEY, vm TEXT NOT NULL, metric TEXT NOT NULL, UNIQUE(vm, metric));
CREATE TABLE raw(series INTEGER NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY(series, at)) WITHOUT ROWID;
CREATE TABLE five_minutes(
  series INTEGER NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY(series, at)) WITHOUT ROWID;
CREATE TABLE hours(series INTEGER NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY(series, at)) WITHOUT ROWID;
CREATE INDEX raw_by_age ON raw(at);
CREATE INDEX five_minutes_by_age ON five_minutes(at);
)sql",
                                                                  R"sql(
-- What forecasters know, so that a restart need not learn it again. `at` is the end of what they were shown.
CREATE TABLE forecasters(
  vm TEXT NOT NULL, metric TEXT NOT NULL, at INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY(vm, metric));
)sql"};

}  // namespace umbra::controller
