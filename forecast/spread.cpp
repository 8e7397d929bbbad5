#include "forecast/spread.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace umbra::forecast {
namespace {

constexpr double kMissed = 0.025;  // on either side of the interval that the tails are stretched for

constexpr std::size_t kNodes = 24;
constexpr std::size_t kTaught = 2;        // one of so many nodes of a record is learned from, others each time
constexpr std::size_t kRecords = 32;      // whose errors are looked at
constexpr std::size_t kStridesADay = 4;   // between records
constexpr std::size_t kUsualSeason = 24;  // where there is no season, of how many steps a day is
constexpr std::size_t kFewErrors = 30;    // below which the changes from season to season stand in for them
constexpr std::size_t kSeasonsBack = 7;

// Errors that were made as many steps ahead and at the same time of day tell most.
constexpr double kAheadDecay = 0.25;      // of the horizon
constexpr double kPhaseFloor = 0.3;       // what an error of any other time of day counts
constexpr double kPhaseWidth = 1 / 12.0;  // of the season, to either side
constexpr double kPathPhaseWidth = 0.25;
constexpr double kBroken = 0.5;  // what a path that is pieced together counts

constexpr LinearPool::Shares kFirst{0.5, 0.2, 0.15, 0.15};
constexpr std::size_t kLately = 4;  // … of the main season
constexpr std::size_t kFewest = 3;  // values

constexpr double kFirstTail = 0.17;  // intervals of few errors are too narrow, by about 1.2
constexpr double kTailRate = 0.003;
constexpr double kLeastTail = -0.2, kMostTail = 1.1;

constexpr std::size_t kPathParts = 3;  // errors, phase, day
constexpr double kPathsKnown = 16;     // of weight, against half a path of doubt to either side
constexpr double kSpreading = 1.15;

/// How much what was at another time of day counts: less the farther off in the circle of the season.
/// @param turn steps between the two phases, less than the season
double phase_weight(std::size_t turn, std::size_t season, double width) {
  const auto off = static_cast<double>(std::min(turn, season - turn)) / static_cast<double>(season);
  return kPhaseFloor + (1 - kPhaseFloor) * std::max(0.0, 1 - off / width);
}

/// What few errors cannot tell: that a greater one is yet to come, to either side. It counts as one error each, and
/// is the greater the fewer there are; where nothing has moved yet, half of the greatest value.
void add_doubt(auto& errors, const History& history) {
  constexpr double kOfFew = 3;
  constexpr double kOfValue = 0.5;
  double error = 0, value = 0;
  for (const auto& known : errors) error = std::max(error, std::abs(known.value));
  for (const auto seen : history.recent()) value = std::max(value, std::abs(seen));
  const auto doubt = error > 0 ? error * (1 + kOfFew / static_cast<double>(errors.size())) : kOfValue * value;
  auto more = errors.empty() ? typename std::remove_reference_t<decltype(errors)>::value_type{} : errors.back();
  for (const auto side : {-1, 1}) {
    more.value = side * doubt;
    errors.push_back(more);
  }
}

bool below(double came, double edge) {
  return came < edge - 1e-9 * std::abs(edge);
}

}  // namespace

Bounds Bounds::of(std::span<const double> seen) {
  constexpr auto kInfinity = std::numeric_limits<double>::infinity();
  constexpr std::ptrdiff_t kOften = 3;
  Bounds bounds{-kInfinity, kInfinity};
  if (seen.empty()) return bounds;
  const auto [least, most] = std::minmax_element(seen.begin(), seen.end());
  double above_least = kInfinity, below_most = -kInfinity;
  for (const auto value : seen) {
    if (value > *least) above_least = std::min(above_least, value);
    if (value < *most) below_most = std::max(below_most, value);
  }
  const auto count = [&](double value) { return std::count(seen.begin(), seen.end(), value); };
  const auto stops = [&](double extreme, double next) {
    return count(extreme) >= kOften && count(extreme) >= kOften * count(next);
  };
  // Two or three values in all are states, not limits.
  if (above_least < below_most) {
    if (stops(*least, above_least)) bounds.least = *least;
    if (stops(*most, below_most)) bounds.most = *most;
  }
  if (*least >= 0) bounds.least = std::max(bounds.least, 0.0);
  return bounds;
}

double Bounds::within(double value) const {
  return std::clamp(value, least, most);
}

/// All that a distribution at one place of the past, or now, is made of.
struct Spread::View {
  const Spread& of;
  History history;
  Bounds bounds;
  LinearPool::Shares shares;
  std::vector<Error> errors;               // by value
  std::vector<Atom> day, lately;           // by value
  std::vector<double> nearness, likeness;  // what an error counts by steps between the leads; between the phases

