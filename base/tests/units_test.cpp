#include "base/units.hpp"

#include <gtest/gtest.h>

namespace umbra {
namespace {

TEST(Units, SizesReadAsPeopleWriteThem) {
  EXPECT_EQ(to_string(Bytes{0}), "0 B");
  EXPECT_EQ(to_string(kibibytes(12)), "12.0 KiB");
  EXPECT_EQ(to_string(mebibytes(1536)), "1.50 GiB");
  EXPECT_EQ(to_string(BytesPerSecond{50 << 20}), "50.0 MiB/s");
}

TEST(Units, ParsesSizesAndRefusesNonsenseAndOverflow) {
  EXPECT_EQ(parse_bytes("256MiB"), mebibytes(256));
  EXPECT_EQ(parse_bytes("1 GiB"), gibibytes(1));
  EXPECT_EQ(parse_bytes("4096"), Bytes{4096});
  for (const auto* bad : {"", "MiB", "-1", "1 parsec", "99999999999PiB", "1.5GiB"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
}

}  // namespace
}  // namespace umbra
