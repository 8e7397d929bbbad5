#include "netswitch/upkeep.hpp"

#include <spdlog/spdlog.h>

namespace umbra::netswitch {

Upkeep::Upkeep(asio::any_io_executor executor, Clock& clock, Kernel& kernel, Switch& fabric, Tell tell)
    : executor_(executor),
      clock_(clock),
      kernel_(kernel),
      switch_(fabric),
      tell_(std::move(tell)),
      changed_(std::move(executor), clock) {}

void Upkeep::stop() {
  stopping_ = true;
  watch_.reset();
  changed_.notify();
}

void Upkeep::open_watch() {
  auto watch = kernel_.watch(executor_, {[this](const IpAddress& address) { return switch_.cares_for(address); },
                                         [this](const Changes& changes) {
                                           if (changes.lost)
                                             spdlog::info("more changes of the kernel's tables than it keeps for us");
                                           news_ = true;
                                           changed_.notify();
                                         }});
  if (watch) {
    watch_ = std::move(*watch);
  } else {
    tell_(Tone::kAlert, "",
          fmt::format("the kernel's changes of routes are not told to the agent, which looks every {} s instead: {}",
                      kBlindSweep / std::chrono::seconds(1), watch.error().text()));
  }
}

asio::awaitable<void> Upkeep::run() {
  open_watch();
  auto due = clock_.steady();
  auto looked = due - kPace;
  while (!stopping_) {
    const auto now = clock_.steady();
    if (news_) due = std::min(due, std::max(now, looked + kPace));
    if (now >= due) {
      news_ = false;
      looked = now;
      due = look(now);
    }
    tell_repairs(now);
    co_await changed_.wait_until(repaired_count_ == 0 ? due : std::min(due, told_at_ + kTellings));
  }
}

/// @return when to look again
Upkeep::TimePoint Upkeep::look(TimePoint now) {
  unfinished_ = failing_ = false;
  settle(now);
  std::erase_if(troubles_, [&](const auto& entry) { return now - entry.second.seen >= kPeace; });
  if (const auto damages = switch_.inspect()) {
    blindness_.clear();
    put_back(*damages, now);
  } else {
    failing_ = true;
    const auto why = damages.error().text();
    if (std::exchange(blindness_, why) != why)
      tell_(Tone::kAlert, "", fmt::format("the kernel's tables cannot be compared with what they should be: {}", why));
  }
  if (unfinished_) return now + kPace;
  if (failing_) return now + kRetry;
  return now + (watch_ ? kSweep : kBlindSweep);
}

void Upkeep::settle(TimePoint now) {
  std::map<std::string, TimePoint> still;
  for (const auto& vm : switch_.unsettled()) {
    const auto found = came_.find(vm);
    const auto since = found == came_.end() ? now : found->second;
    still[vm] = since;
    if (now - since < kSettled) continue;
    still[vm] = now;  // should it not be done
    if (const auto settled = switch_.settle(vm); !settled) spdlog::warn("VM {}: {}", vm, settled.error());
  }
  came_ = std::move(still);
}

void Upkeep::put_back(const std::vector<Damage>& damages, TimePoint now) {
  std::size_t tried = 0;
  std::vector<Damage> disputed, hopeless;
  std::string why;  // of the first that is hopeless
  for (const Damage& damage : damages) {
    auto& trouble = troubles_[damage.name];
    trouble.seen = now;
    if (now < trouble.not_before) {
      failing_ = true;
      continue;
    }
    if (++tried > kMostAtOnce) {
      unfinished_ = true;
      break;
    }
    if (auto done = switch_.repair(damage); !done) {
      if (!is_hopeless(done.error(), trouble, now)) continue;
      if (hopeless.empty()) why = done.error().text();
      hopeless.push_back(damage);
      continue;
    }
    trouble.failing_since = TimePoint::max();
    trouble.alerted = false;
    if (trouble.disputed) {
      trouble.not_before = now + kTruce;
      continue;
    }
    trouble.fights.push_back(now);
    while (now - trouble.fights.front() > kFightWindow) trouble.fights.pop_front();
    ++repaired_count_;
    if (repaired_.size() < kMostNamed) repaired_.push_back(damage);
    if (trouble.fights.size() <= kMostFights) continue;
    trouble.disputed = true;
    trouble.not_before = now + kTruce;
    disputed.push_back(damage);
  }
  if (!disputed.empty())
    tell_all(Tone::kAlert, disputed, disputed.size(), "something else keeps changing ",
             fmt::format(". From now on it is put back only every {} s, until it stays. Look for who does it with `ip "
                         "monitor`; systemd-networkd needs ManageForeignRoutes=no",
                         kTruce / std::chrono::seconds(1)));
  if (!hopeless.empty())
    tell_all(Tone::kAlert, hopeless, hopeless.size(), "cannot put back ", fmt::format(": {}", why));
}

/// Remembers the failure. @return whether it is to be told, now and once
bool Upkeep::is_hopeless(const Error& error, Trouble& trouble, TimePoint now) {
  failing_ = true;
  trouble.not_before = now + kRetry;
  trouble.failing_since = std::min(trouble.failing_since, now);
  if (trouble.alerted) return false;
  trouble.alerted = error.code == Errc::kConflict || now - trouble.failing_since >= kPatience;
  return trouble.alerted;
}

void Upkeep::tell_repairs(TimePoint now) {
  if (repaired_count_ == 0 || now < told_at_ + kTellings) return;
  told_at_ = now;
  tell_all(Tone::kNotice, repaired_, std::exchange(repaired_count_, 0),
           "put back what something else had changed: ", "");
  repaired_.clear();
}

void Upkeep::tell_all(Tone tone, const std::vector<Damage>& what, std::size_t count, const std::string& before,
                      const std::string& after) {
  std::string text = before;
  std::string vm = what.front().vm;
  for (std::size_t i = 0; i < what.size(); ++i) {
    if (what[i].vm != vm) vm.clear();
    if (i < kMostNamed) text += fmt::format("{}{}, which {}", i == 0 ? "" : "; ", what[i].name, what[i].flaw);
  }
  if (const auto named = std::min(what.size(), kMostNamed); count > named) {
    text += fmt::format("; and {} more", count - named);
    vm.clear();
  }
  tell_(tone, vm, text + after);
}

}  // namespace umbra::netswitch
