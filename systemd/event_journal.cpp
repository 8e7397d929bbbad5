#include "systemd/event_journal.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/uio.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <cstdlib>
#include <vector>

#include "base/log.hpp"
#include "base/printable.hpp"

namespace umbra::systemd {
namespace {

struct Kind {
  const char* name;
  const char* message_id;  ///< of systemd/catalog/umbra.catalog
};
Kind kind_of(v1::EventKind kind) {
  switch (kind) {
    case v1::EVENT_KIND_HOST:
      return {"host", "7203b4489bdc585e899d8552f6fee377"};
    case v1::EVENT_KIND_VM:
      return {"vm", "1c043f4688965db78d241ed77d199fcb"};
    case v1::EVENT_KIND_SHADOW:
      return {"shadow", "961ec89de62f506d9b5286e364b63955"};
    case v1::EVENT_KIND_CUTOVER:
      return {"cutover", "5d195dbde1535858b207f0ced4bf5815"};
    case v1::EVENT_KIND_DECISION:
      return {"decision", "27335d7463685894b9f062e1166d290e"};
    case v1::EVENT_KIND_ZONE:
      return {"zone", "0cff8239c817557f9a515d76c127683b"};
    case v1::EVENT_KIND_ROUTE:
      return {"route", "31f959104bb75c98ae35aaa52702e076"};
    case v1::EVENT_KIND_AUDIT:
      return {"audit", "836b4459953f5111bc6300b785813e03"};
    default:
      return {"other", ""};
  }
}

/// Does this process's log go to the journal? (systemd.exec(5))
bool to_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  return stream != nullptr && ::fstat(STDERR_FILENO, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

spdlog::level::level_enum level_of(v1::Severity severity) {
  return severity == v1::SEVERITY_ALERT     ? spdlog::level::err
         : severity == v1::SEVERITY_WARNING ? spdlog::level::warn
                                            : spdlog::level::info;
}

using Fields = std::vector<std::pair<const char*, std::string>>;

void write(spdlog::level::level_enum level, v1::EventKind kind, const std::string& line, Fields fields) {
  if (!spdlog::should_log(level)) return;
  static const bool journal = to_journal();
  if (!journal) {
    spdlog::log(level, "{}", line);
    return;
  }
  const auto [name, id] = kind_of(kind);
  fields.insert(fields.begin(), {{"MESSAGE", printable(line, kLogLine)},
                                 {"PRIORITY", level == spdlog::level::err    ? "3"
                                              : level == spdlog::level::warn ? "4"
                                                                             : "6"},
                                 {"SYSLOG_IDENTIFIER", spdlog::default_logger()->name()},
                                 {"MESSAGE_ID", id},
                                 {"UMBRA_KIND", name}});
  std::vector<std::string> texts;
  for (const auto& [field, value] : fields)
    if (!value.empty()) texts.push_back(fmt::format("{}={}", field, printable(value, kLogLine)));
  std::vector<iovec> parts;
  parts.reserve(texts.size());
  for (auto& text : texts) parts.push_back({text.data(), text.size()});
  if (sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) < 0) spdlog::log(level, "{}", line);
}

}  // namespace

void log_event(const v1::Event& event, const std::string& line) {
  write(level_of(event.severity()), event.kind(), line,
        {{"UMBRA_VM", event.vm()}, {"UMBRA_NODE", event.node()}, {"UMBRA_ACTOR", event.actor()}});
}

void log_cutover(const v1::CutoverResult& result) {
  const bool moved = result.outcome() == v1::OUTCOME_MOVED;
  write(moved ? spdlog::level::info : spdlog::level::warn, v1::EVENT_KIND_CUTOVER,
        moved ? fmt::format("{}: moved from {} to {} in epoch {}, blackout {:.1f} ms", result.vm(), result.from(),
                            result.to(), result.epoch(), result.blackout_ms())
              : fmt::format("{}: not moved from {} to {} in epoch {}: {}", result.vm(), result.from(), result.to(),
                            result.epoch(), result.detail()),
        {{"UMBRA_VM", result.vm()},
         {"UMBRA_NODE", result.from()},
         {"UMBRA_CUTOVER", fmt::format("{}/{}", result.vm_uuid(), result.epoch())}});
}

}  // namespace umbra::systemd
