#include "base/log.hpp"

#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

namespace umbra {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string logged(bool to_journal, std::string_view text) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_st>(out));
  logger.set_formatter(log_formatter(to_journal));
  logger.info("client {} refused", text);
  return out.str();
}

TEST(Log, NothingThatIsFormattedIntoARecordMakesASecondLine) {
  for (const auto* name : {"mallory\n<0>kernel: panic", "mallory\r\n2026-01-01T00:00:00.000 error   host1 is on fire",
                           "mallory\u2028next", "mallory\u0085next", "\x1b[2J\x1b[Hclean", "\u202egnp.exe", "\xff\xfe"})
    for (const bool to_journal : {false, true}) {
      const auto line = logged(to_journal, name);
      EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
      EXPECT_THAT(line, EndsWith(" refused\n"));
      EXPECT_THAT(line, HasSubstr("\\"));
      EXPECT_EQ(line.find('\x1b'), std::string::npos);
    }
}

TEST(Log, ThePriorityOfALineIsOurs) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_st>(out));
  logger.set_formatter(log_formatter(true));
  logger.warn("{}", "<0>the end is near");
  EXPECT_EQ(out.str(), "<4>\\x3c0>the end is near\n");
}

TEST(Log, ARecordHasALimit) {
  const auto line = logged(true, std::string(100'000, 'x'));
  EXPECT_THAT(line, StartsWith("<6>client xxx"));
  EXPECT_THAT(line, EndsWith("x…\n"));
  EXPECT_LT(line.size(), kLogLine + 10);
}

}  // namespace
}  // namespace umbra
