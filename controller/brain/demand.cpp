#include "controller/brain/demand.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace umbra::controller {
namespace {

constexpr std::size_t kPaths = 400;
constexpr Milliseconds kSaveEvery = 1h;
constexpr std::size_t kNewFor = 24;   // steps of a VM, of which its groups expected nothing: see watch_groups()
constexpr std::size_t kAtOnce = 288;  // steps, before looking at the time again
constexpr Milliseconds kDay = 24h;
constexpr Milliseconds kTunedFor = 2h;         // ahead, or the window where it is longer
constexpr Milliseconds kLateSamples = 10s;     // are waited for before a step counts as over …
constexpr UnixMillis kLateSamplesOfStep = 10;  // … or a tenth of the step, where that is less

/// The step that is not over yet, and all that the window touches.
std::size_t steps_for(Milliseconds window, Milliseconds step) {
  return static_cast<std::size_t>((window + step - Milliseconds(1)) / step) + 1;
}

/// What it belongs to, from the widest to the narrowest: its instance type, zone, application profile and account.
std::vector<std::string> groups_of(const VmRecord& record, const Demand::ZoneOf& zone_of) {
  return {fmt::format("{} vCPUs, {} B", record.vm.vcpus(), record.vm.memory_bytes()), zone_of(record.host),
          record.vm.profile(), record.vm.account()};
}

}  // namespace

Demand::Track Demand::begin(const VmRecord& record, const std::map<std::string, VmRecord>& vms, const ZoneOf& zone_of,
                            UnixMillis end) {
  const auto step = settings_.forecast_step;
  forecast::SeriesForecaster::Shape shape;
  if (step < kDay && kDay % step == Milliseconds::zero()) {
    const auto day = static_cast<std::size_t>(kDay / step);
    shape.seasons = {day, 7 * day};
  }
  shape.horizon = steps_for(std::max(settings_.window, kTunedFor), step);
  const auto start = end - settings_.history / step * step.count();
  shape.start = static_cast<std::size_t>(start / step.count());

  const auto stored = telemetry_.knowledge(record.vm.uuid(), kMetric);
  if (!stored) spdlog::warn("{}: its forecaster is not read: {}", record.vm.name(), stored.error());
  if (stored && *stored && (*stored)->at > start && (*stored)->at <= end) {
    auto loaded = forecast::SeriesForecaster::load((*stored)->state);
    if (!loaded) spdlog::warn("{}: its forecaster is learned anew: {}", record.vm.name(), loaded.error());
    const auto fits = [&](const forecast::SeriesForecaster& series) {
      return series.shape().seasons == shape.seasons && series.shape().horizon == shape.horizon &&
             static_cast<UnixMillis>(series.end()) * step.count() == (*stored)->at;
    };
    if (loaded && fits(*loaded)) {
      auto profile = loaded->profile();
      return {std::move(*loaded), (*stored)->at, (*stored)->at, std::move(profile)};
    }
  }
  std::vector<forecast::Peer> peers;
  for (const auto& [uuid, track] : tracks_)
    if (!track.profile.empty()) peers.push_back({groups_of(vms.at(uuid), zone_of), track.profile});
  shape.peers = forecast::pooled_profile(peers, groups_of(record, zone_of));
  return {forecast::SeriesForecaster(std::move(shape)), start};
}

void Demand::save(const VmRecord& record, Track& track) {
  if (track.series.empty() || track.end - track.saved < kSaveEvery.count()) return;
  const auto saved = telemetry_.save_knowledge(record.vm.uuid(), kMetric, {track.end, track.series.save()});
  if (!saved) spdlog::warn("{}: its forecaster is not stored: {}", record.vm.name(), saved.error());
  track.saved = track.end;  // or tried to
  track.profile = track.series.profile();
}

void Demand::history_changed(const std::string& vm_uuid) {
  tracks_.erase(vm_uuid);
  if (const auto forgotten = telemetry_.forget_knowledge(vm_uuid, kMetric); !forgotten)
    spdlog::warn("{}: what its forecaster knew is not forgotten: {}", vm_uuid, forgotten.error());
}

Result<bool> Demand::show(const std::string& vm_uuid, Track& track, UnixMillis end) {
  const auto step = settings_.forecast_step;
  const auto steps = std::min(kAtOnce, static_cast<std::size_t>((end - track.end) / step.count()));
  const auto until = track.end + static_cast<UnixMillis>(steps) * step.count();
  UMBRA_TRY(const auto points, telemetry_.history(vm_uuid, kMetric, track.end, until, step));
  const auto shown = forecast::resample(points, track.end, step, steps).values;
  if (steps == 1) compare(vm_uuid, track, shown.front());
  for (const auto value : shown) track.series.observe(value);
  track.end = until;
  return until == end;
}

/// What came, with what the last forecast expected of that step.
void Demand::compare(const std::string& vm_uuid, Track& track, double came) {
  const bool expected = track.forecast && track.forecast->start() == track.end;
  const bool newcomer = track.series.size() < kNewFor;
  if (std::isfinite(came) && (expected || newcomer))
    track.last = VmStep{track.end, came, newcomer ? nullptr : track.forecast};
  if (!expected) return;
  const auto found =
      track.growth.observe(track.end, step(), track.forecast->mean()[0], spread_of(*track.forecast), came);
  if (found) growing_.push_back({*found, v1::SCOPE_VM, vm_uuid});
}