  LinearPool::Parts parts(std::size_t ahead, double said) const;
  std::vector<double> pool(const LinearPool::Parts& parts, std::span<const double> levels) const;
};

LinearPool::Parts Spread::View::parts(std::size_t ahead, double said) const {
  const auto season = of.season_;
  const auto now = history.size();
  LinearPool::Parts out{{{}, {}, day, lately}};
  auto& from_errors = out[0];
  auto& phase = out[1];
  from_errors.reserve(errors.size());
  const auto its_phase = season > 0 ? (now + ahead) % season : 0;
  for (const auto& error : errors) {
    const auto apart = error.ahead > ahead ? error.ahead - ahead : ahead - error.ahead;
    const auto turn = its_phase > error.phase ? its_phase - error.phase : error.phase - its_phase;
    from_errors.push_back({bounds.within(said + error.value), nearness[apart] * likeness[turn]});
  }
  if (season > 0) {
    const auto around = std::max<std::size_t>(1, season / 48);
    for (std::size_t ago = 1; ago <= kSeasonsBack && ago * season <= now + ahead; ++ago) {
      const auto middle = now + ahead - ago * season;
      for (auto at = middle > around ? middle - around : 0; at <= middle + around && at < now; ++at)
        if (at >= history.first()) phase.push_back({history[at], 1});
    }
    std::sort(phase.begin(), phase.end());
  }
  if (phase.empty()) phase = day;  // no phase to go by
  return out;
}

std::vector<double> Spread::View::pool(const LinearPool::Parts& parts, std::span<const double> levels) const {
  std::vector<Atom> all, merged;
  for (std::size_t part = parts.size(); part-- > 0;) {  // the longest last
    double total = 0;
    for (const auto& atom : parts[part]) total += atom.weight;
    const auto middle = all.size();
    const auto counts = shares[part] / total;
    for (const auto& atom : parts[part]) all.push_back({atom.value, counts * atom.weight});
    merged.resize(all.size());
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(middle);
    std::merge(all.begin(), begin, begin, all.end(), merged.begin());
    std::swap(all, merged);
  }
  // The median is asked along, as what the tails are stretched from.
  std::vector<double> asked(levels.begin(), levels.end());
  asked.push_back(0.5);
  std::sort(asked.begin(), asked.end());
  auto said = weighted_quantiles(all, asked);
  const auto middle = static_cast<std::size_t>(std::find(asked.begin(), asked.end(), 0.5) - asked.begin());
  const auto median = said[middle];
  said.erase(said.begin() + static_cast<std::ptrdiff_t>(middle));
  for (std::size_t i = 0; i < said.size(); ++i) {
    const auto tail = levels[i] < 0.5 ? of.low_tail_ : of.high_tail_;
    const auto stretched = std::exp(tail * std::abs(2 * levels[i] - 1)) * (said[i] - median);
    said[i] = bounds.within(median + stretched);
  }
  return said;
}

Spread::Spread(std::size_t season, std::size_t horizon)
    : season_(season),
      horizon_(std::max<std::size_t>(1, horizon)),
      day_(season > 0 ? season : kUsualSeason),
      stride_(std::max<std::size_t>(1, day_ / kStridesADay)),
      pool_(kFirst),
      low_tail_(kFirstTail),
      high_tail_(kFirstTail) {
  const auto count = std::min(horizon_, kNodes);
  if (count < horizon_) nodes_.push_back(0);
  for (std::size_t node = 0; node < count; ++node) nodes_.push_back((2 * node + 1) * horizon_ / (2 * count));
}

/// Those whose errors are looked at, before the oldest one that is still to come true.
std::size_t Spread::most_records() const {
  return kRecords + horizon_ / stride_ + 1;
}

void Spread::record(std::size_t place, std::span<const double> said) {
  if (records_.size() >= most_records()) records_.erase(records_.begin());
  std::vector<double> kept;
  for (const auto node : nodes_) kept.push_back(said[node]);
  records_.push_back({place, Rounded(kept)});
}

std::vector<double> Spread::whole(const Record& record) const {
  std::vector<double> out;
  for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) {
    const auto apart = nodes_[i + 1] - nodes_[i];
    for (std::size_t step = 0; step < apart; ++step)
      out.push_back(
          std::lerp(record.said[i], record.said[i + 1], static_cast<double>(step) / static_cast<double>(apart)));
  }
  out.resize(horizon_, record.said[nodes_.size() - 1]);
  return out;
}

std::size_t Spread::records_before(std::size_t place) const {
  const auto end = std::partition_point(records_.begin(), records_.end(),
                                        [&](const Record& record) { return record.place < place; });
  return static_cast<std::size_t>(end - records_.begin());
}

