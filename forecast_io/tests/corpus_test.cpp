// The fuzzers' inputs, replayed without a fuzzer: those written by hand, and any that once broke something.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "forecast_io/fuzz/targets.hpp"

namespace umbra::forecast {
namespace {

/// Gives every file of a reader's corpus to its target, whole and cut short, which aborts where a promise is broken.
std::size_t replay(const std::string& reader, void (*target)(std::string_view)) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(UMBRA_CORPUS) / reader)) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    const auto text = content.str();
    SCOPED_TRACE(entry.path());
    for (std::size_t length = 0; length <= text.size(); ++length) target(std::string_view(text).substr(0, length));
    ++files;
  }
  return files;
}

TEST(Corpus, OfSeriesKeepsThePromises) {
  EXPECT_GE(replay("series", fuzz_series), 5U);
}
TEST(Corpus, OfCalendarsKeepsThePromises) {
  EXPECT_GE(replay("calendar", fuzz_calendar), 5U);
}
TEST(Corpus, OfRegressorsKeepsThePromises) {
  EXPECT_GE(replay("regressors", fuzz_regressors), 3U);
}

}  // namespace
}  // namespace umbra::forecast
