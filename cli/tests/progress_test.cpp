#include "cli/progress.hpp"

#include <gmock/gmock.h>

#include "cli/output/table.hpp"

namespace umbra::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const ProgressState kHalf{"web1", "precopy", mebibytes(160), mebibytes(256), {50'541'363}, {12 << 20}, 2'000};

/// What Progress wrote.
std::string written(Progress::Mode mode, const std::vector<ProgressState>& states) {
  std::FILE* file = std::tmpfile();
  {
    Progress progress(mode, file);
    for (const auto& state : states) progress.show(state);
  }
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

TEST(ProgressLine, ShowsPhaseBarBytesRatesAndEta) {
  EXPECT_EQ(render_progress(kHalf, 120),
            "web1  precopy  [=============>        ] 63 %  160 MiB/256 MiB  48.2 MiB/s  dirty 12.0 MiB/s  ETA 2 s");
}

TEST(ProgressLine, FitsEveryTerminal) {
  for (std::size_t width = 1; width <= 130; ++width) EXPECT_LE(display_width(render_progress(kHalf, width)), width);
  EXPECT_EQ(render_progress(kHalf, 45), "web1  precopy  63 %  160 MiB/256 MiB");
  EXPECT_EQ(render_progress(kHalf, 3), "web");
}

TEST(ProgressLine, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(render_progress({"web1", "staging", {}, {}, {}, {}, 0}, 80), "web1  staging");
  const auto over = render_progress({"web1", "held", mebibytes(300), mebibytes(256), {}, {}, 0}, 80);
  EXPECT_THAT(over, HasSubstr("100 %  256 MiB/256 MiB")) << "precopy may send more than the memory's size";
}

TEST(ProgressLine, IsRedrawnInPlaceOnATerminalAndTakenAwayAtTheEnd) {
  const auto text = written(Progress::Mode::kLive, {kHalf, kHalf});
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  EXPECT_TRUE(text.starts_with("\rweb1"));
  EXPECT_TRUE(text.ends_with("\r\x1b[K"));
}

TEST(ProgressLine, ElsewhereSpeaksOncePerPhaseOrNotAtAll) {
  auto later = kHalf;
  later.done = mebibytes(200);
  auto next = kHalf;
  next.phase = "held";
  const auto text = written(Progress::Mode::kPhases, {kHalf, later, next});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, HasSubstr("web1  held"));
  EXPECT_EQ(written(Progress::Mode::kSilent, {kHalf, next}), "");
}

}  // namespace
}  // namespace umbra::cli
