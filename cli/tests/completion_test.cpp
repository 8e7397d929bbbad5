// Completion: what may come next, and that each shell offers it.
#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Completion : public UmbractlTest {
 protected:
  Completion() { environment["PATH"] = umbractl_path().parent_path().string() + ":/usr/bin:/bin"; }

  /// What `umbractl complete` offers, without descriptions, each word followed by a blank.
  std::string offered(std::vector<std::string> words) const {
    words.insert(words.begin(), {"complete", "--"});
    const auto ran = run(words);
    EXPECT_EQ(ran.status, 0);
    EXPECT_EQ(ran.err, "");
    std::istringstream lines(ran.out);
    std::string all;
    for (std::string line; std::getline(lines, line);) all += line.substr(0, line.find('\t')) + " ";
    return all;
  }
  std::string shell(std::vector<std::string> words) const {
    const auto ran = Process(std::move(words), environment).wait();
    EXPECT_EQ(ran.err, "");
    return ran.out;
  }
};

TEST_F(Completion, OffersVerbsOptionsValuesAndNamesOfTheFleet) {
  EXPECT_EQ(offered({"shadow", ""}), "keep drop show ");
  EXPECT_EQ(offered({"cut"}), "cutover ");
  EXPECT_EQ(offered({"-o", "json", "cutover", "w"}), "web1 ");
  EXPECT_EQ(offered({"migrate", "web1", "--to", ""}), "host1 host2 ");
  EXPECT_EQ(offered({"migrate", "web1", "--to=host2"}), "--to=host2 ");
  EXPECT_EQ(offered({"migrate", "web1", "--to", "=", "host"}), "host1 host2 ") << "bash takes it apart";
  EXPECT_EQ(offered({"vms", "-o", ""}), "table json ");
  EXPECT_EQ(offered({"hosts", "--state", "l"}), "libvirt-down ");
  EXPECT_EQ(offered({"evacuate", ""}), "host1 host2 a b ");
  EXPECT_EQ(offered({"forecast", "h"}), "host1 host2 ");
  EXPECT_EQ(offered({"shadow", "keep", "web1", "--tier", ""}), "staged warm hot ");
  EXPECT_EQ(offered({"shadow", "keep", "--ref"}), "--refresh-interval ");
  EXPECT_THAT(offered({"shadow", "keep", "--"}), AllOf(HasSubstr("--tier "), HasSubstr("--controller ")));
  EXPECT_EQ(offered({"help", "shadow", "k"}), "keep ");
  EXPECT_EQ(offered({"pki", "show", ""}), ":files ");
  EXPECT_EQ(offered({"zones", ""}), "");
  EXPECT_THAT(run({"complete", "--", "cut"}).out, "cutover\tMove a VM to its shadow, now\n");
}

TEST_F(Completion, AsksTheControllerThatTheCommandLineNames) {
  const auto address = environment["UMBRA_CONTROLLER"];
  environment["UMBRA_CONTROLLER"] = "127.0.0.1:1";
  EXPECT_EQ(offered({"cutover", "w"}), "") << "silent on errors";
  EXPECT_EQ(offered({"--controller", address, "cutover", "w"}), "web1 ");
  environment.erase("UMBRA_CA");
  EXPECT_EQ(offered({"--controller", address, "cutover", "w"}), "");
}

TEST_F(Completion, WorksInBash) {
  const auto complete = [&](const std::string& words, int at) {
    return shell({"/bin/bash", "-c",
                  fmt::format("source <(umbractl completion bash); COMP_WORDS=({}); COMP_CWORD={}; _umbractl; "
                              "echo ${{COMPREPLY[@]}}",
                              words, at)});
  };
  EXPECT_EQ(complete("umbractl shadow ''", 2), "keep drop show\n");
  EXPECT_EQ(complete("umbractl -o json cutover w", 4), "web1\n");
  EXPECT_EQ(complete("umbractl telemetry import /etc/hostn", 3), "/etc/hostname\n");
}

TEST_F(Completion, WorksInZsh) {
  const auto complete = [&](const std::string& words, int at) {
    return shell({"/usr/bin/zsh", "-f", "-c",
                  fmt::format("compdef() {{ }}; _describe() {{ print -l -- $found }}; _files() {{ print files }}; "
                              "source <(umbractl completion zsh); words=({}); CURRENT={}; _umbractl",
                              words, at)});
  };
  EXPECT_THAT(complete("umbractl shadow ''", 3), StartsWith("keep:Pin a shadow of a VM"));
  EXPECT_EQ(complete("umbractl -o json cutover w", 5), "web1\n");
  EXPECT_EQ(complete("umbractl pki show ''", 4), "files\n");
}

TEST_F(Completion, WorksInFish) {
  environment["HOME"] = fleet.directory().string();
  const auto complete = [&](const std::string& line) {
    return shell({"/usr/bin/fish", "--no-config", "-c",
                  fmt::format("umbractl completion fish | source; complete -C '{}'", line)});
  };
  EXPECT_THAT(complete("umbractl shadow "), HasSubstr("keep\tPin a shadow of a VM"));
  EXPECT_EQ(complete("umbractl -o json cutover w"), "web1\n");
}

}  // namespace
}  // namespace umbra::cli::test
