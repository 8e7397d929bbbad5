#include "base/fault_point.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/temporary_directory.hpp"

namespace umbra {
namespace {

using namespace std::chrono_literals;

asio::awaitable<void> come_by(bool& past) {
  co_await fault_point("promise");
  past = true;
}

TEST(FaultPoint, HoldsWhileItsFileIsThereAndOnlyThen) {
  const auto directory = TemporaryDirectory::make("umbra-points-").value();
  const auto file = directory.path() / "promise";
  ASSERT_EQ(::setenv("UMBRA_FAULT_POINTS", directory.path().c_str(), 1), 0);
  asio::io_context io;
  bool past = false;
  asio::co_spawn(io, come_by(past), asio::detached);
  io.poll();
  EXPECT_TRUE(past) << "no file, no wait";

  std::ofstream{file};
  past = false;
  asio::co_spawn(io, come_by(past), asio::detached);
  io.restart();
  io.run_for(10ms);
  EXPECT_FALSE(past);
  EXPECT_TRUE(std::filesystem::exists(file.string() + ".reached"));

  std::filesystem::remove(file);
  io.run_for(10s);  // ends as soon as nothing is left to do
  EXPECT_TRUE(past);
  EXPECT_FALSE(std::filesystem::exists(file.string() + ".reached"));
}

}  // namespace
}  // namespace umbra
