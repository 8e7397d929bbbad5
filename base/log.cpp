#include "base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace umbra {
namespace {

constexpr std::array<std::string_view, 5> kLevels{"trace", "debug", "info", "warning", "error"};

/// "%*": the syslog priority of the record, as sd-daemon(3) wants it at the start of a line.
class SyslogPriority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& record, const std::tm&, spdlog::memory_buf_t& out) override {
    const char priority = record.level >= spdlog::level::critical ? '2'
                          : record.level >= spdlog::level::err    ? '3'
                          : record.level >= spdlog::level::warn   ? '4'
                          : record.level >= spdlog::level::info   ? '6'
                                                                  : '7';
    const char text[] = {'<', priority, '>'};
    out.append(text, text + 3);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<SyslogPriority>(); }
};

}  // namespace

void init_log(std::string_view program, std::string_view level) {
  auto logger = spdlog::stderr_color_mt(std::string(program));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  if (std::getenv("JOURNAL_STREAM") != nullptr)
    formatter->add_flag<SyslogPriority>('*').set_pattern("%*%v");
  else
    formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%e %-7l %v");
  logger->set_formatter(std::move(formatter));
  const auto parsed = spdlog::level::from_str(std::string(level));
  logger->set_level(parsed == spdlog::level::off ? spdlog::level::info : parsed);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

Result<void> check_log_level(std::string_view level) {
  if (std::ranges::find(kLevels, level) != kLevels.end()) return {};
  return fail({Errc::kInvalid, fmt::format("'{}' is no log level", level),
               fmt::format("allowed are {}", fmt::join(kLevels, ", "))});
}

}  // namespace umbra