/// A VM that joins a group or leaves it takes along what is expected of it. Only of one that is new altogether nothing
/// was expected: whoever starts ten VMs needs more than was forecast. That counts for as many steps as it takes to tell
/// a moderate step from chance; its own forecasts, which know its level after one, would hide it.
void Demand::watch_groups(const std::map<std::string, VmRecord>& vms, const ZoneOf& zone_of, UnixMillis at) {
  std::map<std::pair<v1::Scope, std::string>, GroupStep> groups;
  for (const auto& [uuid, record] : vms) {
    auto& track = tracks_.at(uuid);
    const auto* last = track.last && track.last->at == at ? &*track.last : nullptr;
    for (const auto& [scope, name] :
         {std::pair{v1::SCOPE_ACCOUNT, record.vm.account()}, std::pair{v1::SCOPE_ZONE, zone_of(record.host)}})
      if (!name.empty()) groups[{scope, name}].add(last);
    track.last.reset();
  }
  std::erase_if(groups_, [&](const auto& entry) { return !groups.contains(entry.first); });
  for (const auto& [group, sum] : groups)
    if (const auto found = sum.show(groups_[group], at, step()))
      growing_.push_back({*found, group.first, group.second});
}

double Demand::growth_probability(v1::Scope scope, const std::string& name) const {
  const auto group = groups_.find({scope, name});
  return group == groups_.end() ? 0 : group->second.probability();
}

UnixMillis Demand::end_at(UnixMillis now) const {
  const auto step = settings_.forecast_step.count();
  return (now - std::min(kLateSamples.count(), step / kLateSamplesOfStep)) / step * step;
}

void Demand::refresh(const std::map<std::string, VmRecord>& vms, const ZoneOf& zone_of, UnixMillis now,
                     Milliseconds budget) {
  std::erase_if(tracks_, [&](const auto& entry) { return !vms.contains(entry.first); });
  const auto end = end_at(now);
  std::vector<std::tuple<UnixMillis, const VmRecord*>> due;
  for (const auto& [uuid, record] : vms) {
    const auto track = tracks_.find(uuid);
    if (track == tracks_.end() || track->second.end < end)
      due.emplace_back(track == tracks_.end() ? 0 : track->second.end, &record);
  }
  std::ranges::sort(due, {}, [](const auto& entry) { return std::get<0>(entry); });
  const auto begun = std::chrono::steady_clock::now();  // of computing, whatever time the fleet's clock shows
  const auto spent = [&] { return std::chrono::steady_clock::now() - begun >= budget; };
  for (const auto& [last, record] : due) {
    const auto& uuid = record->vm.uuid();
    auto found = tracks_.find(uuid);
    if (found == tracks_.end()) found = tracks_.emplace(uuid, begin(*record, vms, zone_of, end)).first;
    auto& track = found->second;
    Result<bool> all = false;
    do {
      all = show(uuid, track, end);
    } while (all && !*all && !spent());
    if (!all)
      spdlog::error("{}: no forecast: {}", record->vm.name(), all.error());
    else if (*all && !track.series.empty()) {
      track.forecast = std::make_shared<const forecast::Forecast>(
          look(*record, end, steps_for(settings_.window, step()), {})->forecast);
      save(*record, track);
    }
    if (spent()) return;
  }
  if (std::exchange(added_up_, end) != end) watch_groups(vms, zone_of, end - step().count());
}

std::optional<Demand::Look> Demand::look(const VmRecord& record, UnixMillis begin, std::size_t steps,
                                         std::span<const double> levels) {
  const auto found = tracks_.find(record.vm.uuid());
  if (found == tracks_.end() || found->second.series.empty()) return std::nullopt;
  auto& [uuid, track] = *found;
  // A forecaster that is behind looks so much farther; of one that is ahead the first step stands for those before.
  const auto behind = (begin - track.end) / step().count();
  const auto skipped = static_cast<std::size_t>(std::max<UnixMillis>(0, behind));
  auto outlook = track.series.look(steps + skipped, levels, forecast::SeriesForecaster::Paths::kYes);
  const auto align = [&](auto& values) {
    values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(skipped));
    if (behind < 0) {
      values.insert(values.begin(), static_cast<std::size_t>(-behind), values.front());
      values.resize(steps);
    }
  };
  const auto vcpus = static_cast<double>(record.vm.vcpus());
  const auto bound = [&](std::vector<double>& values) {
    for (auto& value : values) value = std::max(0.0, vcpus > 0 ? std::min(value, vcpus) : value);
  };
  align(outlook.point);
  bound(outlook.point);
  if (!outlook.quantiles.empty()) align(outlook.quantiles);
  for (auto& quantiles : outlook.quantiles) bound(quantiles);
  for (auto& path : outlook.paths) {
    align(path.values);
    bound(path.values);
  }
  return Look{{begin, step(), std::move(outlook.point), forecast::draw(outlook.paths, kPaths)},
              std::move(outlook.quantiles),
              track.series.size(),
              track.growth.probability()};
}

std::shared_ptr<const forecast::Forecast> Demand::of(const std::string& vm_uuid) const {
  const auto track = tracks_.find(vm_uuid);
  return track == tracks_.end() ? nullptr : track->second.forecast;
}

}  // namespace umbra::controller
