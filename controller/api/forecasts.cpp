// How demand goes on: of a VM, or of all that are on a host, in a zone, or an account's.
#include <algorithm>
#include <limits>

#include "controller/api/fleet_service.hpp"
#include "controller/api/views.hpp"

namespace umbra::controller {
namespace {

constexpr std::size_t kMostSteps = 10'000;
constexpr Milliseconds kAtOnce = 50ms;  // of computing, before others have their turn

struct Subject {
  v1::Scope scope = v1::SCOPE_UNSPECIFIED;
  std::vector<std::string> vms{};  // uuids
  double cpus = 0;                 // 0: not known
};

constexpr std::array kScopes{std::pair{v1::SCOPE_VM, "VM"}, std::pair{v1::SCOPE_HOST, "host"},
                             std::pair{v1::SCOPE_ACCOUNT, "account"}, std::pair{v1::SCOPE_ZONE, "zone"}};

std::vector<std::string> vms_where(const Inventory& inventory, const std::function<bool(const VmRecord&)>& is_meant) {
  std::vector<std::string> vms;
  for (const auto& [uuid, record] : inventory.vms())
    if (is_meant(record)) vms.push_back(uuid);
  return vms;
}

/// @return nothing when there is none of that name. @error kConflict there are several
Result<std::optional<Subject>> find(const Inventory& inventory, v1::Scope scope, const std::string& name) {
  Subject subject{scope};
  switch (scope) {
    case v1::SCOPE_VM: {
      const auto record = find_vm(inventory, name);
      if (!record && record.error().code == Errc::kNotFound) return std::nullopt;
      if (!record) return fail(record.error());
      subject.vms = {(*record)->vm.uuid()};
      subject.cpus = (*record)->vm.vcpus();
      return subject;
    }
    case v1::SCOPE_HOST: {
      const auto* node = inventory.node(name);
      if (node == nullptr || !node->is_host()) return std::nullopt;
      subject.vms = vms_where(inventory, [&](const VmRecord& record) { return record.host == name; });
      subject.cpus = node->capacity.cpus();
      return subject;
    }
    case v1::SCOPE_ACCOUNT:
      subject.vms = vms_where(inventory, [&](const VmRecord& record) { return record.vm.account() == name; });
      if (subject.vms.empty()) return std::nullopt;
      return subject;
    default: {
      std::set<std::string> hosts;
      for (const auto& [host, node] : inventory.nodes())
        if (node.is_host() && node.node.zone() == name) {
          hosts.insert(host);
          subject.cpus += node.capacity.cpus();
        }
      if (hosts.empty()) return std::nullopt;
      subject.vms = vms_where(inventory, [&](const VmRecord& record) { return hosts.contains(record.host); });
      return subject;
    }
  }
}

Result<Subject> find_subject(const Inventory& inventory, const v1::ForecastRequest& request) {
  std::vector<Subject> found;
  std::string kinds;
  for (const auto& [scope, kind] : kScopes) {
    if (request.name().empty() || (request.scope() != v1::SCOPE_UNSPECIFIED && request.scope() != scope)) continue;
    UMBRA_TRY(auto subject, find(inventory, scope, request.name()));
    if (!subject) continue;
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : " and ", scope == v1::SCOPE_ACCOUNT ? "an" : "a", kind);
    found.push_back(std::move(*subject));
  }
  if (found.size() == 1) return std::move(found.front());
  if (found.empty()) {
    const auto asked = std::ranges::find(kScopes, request.scope(), [](const auto& entry) { return entry.first; });
    return fail({Errc::kNotFound,
                 fmt::format("no {} '{}'", asked == kScopes.end() ? "VM, host, account or zone" : asked->second,
                             request.name()),
                 "see umbractl vms, hosts and zones"});
  }
  return fail(
      {Errc::kConflict, fmt::format("'{}' is {}", request.name(), kinds), "say which: --of vm, host, account or zone"});
}

Result<void> check(const v1::ForecastRequest& request, Milliseconds step) {
  const auto& levels = request.levels();
  const bool sane = std::ranges::all_of(levels, [](double level) { return level > 0 && level < 1; });
  if (!sane || !std::ranges::is_sorted(levels))
    return fail({Errc::kInvalid, "quantiles must ascend, and lie between 0 and 1", "correct them"});
  const auto longest = step.count() * static_cast<std::int64_t>(kMostSteps);
  if (request.horizon_ms() <= 0 || request.horizon_ms() > longest || request.history_ms() < 0 ||
      request.history_ms() > longest || request.window_ms() < 0)
    return fail(
        {Errc::kInvalid, "horizon, history or window is negative or too long",
         fmt::format("forecasts are made in steps of {} s, and at most {} of them", step.count() / 1000, kMostSteps)});
  if (!(request.capacity() >= 0) || std::isinf(request.capacity()))
    return fail({Errc::kInvalid, "the capacity is no number of cores", "give one above 0, or none"});
  return {};
}

/// Adds a history to a sum, in which NaN is what no part knows.
void add(std::vector<double>& sum, const std::vector<double>& part) {
  for (std::size_t i = 0; i < sum.size(); ++i)
    if (!std::isnan(part[i])) sum[i] = std::isnan(sum[i]) ? part[i] : sum[i] + part[i];
}

}  // namespace

