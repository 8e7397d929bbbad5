#include <charconv>

#include "base/printable.hpp"
#include "controller/api/fleet_service.hpp"
#include "controller/api/views.hpp"

namespace umbra::controller {
namespace {

constexpr std::uint32_t kPage = 1'000;

/// "time id" of the last event of the page before.
Result<LogStore::AuditPlace> parse_page(const std::string& text) {
  LogStore::AuditPlace place;
  if (text.empty()) return place;
  const auto* const end = text.data() + text.size();
  const auto [blank, bad_time] = std::from_chars(text.data(), end, place.at);
  if (bad_time == std::errc{} && blank != end && *blank == ' ') {
    const auto [rest, bad_id] = std::from_chars(blank + 1, end, place.id);
    if (bad_id == std::errc{} && rest == end) return place;
  }
  return fail({Errc::kInvalid, fmt::format("'{}' is no page of an audit", printable(text, 40)),
               "pass on what the last reply said"});
}

Result<v1::ListAuditReply> page_of_audit(Core& core, const v1::ListAuditRequest& request) {
  UMBRA_TRY(const auto vm, name_in_events(core, request.vm()));
  UMBRA_TRY(const auto after, parse_page(request.page()));
  UMBRA_TRY(auto events, core.store.log.audit(request.since_unix_ms(), request.actor(), vm, after, kPage));
  v1::ListAuditReply reply;
  if (events.size() == kPage) reply.set_next_page(fmt::format("{} {}", events.back().at_unix_ms(), events.back().id()));
  for (auto& event : events) *reply.add_events() = std::move(event);
  return reply;
}

}  // namespace

Task<v1::ListAuditReply> FleetService::list_audit(rpc::Caller, v1::ListAuditRequest request) {
  auto page = page_of_audit(core_, request);
  co_return page;
}

}  // namespace umbra::controller
