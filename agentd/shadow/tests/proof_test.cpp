#include "agentd/shadow/proof.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>

#include "base/temporary_directory.hpp"

namespace umbra::shadow {
namespace {
using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct Outcome {
  Result<v1::HoldProof> proof = fail(Errc::kTimeout, "the proof did not end");
  std::chrono::steady_clock::duration took{};
};

Outcome prove(fs::path emulator) {
  asio::io_context io;
  SystemClock clock;
  Outcome outcome;
  const auto began = clock.steady();
  asio::co_spawn(io, prove_hold(io.get_executor(), clock, std::move(emulator)),
                 [&](const std::exception_ptr& exception, Result<v1::HoldProof> proof) {
                   EXPECT_FALSE(exception);
                   outcome.proof = std::move(proof);
                 });
  io.run_for(30s);
  outcome.took = clock.steady() - began;
  return outcome;
}

/// A temporary directory of this test's own, since others prove at the same time.
class OwnTemporaryDirectory {
 public:
  OwnTemporaryDirectory() { setenv("TMPDIR", directory_.path().c_str(), 1); }
  ~OwnTemporaryDirectory() { unsetenv("TMPDIR"); }
  bool empty() const { return fs::is_empty(directory_.path()); }

 private:
  TemporaryDirectory directory_ = TemporaryDirectory::make("umbra-test").value();
};

TEST(Proof, TheHostsOwnQemuHolds) {
  const OwnTemporaryDirectory temporary;
  const auto outcome = prove("qemu-system-x86_64");
  ASSERT_TRUE(outcome.proof) << outcome.proof.error().text();
  EXPECT_TRUE(outcome.proof->proven()) << outcome.proof->detail();
  EXPECT_FALSE(outcome.proof->qemu_version().empty());
  EXPECT_NE(outcome.proof->detail().find("is released in"), std::string::npos);
  EXPECT_TRUE(temporary.empty());
  fmt::print("{}, {:.1f} s in all\n", outcome.proof->detail(), std::chrono::duration<double>(outcome.took).count());
}

TEST(Proof, AMissingEmulatorIsSaidToBeMissing) {
  const auto outcome = prove("/nonexistent/qemu-system-x86_64");
  ASSERT_FALSE(outcome.proof);
  EXPECT_EQ(outcome.proof.error().code, Errc::kNotFound);
  EXPECT_NE(outcome.proof.error().text().find("install QEMU"), std::string::npos);
}

struct Kind {
  std::string name, reason;
};

class OtherQemu : public testing::TestWithParam<Kind> {};

TEST_P(OtherQemu, IsFoundOutWithReasonAndRemedy) {
  const auto directory = TemporaryDirectory::make("umbra-other-").value();
  const auto emulator = directory.path() / "qemu";
  std::ofstream(emulator) << "#!/bin/sh\nexec " UMBRA_OTHER_QEMU " " << GetParam().name << " \"$@\"\n";
  fs::permissions(emulator, fs::perms::owner_all);
  const OwnTemporaryDirectory temporary;
  const auto outcome = prove(emulator);
  ASSERT_TRUE(outcome.proof) << outcome.proof.error().text();
  EXPECT_FALSE(outcome.proof->proven());
  EXPECT_NE(outcome.proof->detail().find(GetParam().reason), std::string::npos) << outcome.proof->detail();
  EXPECT_TRUE(temporary.empty());
}

INSTANTIATE_TEST_SUITE_P(Proof, OtherQemu,
                         testing::Values(Kind{"old", "QEMU 7.2.5 is too old (warm shadows need QEMU 8.1 or newer"},
                                         Kind{"no-ack", "warm shadows need QEMU 8.1 or newer"},
                                         Kind{"converges", "the hold did not stay open by itself"},
                                         Kind{"dies", "no machine of that type"}),
                         [](const auto& kind) {
                           auto name = kind.param.name;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace umbra::shadow
