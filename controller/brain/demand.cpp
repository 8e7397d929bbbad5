#include "controller/brain/demand.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace umbra::controller {
namespace {

constexpr std::size_t kPaths = 400;
constexpr std::uint64_t kSeed = 1;  // one for all: what rose together in the past is drawn together

}  // namespace

void Demand::refresh(const Inventory& inventory, UnixMillis now, Milliseconds budget) {
  std::erase_if(made_, [&](const auto& entry) { return inventory.vm(entry.first) == nullptr; });
  const auto step = settings_.forecast_step.count();
  const auto end = now / step * step;
  std::vector<std::pair<UnixMillis, const VmRecord*>> due;
  for (const auto& [uuid, record] : inventory.vms()) {
    const auto made = made_.find(uuid);
    const auto last = made == made_.end() ? 0 : made->second.end;
    if (last != end) due.emplace_back(last, &record);
  }
  std::ranges::sort(due, {}, [](const auto& entry) { return entry.first; });
  const auto begun = std::chrono::steady_clock::now();  // of computing, whatever time the fleet's clock shows
  for (const auto& [last, record] : due) {
    auto made = make(*record, end);
    if (!made) {
      spdlog::error("{}: no forecast: {}", record->vm.name(), made.error());
      continue;
    }
    made_[record->vm.uuid()] = {end,
                                made->empty() ? nullptr : std::make_shared<const forecast::Forecast>(std::move(*made))};
    if (std::chrono::steady_clock::now() - begun >= budget) return;
  }
}

Result<forecast::Forecast> Demand::make(const VmRecord& record, UnixMillis end) {
  const auto step = settings_.forecast_step;
  const auto steps = static_cast<std::size_t>(settings_.history / step);
  const auto start = end - step.count() * static_cast<UnixMillis>(steps);
  UMBRA_TRY(const auto points, telemetry_.history(record.vm.uuid(), "cpu", start, end, step));
  // All histories are of one length, with gaps where a VM is younger: so positions in them are moments.
  auto history = forecast::resample(points, start, step, steps);
  history.least = 0;
  if (record.vm.vcpus() > 0) history.most = record.vm.vcpus();
  // The step that is not over yet, and all that the window touches.
  const auto ahead = static_cast<std::size_t>((settings_.window + step - Milliseconds(1)) / step) + 1;
  return forecast::forecast(history, {ahead, kPaths, kSeed});
}

std::shared_ptr<const forecast::Forecast> Demand::of(const std::string& vm_uuid) const {
  const auto made = made_.find(vm_uuid);
  return made == made_.end() ? nullptr : made->second.forecast;
}

}  // namespace umbra::controller
