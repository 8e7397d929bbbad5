#include "controller/certificates.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr UnixMillis kDay = 86'400'000;
constexpr UnixMillis kSoon = std::chrono::duration_cast<Milliseconds>(rpc::kExpiresSoon).count();
constexpr UnixMillis kNow = std::chrono::duration_cast<Milliseconds>(rpc::kExpiresNow).count();

std::string when(UnixMillis not_after, UnixMillis now) {
  const auto day = rpc::x509::time_text(not_after / 1000);
  if (not_after < now) return fmt::format("expired on {}", day);
  const auto days = (not_after - now) / kDay;
  return fmt::format("expires in {} {}, on {}", days, days == 1 ? "day" : "days", day);
}

v1::Check check_of(const std::string& node, const std::string& name, bool ok, std::string detail, std::string remedy) {
  v1::Check check;
  check.set_node(node);
  check.set_name(name);
  check.set_ok(ok);
  check.set_detail(std::move(detail));
  if (!ok) check.set_remedy(std::move(remedy));
  return check;
}

constexpr const char* kRenew =
    "renew it with `umbractl pki renew`, and put it into its place: it is read within a minute";

}  // namespace

Certificates::Certificates(Inventory& inventory, EventLog& events, Clock& clock, asio::any_io_executor executor,
                           rpc::Tls tls)
    : inventory_(inventory),
      events_(events),
      clock_(clock),
      tls_(tls),
      own_(executor, clock, tls,
           {.renewed =
                [this](const std::string& what) {
                  events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO, "the controller has new certificates: " + what,
                              {});
                },
            .failed =
                [this](const Error& why) {
                  events_.add(
                      v1::EVENT_KIND_HOST, v1::SEVERITY_WARNING,
                      fmt::format("the controller's certificates were changed and cannot be used, so those from "
                                  "before stay in force: {}",
                                  why),
                      {});
                }}),
      beat_(executor, clock) {}

void Certificates::saw(const rpc::Identity& peer) {
  if (peer.role != v1::ROLE_ADMIN && peer.role != v1::ROLE_VIEWER) return;
  if (people_.size() >= kMostPeople && !people_.contains(peer.name)) return;
  people_[peer.name] = static_cast<UnixMillis>(peer.not_after) * 1000;
}

std::vector<Certificates::Held> Certificates::all() const {
  std::vector<Held> held{{"controller", false, static_cast<UnixMillis>(tls_.self().not_after) * 1000}};
  for (const auto& [name, node] : inventory_.nodes())
    if (node.credentials.not_after_unix_ms() > 0) held.push_back({name, true, node.credentials.not_after_unix_ms()});
  for (const auto& [name, not_after] : people_) held.push_back({name, false, not_after});
  return held;
}

void Certificates::tell() {
  const auto now = clock_.unix_ms();
  for (const auto& [owner, is_node, not_after] : all()) {
    const auto left = not_after - now;
    const auto key = fmt::format("{}{}", is_node ? "node " : "", owner);
    if (left > kSoon) {
      told_.erase(key);
      continue;
    }
    const bool alert = left < kNow;
    auto& told = told_[key];
    if (told.at != 0 && now - told.at < kDay && (told.alert || !alert)) continue;
    told = {now, alert};
    events_.add(v1::EVENT_KIND_HOST, alert ? v1::SEVERITY_ALERT : v1::SEVERITY_WARNING,
                fmt::format("the certificate of {} {}; {}", owner, when(not_after, now), kRenew),
                {is_node ? owner : "", ""});
  }
}

asio::awaitable<void> Certificates::run() {
  while (true) {
    tell();
    co_await beat_.wait_until(clock_.steady() + 10min);
  }
}

std::vector<v1::Check> Certificates::checks() const {
  const auto now = clock_.unix_ms();
  std::vector<v1::Check> found;
  for (const auto& [owner, is_node, not_after] : all())
    found.push_back(check_of(owner, "certificate", not_after - now > kSoon, when(not_after, now), kRenew));
  const auto others = [&](const std::string& node, const auto& warnings) {
    for (const auto& warning : warnings)
      // That the certificate itself expires is said above.
      if (!warning.starts_with("the certificate "))
        found.push_back(check_of(node, "certificates", false, warning, "see its log"));
  };
  others("controller", own_.warnings());
  for (const auto& [name, node] : inventory_.nodes()) others(name, node.credentials.warnings());
  return found;
}

}  // namespace umbra::controller