Spread::View Spread::view(const History& history, std::size_t steps) const {
  View view{*this, history, Bounds::of(history.recent()), pool_.shares(), {}, {}, {}, {}, {}};
  const auto now = history.size();
  const auto add_error = [&](std::size_t at, double said, std::size_t ahead) {
    view.errors.push_back({history[at] - said, static_cast<std::uint32_t>(ahead),
                           static_cast<std::uint32_t>(season_ > 0 ? at % season_ : 0)});
  };
  const auto end = records_before(now);
  for (auto i = end > kRecords ? end - kRecords : 0; i < end; ++i) {
    const auto& [place, said] = records_[i];
    for (std::size_t node = 0; node < nodes_.size(); ++node)
      if (const auto at = place + nodes_[node]; at < now && at >= history.first())
        add_error(at, said[node], nodes_[node]);
  }
  if (view.errors.size() < kFewErrors) {
    view.errors.clear();
    const auto back = season_ > 0 && history.recent().size() > season_ ? season_ : 1;
    for (auto at = history.first() + back; at < now; ++at) add_error(at, history[at - back], horizon_ / 2);
    add_doubt(view.errors, history);
  }
  std::sort(view.errors.begin(), view.errors.end(), [](const Error& a, const Error& b) { return a.value < b.value; });
  const auto decay = std::exp(-1 / (kAheadDecay * static_cast<double>(horizon_)));
  view.nearness.push_back(1);
  while (view.nearness.size() <= std::max(steps, horizon_)) view.nearness.push_back(decay * view.nearness.back());
  view.likeness.resize(season_ > 0 ? 0 : 1, 1);
  for (std::size_t turn = 0; turn < season_; ++turn) view.likeness.push_back(phase_weight(turn, season_, kPhaseWidth));
  const auto last = [&](std::size_t count) {
    std::vector<Atom> atoms;
    const auto values = history.last(count);
    for (std::size_t i = 0; i < values.size(); i += std::max<std::size_t>(1, day_ / 96))
      atoms.push_back({values[i], 1});
    std::sort(atoms.begin(), atoms.end());
    return atoms;
  };
  view.day = last(day_);
  view.lately = last(std::max(kFewest, day_ / kLately));
  return view;
}

void Spread::score(const View& view, std::size_t ahead, double said, double came) {
  const auto parts = view.parts(ahead, view.bounds.within(said));
  // Far ahead, chance has more of a say.
  pool_.learn(parts, came, 1 - static_cast<double>(ahead) / static_cast<double>(horizon_));
  constexpr std::array kEdges{kMissed, 1 - kMissed};
  const auto edges = view.pool(parts, kEdges);
  const auto adapt = [](double& tail, bool missed) {
    tail = std::clamp(tail + kTailRate * ((missed ? 1 : 0) - kMissed), kLeastTail, kMostTail);
  };
  adapt(low_tail_, below(came, edges[0]));
  adapt(high_tail_, below(edges[1], came));
}

void Spread::learn(const History& history, const std::vector<bool>& real) {
  const auto now = history.size();
  for (const auto& [place, said] : records_) {
    if (place + horizon_ <= learned_ || place <= history.first()) continue;
    std::optional<View> then;
    for (auto node = place / stride_ % kTaught; node < nodes_.size(); node += kTaught) {
      const auto at = place + nodes_[node];
      if (at < learned_ || at >= now || !real[at - history.first()]) continue;
      if (!then)
        then.emplace(view(History(history.first(), history.recent().first(place - history.first())), horizon_));
      score(*then, nodes_[node], said[node], history[at]);
    }
  }
  learned_ = now;
}

std::vector<std::vector<double>> Spread::quantiles(const History& history, std::span<const double> said,
                                                   std::span<const double> levels) const {
  const auto now = view(history, said.size());
  std::vector<std::vector<double>> out;
  out.reserve(said.size());
  for (std::size_t ahead = 0; ahead < said.size(); ++ahead)
    out.push_back(now.pool(now.parts(ahead, now.bounds.within(said[ahead])), levels));
  return out;
}

