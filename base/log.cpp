#include "base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/printable.hpp"

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

/// "%~": the record's text in one line.
class OneLine final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& record, const std::tm&, spdlog::memory_buf_t& out) override {
    const auto text = printable({record.payload.data(), record.payload.size()}, kLogLine);
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<OneLine>(); }
};

}  // namespace

std::unique_ptr<spdlog::formatter> log_formatter(bool to_journal) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<SyslogPriority>('*').add_flag<OneLine>('~');
  formatter->set_pattern(to_journal ? "%*%~" : "%Y-%m-%dT%H:%M:%S.%e %-7l %~");
  return formatter;
}

void init_log(std::string_view program, std::string_view level) {
  auto logger = spdlog::stderr_color_mt(std::string(program));
  logger->set_formatter(log_formatter(std::getenv("JOURNAL_STREAM") != nullptr));
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
