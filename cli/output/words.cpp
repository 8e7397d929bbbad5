#include "cli/output/words.hpp"

#include <array>
#include <cmath>
#include <ctime>

namespace umbra::cli {
namespace {

constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

std::string in_one_unit(std::int64_t seconds) {
  if (seconds < kMinute) return fmt::format("{} s", seconds);
  if (seconds < kHour) return fmt::format("{} min", seconds / kMinute);
  if (seconds < kDay) return fmt::format("{} h", seconds / kHour);
  return fmt::format("{} d", seconds / kDay);
}

std::string in_two_units(std::int64_t seconds, std::int64_t big) {
  const auto rest = seconds % big;
  const auto head = in_one_unit(seconds - rest);
  const auto tail = big == kMinute ? rest : rest - rest % (big == kDay ? kHour : kMinute);
  return tail == 0 ? head : head + " " + in_one_unit(tail);
}

}  // namespace

std::string age(UnixMillis then, UnixMillis now) {
  if (then == 0) return "never";
  const auto seconds = (now - then) / 1000;
  return seconds >= 0 ? in_one_unit(seconds) + " ago" : "in " + in_one_unit(-seconds);
}

std::string span(double ms) {
  if (ms < 1000) return fmt::format("{:.{}f} ms", ms, ms < 100 ? 1 : 0);
  if (ms < 10'000 && std::fmod(ms, 1000) != 0) return fmt::format("{:.2f} s", ms / 1000);
  const auto seconds = static_cast<std::int64_t>(std::llround(ms / 1000));
  if (seconds < kMinute) return fmt::format("{} s", seconds);
  return in_two_units(seconds, seconds < kHour ? kMinute : seconds < kDay ? kHour : kDay);
}

std::string percent(double probability) {
  const auto rounded = std::round(probability * 100);
  if (probability > 0 && rounded < 1) return "<1 %";
  if (probability < 1 && rounded >= 100) return ">99 %";
  return fmt::format("{:.0f} %", rounded);
}

std::string local_time(UnixMillis at) {
  const auto seconds = static_cast<std::time_t>(at / 1000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  const auto length = std::strftime(text.data(), text.size(), "%F %T", &local);
  return {text.data(), length};
}

}  // namespace umbra::cli