std::vector<Path> Spread::paths(const History& history, std::span<const double> said) const {
  const auto now = history.size();
  const auto steps = said.size();
  const auto bounds = Bounds::of(history.recent());
  // The last day's stretches stand for its last quarter too.
  const auto shares = pool_.shares();
  const std::array weights{shares[0], shares[1], shares[2] + shares[3]};
  std::vector<Path> all;
  const auto add_part = [&](std::vector<Path> part, double share) {
    double total = 0;
    for (const auto& path : part) total += path.weight;
    for (auto& path : part) {
      path.weight *= share / total;
      for (auto& value : path.values) value = bounds.within(value);
      all.push_back(std::move(path));
    }
  };

  const auto origin = [](std::size_t back, std::size_t part) { return back * kPathParts + part; };
  std::vector<Path> errors;
  const auto end = records_before(now);
  const auto add_errors = [&](Path& path, const Record& record, std::size_t from, std::size_t to) {
    const auto its_own = whole(record);
    for (auto ahead = from; ahead < to; ++ahead) {
      const auto known = std::min(ahead, horizon_ - 1);
      path.values[ahead] += history[record.place + known] - its_own[known];
    }
  };
  for (std::size_t ago = 1; ago <= kRecords && ago <= end; ++ago) {
    const auto& record = records_[end - ago];
    if (record.place < history.first()) break;
    const auto came = std::min({steps, horizon_, now - record.place});
    if (came < std::max<std::size_t>(1, steps / kNodes)) continue;
    Path path{1, origin(now - record.place, 0), {said.begin(), said.end()}};
    add_errors(path, record, 0, came);
    if (came < steps) {  // goes on with the errors of an older one, which has come true as far
      const auto older = ago + steps / stride_ + 1;
      if (older > end) continue;
      const auto& other = records_[end - older];
      if (other.place < history.first() || other.place + std::min(steps, horizon_) > now) continue;
      add_errors(path, other, came, steps);
      path.weight = kBroken;
    }
    if (season_ > 0) path.weight *= phase_weight((now - record.place) % season_, season_, kPathPhaseWidth);
    errors.push_back(std::move(path));
  }
  std::vector<Path> phase, day;
  if (season_ > 0)
    for (std::size_t ago = 1; ago <= kSeasonsBack; ++ago)
      for (const auto shift : {std::size_t{0}, season_ / 24, 2 * (season_ / 24)}) {
        // From a little before the same phase to a little after; what has not come yet repeats the season before.
        const auto back = ago * season_ + season_ / 24;
        if (now + shift < back + history.first()) continue;
        Path path{1, origin(back - shift, 1), std::vector<double>(steps)};
        for (std::size_t ahead = 0; ahead < steps; ++ahead) {
          auto at = now + shift + ahead - back;
          while (at >= now) at -= season_;
          path.values[ahead] = history[at];
        }
        phase.push_back(std::move(path));
      }
  for (std::size_t ago = 0; ago < kStridesADay; ++ago) {
    if (now < history.first() + steps + ago * stride_) break;
    const auto stretch = history.recent().subspan(now - history.first() - steps - ago * stride_, steps);
    day.push_back({1, origin(steps + ago * stride_, 2), {stretch.begin(), stretch.end()}});
  }
  if (errors.empty() && phase.empty() && day.empty()) errors.push_back({1, 0, {said.begin(), said.end()}});
  double used = 0;
  const std::array parts{&errors, &phase, &day};
  for (std::size_t part = 0; part < kPathParts; ++part) used += parts[part]->empty() ? 0 : weights[part];
  for (std::size_t part = 0; part < kPathParts; ++part) add_part(std::move(*parts[part]), weights[part] / used);
  return all;
}

void Spread::save(StateWriter& out) const {
  out(static_cast<std::uint32_t>(records_.size()));
  for (const auto& [place, said] : records_) {
    out(place);
    Rounded::describe(said, out);
  }
  out(learned_);
  LinearPool::describe(pool_, out);
  out(low_tail_);
  out(high_tail_);
}

void Spread::load(StateReader& in, std::size_t now) {
  std::uint32_t count = 0;
  in(count);
  in.expect(count <= most_records());
  std::size_t earliest = 0;
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
    auto& [place, said] = records_.emplace_back(Record{0, Rounded(nodes_.size())});
    in(place);
    Rounded::describe(said, in);
    in.expect(place >= earliest && place <= now);
    earliest = place;
  }
  in(learned_);
  LinearPool::describe(pool_, in);
  in(low_tail_);
  in(high_tail_);
  for (const auto tail : {low_tail_, high_tail_}) in.expect(tail >= kLeastTail && tail <= kMostTail);
}

double exceedance(std::span<const Path> paths, double capacity, std::size_t window) {
  double above = 0;
  const auto edge = capacity + 1e-9 * std::abs(capacity);
  for (const auto& path : paths) {
    const auto steps = std::span(path.values).first(std::min(window, path.values.size()));
    if (std::any_of(steps.begin(), steps.end(), [&](double value) { return value > edge; })) above += path.weight;
  }
  const auto shrunk = (kPathsKnown * above + 0.5) / (kPathsKnown + 1);
  return 1 / (1 + std::pow(1 / shrunk - 1, kSpreading));
}

}  // namespace umbra::forecast
