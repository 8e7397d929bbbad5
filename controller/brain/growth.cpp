#include "controller/brain/growth.hpp"

#include <limits>

namespace umbra::controller {
namespace {

constexpr double kGrowing = 0.9;     // falsely so at most once in 180,000 steps, see Emergence; what was told …
constexpr double kGrowthOver = 0.1;  // … is told again only after falling below this, or it would be time and again

}  // namespace

std::optional<GrowthWatch::Found> GrowthWatch::observe(UnixMillis at, Milliseconds step, double mean, double spread,
                                                       double came) {
  if (first_ == 0) first_ = at;
  const auto before = (at - first_) / step.count();
  while (static_cast<UnixMillis>(emergence_.state().steps) < before)
    emergence_.observe(std::numeric_limits<double>::quiet_NaN());
  const auto evidence = emergence_.observe(mean, spread, came);
  const bool told = std::exchange(told_, evidence.probability >= (told_ ? kGrowthOver : kGrowing));
  if (told || !told_) return std::nullopt;
  return Found{evidence.probability, first_ + static_cast<UnixMillis>(evidence.begun) * step.count()};
}

double spread_of(const forecast::Forecast& forecast) {
  return forecast.quantile(0, 0.9) - forecast.quantile(0, 0.1);
}

void GroupStep::add(const VmStep* step) {
  ++vms_;
  if (step == nullptr) return;
  came_ += step->came;
  if (!step->expected) return;
  const auto& expected = *step->expected;
  expected_ += expected.mean()[0];
  futures_.resize(expected.paths());
  for (std::size_t i = 0; i < futures_.size(); ++i) futures_[i] += expected.path(i)[0];
}

std::optional<GrowthWatch::Found> GroupStep::show(GrowthWatch& watch, UnixMillis at, Milliseconds step) const {
  if (vms_ < 2 || futures_.empty()) return std::nullopt;
  return watch.observe(at, step, expected_, spread_of({at, step, {expected_}, futures_}), came_);
}

}  // namespace umbra::controller
