// The fuzzer's inputs, replayed without a fuzzer: those written by hand, and any that once broke something.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "agentd/virt/fuzz/targets.hpp"

namespace umbra::virt {
namespace {

TEST(DomainCorpus, keeps_the_promises_whole_and_cut_short) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(UMBRA_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    const auto text = content.str();
    SCOPED_TRACE(entry.path());
    for (std::size_t length = 0; length <= text.size(); ++length) fuzz_domain(std::string_view(text).substr(0, length));
    ++files;
  }
  EXPECT_GE(files, 3U);
}

}  // namespace
}  // namespace umbra::virt