Task<v1::ForecastReply> FleetService::forecast(rpc::Caller, v1::ForecastRequest request) {
  auto& demand = core_.demand;
  const auto step = demand.step();
  UMBRA_CO_CHECK(check(request, step));
  UMBRA_CO_TRY(const auto subject, find_subject(core_.inventory, request));
  const auto in_steps = [&](std::int64_t ms) {
    return static_cast<std::size_t>((ms + step.count() - 1) / step.count());
  };
  const auto steps = in_steps(request.horizon_ms());
  const auto before = in_steps(request.history_ms());
  const auto begin = demand.end_at(core_.clock.unix_ms());
  const auto history_begin = begin - static_cast<UnixMillis>(before) * step.count();
  const std::vector<double> levels(request.levels().begin(), request.levels().end());

  v1::ForecastReply reply;
  std::vector<double> history(before, std::numeric_limits<double>::quiet_NaN());
  forecast::Forecast sum;
  std::vector<std::vector<double>> quantiles;  // of a single VM: better than those of its drawn paths
  auto since = std::chrono::steady_clock::now();
  for (const auto& uuid : subject.vms) {
    if (std::chrono::steady_clock::now() - since > kAtOnce) {
      co_await asio::post(asio::use_awaitable);
      since = std::chrono::steady_clock::now();
    }
    const auto* record = core_.inventory.vm(uuid);
    if (record == nullptr) continue;  // gone meanwhile
    reply.set_vms(reply.vms() + 1);
    if (before > 0) {
      UMBRA_CO_TRY(const auto points, core_.store.telemetry.history(uuid, Demand::kMetric, history_begin, begin, step));
      add(history, forecast::resample(points, history_begin, step, before).values);
    }
    auto look = demand.look(*record, begin, steps, subject.scope == v1::SCOPE_VM ? levels : std::vector<double>{});
    if (!look) {
      reply.set_vms_unknown(reply.vms_unknown() + 1);
      continue;
    }
    const std::array parts{std::move(sum), std::move(look->forecast)};
    sum = forecast::sum(parts);
    quantiles = std::move(look->quantiles);
    if (subject.vms.size() == 1) reply.set_growth_probability(look->growth_probability);
    reply.set_learned_steps(std::max<std::uint64_t>(reply.learned_steps(), look->learned));
  }

  reply.set_name(request.name());
  reply.set_scope(subject.scope);
  if (subject.vms.size() > 1) reply.set_growth_probability(demand.growth_probability(subject.scope, request.name()));
  reply.set_step_ms(step.count());
  reply.set_begins_unix_ms(begin);
  for (std::size_t i = 0; i < sum.steps(); ++i) {
    auto& one = *reply.add_steps();
    one.set_mean(sum.mean()[i]);
    for (std::size_t level = 0; level < levels.size(); ++level)
      one.add_quantiles(subject.scope == v1::SCOPE_VM ? quantiles[i][level] : sum.quantile(i, levels[level]));
  }
  reply.set_capacity(request.capacity() > 0 ? request.capacity() : subject.cpus);
  const auto window = Milliseconds(request.window_ms() > 0 ? request.window_ms() : request.horizon_ms());
  if (reply.capacity() > 0) reply.set_exceed_probability(sum.exceedance(reply.capacity(), window));
  reply.set_history_begins_unix_ms(history_begin);
  reply.mutable_history()->Add(history.begin(), history.end());
  co_return reply;
}

}  // namespace umbra::controller
